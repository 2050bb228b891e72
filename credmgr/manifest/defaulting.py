"""`defaults` → every credential that does not say otherwise."""

from typing import Any, Final

from credmgr.manifest.tree import Trail, Tree

_WHOLE: Final = ("owner", "environment", "store")
_BY_KEY: Final = "rotation"
_SCHEDULED: Final = frozenset({"every", "cron"})


def apply_defaults(tree: Tree) -> None:
    """Put what `defaults` says under each credential, with the places where it says so.

    `owner`, `environment` and `store` are taken whole, `rotation` key by key: what the credential
    says wins, and one that says `manual: true` takes no schedule from the defaults.
    """
    defaults, credentials = tree.data.get("defaults"), tree.data.get("credentials")
    if not isinstance(defaults, dict) or not isinstance(credentials, dict):
        return
    origin = _Origin(tree)
    for name, entry in credentials.items():
        if isinstance(entry, dict):
            at: Trail = ("credentials", name)
            for key in _WHOLE:
                if key in defaults and key not in entry:
                    entry[key] = defaults[key]
                    origin.copy((key,), at)
            if isinstance(defaults.get(_BY_KEY), dict) and isinstance(entry.get(_BY_KEY, {}), dict):
                given = _fitting(defaults[_BY_KEY], entry.get(_BY_KEY, {}))
                entry[_BY_KEY] = _merged(given, entry.get(_BY_KEY, {}))
                origin.copy((_BY_KEY,), at)


def _fitting(given: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """The default rotation without what the credential's own choice of schedule excludes."""
    unwanted: frozenset[str] = frozenset()
    if own.get("manual") is True:
        unwanted = _SCHEDULED
    elif _SCHEDULED & own.keys():
        unwanted = frozenset({"manual"})
    return {key: value for key, value in given.items() if key not in unwanted}


def _merged(given: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    both = {
        key: _merged(given[key], value)
        for key, value in own.items()
        if isinstance(given.get(key), dict) and isinstance(value, dict)
    }
    return {**given, **own, **both}


class _Origin:
    """The places within `defaults`, to be copied under each credential."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.trails = [trail for trail in tree.values if trail[:1] == ("defaults",)]

    def copy(self, part: Trail, at: Trail) -> None:
        """Let what came from `defaults` be found under `at`; places already known are kept."""
        for trail in self.trails:
            if trail[1 : 1 + len(part)] == part:
                here = (*at, *trail[1:])
                if here not in self.tree.values:
                    self.tree.values[here] = self.tree.values[trail]
                    if trail in self.tree.keys:
                        self.tree.keys[here] = self.tree.keys[trail]
                    if trail in self.tree.plain:
                        self.tree.plain[here] = self.tree.plain[trail]
