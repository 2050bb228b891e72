"""Finding plugins by entry point; built-in ones are found as a third party's are."""

from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from credmgr.errors import PluginError

BACKENDS: Final = "credmgr.backends"
ISSUERS: Final = "credmgr.issuers"
NOTIFIERS: Final = "credmgr.notifiers"
SINKS: Final = "credmgr.sinks"


def available(group: str) -> dict[str, tuple[EntryPoint, ...]]:
    """Who claims each plugin name of a group, none of them imported.

    More than one distribution may claim a name; nothing is wrong until somebody wants to `load` it.
    """
    claims: dict[str, tuple[EntryPoint, ...]] = {}
    for point in entry_points(group=group):
        claims[point.name] = (*claims.get(point.name, ()), point)
    return claims


def load(group: str, name: str) -> Any:
    """Import one plugin and make its factory; the caller knows the group's protocol.

    Raises:
        PluginError: There is none of this name, two distributions claim it, or importing it failed;
            what the others of the group are like does not matter.
    """
    claims = available(group)
    if name not in claims:
        known = ", ".join(sorted(claims)) or "none"
        raise PluginError(f"no plugin {name!r} in {group}", hint=f"installed: {known}")
    owners = sorted(_owner(point) for point in claims[name])
    if len(owners) > 1:
        raise PluginError(
            f"the plugin name {name!r} in {group} is claimed by {', '.join(owners)}",
            hint="uninstall one of them",
        )
    try:
        return claims[name][0].load()()
    except (Exception, SystemExit) as error:  # a plugin may raise anything; reported by name
        reason = f"{type(error).__name__}: {error}"
        raise PluginError(
            f"the plugin {name!r} in {group} does not load: {reason}",
            hint=f"mend, update or uninstall {owners[0]}",
        ) from error


def _owner(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.value
