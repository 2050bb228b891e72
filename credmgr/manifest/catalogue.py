"""Where the manifest looks plugins up."""

from collections.abc import Sequence
from typing import Any, Protocol

from credmgr.plugins import loading


class PluginCatalogue(Protocol):
    """The plugins that a manifest may name, by entry-point group."""

    def names(self, group: str) -> Sequence[str]:
        """The plugins of a group, sorted, none of them imported.

        Raises:
            PluginError: Two distributions claim one name.
        """
        ...

    def factory(self, group: str, name: str) -> Any:
        """The factory of one plugin.

        Raises:
            PluginError: There is none of this name, or importing it failed.
        """
        ...


class InstalledPlugins:
    """Those that are installed in this environment."""

    def names(self, group: str) -> Sequence[str]:
        """The plugins of a group, sorted, none of them imported."""
        return sorted(loading.available(group))

    def factory(self, group: str, name: str) -> Any:
        """The factory of one plugin."""
        return loading.load(group, name)
