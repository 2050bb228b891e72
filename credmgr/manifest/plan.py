"""What applying the manifest would change: the declared against the enrolled. Pure.

A plan is made of steps, one per credential, each with its consequences in words. Nothing is ever
deleted by a plan: a credential that is no longer declared is retired, and its live secret stays
valid until an operator revokes it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from credmgr.manifest.durations import format_duration
from credmgr.manifest.entry import DAYS
from credmgr.model.credential import (
    Credential,
    CredentialStatus,
    Drift,
    Enrolled,
    Schedule,
    Target,
    Window,
)
from credmgr.model.names import Name

FIXED: Final = ("kind", "issuer", "client_id", "store")
"""What must not change under a live secret: it would be lost from sight."""
_NONE: Final = "(none)"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field of a declaration that differs.

    Attributes:
        field: Dotted path, as in the manifest.
        old: As last applied, in words.
        new: As declared now, in words.
    """

    field: str
    old: str
    new: str

    def describe(self) -> str:
        """`rotation.overlap.minimum: 24h → 2h`."""
        return f"{self.field}: {self.old} → {self.new}"


@dataclass(frozen=True, slots=True)
class Add:
    """A credential that was never applied."""

    credential: Credential

    @property
    def name(self) -> Name:
        """Whom it concerns."""
        return self.credential.name

    def describe(self) -> tuple[str, ...]:
        """What will happen, one sentence each."""
        return _first_secret(self.credential)


@dataclass(frozen=True, slots=True)
class Change:
    """A declaration that differs from the one last applied."""

    credential: Credential
    changes: tuple[FieldChange, ...]

    @property
    def name(self) -> Name:
        """Whom it concerns."""
        return self.credential.name

    def describe(self) -> tuple[str, ...]:
        """The differences, then what follows from them."""
        return (*(change.describe() for change in self.changes), *_following(self.changes))


@dataclass(frozen=True, slots=True)
class Retire:
    """A credential that is no longer declared."""

    credential: Credential
    live: bool

    @property
    def name(self) -> Name:
        """Whom it concerns."""
        return self.credential.name

    def describe(self) -> tuple[str, ...]:
        """What will happen, one sentence each."""
        stays = f"its live secret stays valid until `credmgr revoke {self.name}`"
        return ("it is no longer rotated", *((stays,) if self.live else ()))


@dataclass(frozen=True, slots=True)
class Reinstate:
    """A retired or revoked credential that is declared again."""

    credential: Credential
    changes: tuple[FieldChange, ...]
    live: bool

    @property
    def name(self) -> Name:
        """Whom it concerns."""
        return self.credential.name

    def describe(self) -> tuple[str, ...]:
        """What will happen, one sentence each."""
        differences = tuple(change.describe() for change in self.changes)
        if not self.live:
            return (*differences, *_first_secret(self.credential))
        return ("it is rotated again", *differences, *_following(self.changes))


@dataclass(frozen=True, slots=True)
class Refused:
    """A change that cannot be applied while a secret of the credential is live."""

    credential: Credential
    changes: tuple[FieldChange, ...]

    @property
    def name(self) -> Name:
        """Whom it concerns."""
        return self.credential.name

    def describe(self) -> tuple[str, ...]:
        """The differences, why they are refused, and what to do."""
        if [change.field for change in self.changes] == ["store"]:
            return self._moving()
        fields = ", ".join(f"`{change.field}`" for change in self.changes)
        return (
            *(change.describe() for change in self.changes),
            f"{fields} cannot change while a secret is live: it would be lost from sight",
            f"declare it under a new name and move its consumers there; then retire {self.name}",
        )

    def _moving(self) -> tuple[str, ...]:
        """A store alone can change, though not by applying."""
        store = self.credential.store
        return (
            *(change.describe() for change in self.changes),
            "applying moves no secret, so it would be lost from sight",
            f"`credmgr migrate {self.name} --to {store.backend}` moves it, and loses nothing",
        )


@dataclass(frozen=True, slots=True)
class Unchanged:
    """A credential that is declared as last applied."""

    credential: Credential

    @property
    def name(self) -> Name:
        """Whom it concerns."""
        return self.credential.name

    def describe(self) -> tuple[str, ...]:
        """Nothing happens."""
        return ()


Step: TypeAlias = Add | Change | Retire | Reinstate | Refused | Unchanged


@dataclass(frozen=True, slots=True)
class Plan:
    """What applying would do.

    Attributes:
        steps: One per credential that is declared, or enrolled and active; by name.
    """

    steps: tuple[Step, ...]

    @property
    def refused(self) -> tuple[Refused, ...]:
        """The steps that forbid applying any of it."""
        return tuple(step for step in self.steps if isinstance(step, Refused))

    @property
    def changing(self) -> tuple[Step, ...]:
        """The steps that change anything, refused ones among them."""
        return tuple(step for step in self.steps if not isinstance(step, Unchanged))


def plan(
    declared: Mapping[Name, Credential],
    enrolled: Sequence[Enrolled],
    live: Collection[Name] | None = None,
) -> Plan:
    """Compare what is declared with what was last applied.

    Args:
        declared: The manifest's credentials.
        enrolled: Every credential that the state database knows, whatever its status.
        live: Those of them with a secret that is not proven dead; unless given, every one that is
            not revoked.
    """
    before = {known.credential.name: known for known in enrolled}
    if live is None:
        live = {name for name in before if before[name].status is not CredentialStatus.REVOKED}
    steps: list[Step] = []
    for name in sorted(declared.keys() | before.keys()):
        if name not in before:
            steps.append(Add(declared[name]))
        elif name in declared:
            steps.append(_again(declared[name], before[name], live=name in live))
        elif before[name].status is CredentialStatus.ACTIVE:
            steps.append(Retire(before[name].credential, name in live))
    return Plan(tuple(steps))


def _again(declared: Credential, before: Enrolled, *, live: bool) -> Step:
    changes = differences(before.credential, declared)
    fixed = tuple(change for change in changes if change.field in FIXED)
    if fixed and live:
        return Refused(declared, fixed)
    if before.status is not CredentialStatus.ACTIVE:
        return Reinstate(declared, changes, live)
    return Change(declared, changes) if changes else Unchanged(declared)


def differences(old: Credential, new: Credential) -> tuple[FieldChange, ...]:
    """The fields in which two declarations differ, in the order of the manifest."""
    before, after = in_words(old), in_words(new)
    return tuple(
        FieldChange(field, before.get(field, _NONE), after.get(field, _NONE))
        for field in {**before, **after}
        if before.get(field, _NONE) != after.get(field, _NONE)
    )


def in_words(credential: Credential) -> dict[str, str]:
    """A declaration as dotted field → text, in the order of the manifest; defaults included."""
    schedule, overlap, retry = (
        credential.policy.schedule,
        credential.policy.overlap,
        credential.policy.retry,
    )
    return {
        "kind": credential.kind.value,
        "issuer": credential.issuer,
        "owner": credential.owner,
        "environment": credential.environment.value,
        "description": credential.description or _NONE,
        "scopes": _listed(sorted(credential.scopes)),
        "client_id": credential.client_id or _NONE,
        "store": str(credential.store),
        **_targets(sorted(credential.targets, key=lambda target: target.place)),
        **_schedule(schedule),
        "rotation.overlap.minimum": format_duration(overlap.minimum),
        "rotation.overlap.maximum": format_duration(overlap.maximum),
        "rotation.retry.first": format_duration(retry.first),
        "rotation.retry.ceiling": format_duration(retry.ceiling),
        "rotation.retry.attempts": str(retry.attempts),
        "rotation.retry.verify_for": format_duration(retry.verify_for),
        **{f"options.{key}": str(value) for key, value in sorted(credential.options.items())},
    }


def _targets(targets: Sequence[Target]) -> dict[str, str]:
    watched = (one for one in targets if one.drift is not Drift.REPORT)
    return {
        "targets": _listed(str(one.place) for one in targets),
        "targets.best_effort": _listed(str(one.place) for one in targets if not one.required),
        "targets.drift": _listed(f"{one.place} {one.drift}" for one in watched),
    }


def _schedule(schedule: Schedule) -> dict[str, str]:
    return {
        "rotation.every": format_duration(schedule.every) if schedule.every else _NONE,
        "rotation.cron": schedule.cron or _NONE,
        "rotation.zone": schedule.zone.key,
        "rotation.windows": _listed(_window(window) for window in schedule.windows),
        "rotation.jitter": f"{schedule.jitter:g}",
    }


def _window(window: Window) -> str:
    days = " ".join(DAYS[day - 1] for day in sorted(window.days))
    return f"{days} {window.start:%H:%M}-{window.end:%H:%M}"


def _listed(items: Iterable[str]) -> str:
    return ", ".join(items) or _NONE


def _first_secret(credential: Credential) -> tuple[str, ...]:
    places = ", ".join(str(place) for place in credential.places)
    return (f"a first secret will be issued by {credential.issuer} and stored at {places}",)


def _following(changes: Iterable[FieldChange]) -> tuple[str, ...]:
    """What follows from changes of a credential that has a live secret."""
    fields = {change.field for change in changes}
    sentences = []
    if any(field in _SCHEDULING for field in fields):
        sentences.append("when it is next due is worked out anew")
    if "targets" in fields:
        sentences.append("the next rotation writes the targets as declared then")
        sentences.append("a copy at a target taken out stays there, and is no longer kept current")
    if "scopes" in fields:
        sentences.append("the next secret, and tokens made from now on, have the new scopes")
    return tuple(sentences)


_SCHEDULING: Final = frozenset(
    {"rotation.every", "rotation.cron", "rotation.zone", "rotation.windows", "rotation.jitter"}
)
