"""Between the model's values and the text that the state database keeps of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from credmgr.errors import CredmgrError, StateError
from credmgr.model.credential import (
    Credential,
    Drift,
    Environment,
    Kind,
    Overlap,
    Place,
    Retry,
    RotationPolicy,
    Schedule,
    Target,
    Window,
)
from credmgr.model.finding import Alert, Severity
from credmgr.model.names import Name

_TICK: Final = timedelta(microseconds=1)
_ALERT_TEXTS: Final = ("key", "owner", "title", "body", "id")


def utc(moment: datetime) -> datetime:
    """The same moment with zone UTC.

    Raises:
        ValueError: The moment has no zone, so it could be any.
    """
    if moment.tzinfo is UTC:
        return moment
    if moment.utcoffset() is None:
        raise ValueError("a moment without a zone is never stored")
    return moment.astimezone(UTC)


def moment_text(moment: datetime) -> str:
    """A moment as text of one width, so that it sorts as the moments do."""
    return utc(moment).isoformat(timespec="microseconds")


def plain_text(text: object) -> str:
    r"""Text that both databases take: NUL and lone surrogates become `\x00` and `\udc80`.

    An issuer may answer anything, and its answer may end in a reason or a journal line.

    Raises:
        TypeError: It is no text, above all a `Secret`.
    """
    if not isinstance(text, str):
        raise TypeError(f"the state database keeps text, not a {type(text).__name__}")
    return text.encode(errors="backslashreplace").decode().replace("\0", r"\x00")


def canonical(value: object) -> str:
    """JSON with sorted keys, no blanks and no characters outside ASCII: equal values, equal text.

    Raises:
        TypeError: Something in it is neither JSON nor a tuple, above all a `Secret`.
        ValueError: A number is not finite.
    """
    return json.dumps(_checked(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _checked(value: object) -> object:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Mapping():
            if not all(isinstance(key, str) for key in value):
                raise TypeError("the keys of a stored mapping are text")
            return {str(key): _checked(held) for key, held in value.items()}
        case list() | tuple():
            return [_checked(held) for held in value]
        case _:
            raise TypeError(f"the state database keeps plain values, not a {type(value).__name__}")


def declaration(credential: Credential) -> str:
    """The canonical text of a credential; equal declarations have equal texts.

    Raises:
        TypeError: `options` hold something that is no plain value, above all a `Secret`.
    """
    return canonical(
        {
            "name": credential.name,
            "kind": credential.kind.value,
            "issuer": credential.issuer,
            "owner": credential.owner,
            "environment": credential.environment.value,
            "store": asdict(credential.store),
            "targets": [_target_fields(target) for target in credential.targets],
            "scopes": sorted(credential.scopes),
            "client_id": credential.client_id,
            "policy": _policy_fields(credential.policy),
            "options": credential.options,
            "description": credential.description,
        }
    )


def credential(text: str) -> Credential:
    """What `declaration` wrote.

    Raises:
        StateError: The text is damaged, or names a time zone that this machine does not know.
    """
    try:
        fields = json.loads(text)
        return Credential(
            name=Name(fields["name"]),
            kind=Kind(fields["kind"]),
            issuer=Name(fields["issuer"]),
            owner=fields["owner"],
            environment=Environment(fields["environment"]),
            store=_place(fields["store"]),
            targets=tuple(_target(target) for target in fields["targets"]),
            scopes=frozenset(fields["scopes"]),
            client_id=fields["client_id"],
            policy=_policy(fields["policy"]),
            options=fields["options"],
            description=fields["description"],
        )
    except (LookupError, TypeError, ValueError, CredmgrError) as error:
        raise StateError(f"a stored declaration cannot be read: {error}") from error


def changed_fields(before: str, after: str) -> Sequence[str]:
    """Which top-level fields differ between two declarations."""
    old, new = json.loads(before), json.loads(after)
    return sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))


def alert_body(alert: Alert) -> str:
    """The canonical text of an alert, without what says nothing."""
    return canonical(_alert_fields(alert))


def alert(text: str) -> Alert:
    """What `alert_body` wrote."""
    return _alert(json.loads(text))


def _alert_fields(alert: Alert) -> Mapping[str, object]:
    said = {name: getattr(alert, name) for name in _ALERT_TEXTS}
    said |= {"severity": alert.severity.value, "at": moment_text(alert.at), "facts": alert.facts}
    if alert.environment is not None:
        said["environment"] = alert.environment.value
    if alert.items:
        said["items"] = [_alert_fields(item) for item in alert.items]
    return said | {name: True for name in ("resolved", "once") if getattr(alert, name)}


def _alert(fields: Mapping[str, Any]) -> Alert:
    environment = fields.get("environment")
    read = {
        "severity": Severity(fields["severity"]),
        "at": datetime.fromisoformat(fields["at"]),
        "environment": None if environment is None else Environment(environment),
        "items": tuple(_alert(item) for item in fields.get("items", ())),
    }
    return Alert(**{**fields, **read})


def _place(fields: Mapping[str, str]) -> Place:
    return Place(backend=Name(fields["backend"]), name=Name(fields["name"]))


def _target_fields(target: Target) -> Mapping[str, object]:
    """Only what is not usual, so that declarations of earlier releases stay equal to ours."""
    fields: dict[str, object] = asdict(target.place)
    if not target.required:
        fields["required"] = False
    if target.drift is not Drift.REPORT:
        fields["drift"] = target.drift.value
    return fields


def _target(fields: Mapping[str, Any]) -> Target:
    drift = Drift(fields.get("drift", Drift.REPORT))
    return Target(_place(fields), bool(fields.get("required", True)), drift)


def _span(span: timedelta) -> int:
    return span // _TICK


def _policy_fields(policy: RotationPolicy) -> Mapping[str, object]:
    schedule, overlap, retry = policy.schedule, policy.overlap, policy.retry
    return {
        "schedule": {
            "every_us": None if schedule.every is None else _span(schedule.every),
            "cron": schedule.cron,
            "zone": schedule.zone.key,
            "windows": [_window_fields(window) for window in schedule.windows],
            "jitter": float(schedule.jitter),
        },
        "overlap": {"minimum_us": _span(overlap.minimum), "maximum_us": _span(overlap.maximum)},
        "retry": {
            "first_us": _span(retry.first),
            "ceiling_us": _span(retry.ceiling),
            "attempts": retry.attempts,
            "verify_for_us": _span(retry.verify_for),
        },
    }


def _policy(fields: Mapping[str, Any]) -> RotationPolicy:
    schedule, overlap, retry = fields["schedule"], fields["overlap"], fields["retry"]
    every = schedule["every_us"]
    return RotationPolicy(
        schedule=Schedule(
            every=None if every is None else every * _TICK,
            cron=schedule["cron"],
            zone=ZoneInfo(schedule["zone"]),
            windows=tuple(_window(window) for window in schedule["windows"]),
            jitter=schedule["jitter"],
        ),
        overlap=Overlap(overlap["minimum_us"] * _TICK, overlap["maximum_us"] * _TICK),
        retry=Retry(
            first=retry["first_us"] * _TICK,
            ceiling=retry["ceiling_us"] * _TICK,
            attempts=retry["attempts"],
            verify_for=retry["verify_for_us"] * _TICK,
        ),
    )


def _window_fields(window: Window) -> Mapping[str, object]:
    return {
        "days": sorted(window.days),
        "start": window.start.isoformat(),
        "end": window.end.isoformat(),
    }


def _window(fields: Mapping[str, Any]) -> Window:
    start, end = time.fromisoformat(fields["start"]), time.fromisoformat(fields["end"])
    return Window(days=frozenset(fields["days"]), start=start, end=end)
