"""What applying would change, in words."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from credmgr.manifest.plan import (
    Add,
    Change,
    FieldChange,
    Plan,
    Refused,
    Reinstate,
    Retire,
    Unchanged,
    plan,
)
from credmgr.model.credential import (
    Credential,
    CredentialStatus,
    Drift,
    Enrolled,
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
from credmgr.model.names import Name

NAME = Name("caseforge/api-key")
LOCAL, OTHER = Name("local"), Name("other")
KEY = Credential(
    name=NAME,
    kind=Kind.API_KEY,
    issuer=Name("caseforge"),
    owner="payments-team",
    environment=Environment.DEVELOPMENT,
    store=Place(LOCAL, NAME),
)


def enrolled(
    credential: Credential = KEY, status: CredentialStatus = CredentialStatus.ACTIVE
) -> Enrolled:
    return Enrolled(credential, status, datetime(2026, 11, 24, tzinfo=UTC), None)


def only(found: Plan) -> Any:
    (step,) = found.steps
    assert step.name == NAME
    return step


def test_a_new_credential_is_added() -> None:
    step = only(plan({NAME: replace(KEY, targets=(Target(Place(OTHER, NAME)),))}, []))

    assert isinstance(step, Add)
    assert step.describe() == (
        (
            "a first secret will be issued by caseforge and stored at local:caseforge/api-key, "
            "other:caseforge/api-key"
        ),
    )


def test_the_same_declaration_changes_nothing() -> None:
    found = plan({NAME: KEY}, [enrolled()])

    assert only(found) == Unchanged(KEY)
    assert only(found).describe() == ()
    assert found.changing == ()
    assert found.refused == ()


def rotation(**fields: Any) -> Callable[[Credential], Credential]:
    return lambda old: replace(old, policy=replace(RotationPolicy(), **fields))


DUE = "when it is next due is worked out anew"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda old: replace(old, owner="x"), ("owner: payments-team → x",)),
        (lambda old: replace(old, description="x"), ("description: (none) → x",)),
        (
            lambda old: replace(old, environment=Environment.TEST),
            ("environment: development → test",),
        ),
        (
            lambda old: replace(old, scopes=frozenset({"b", "a"})),
            (
                "scopes: (none) → a, b",
                "the next secret, and tokens made from now on, have the new scopes",
            ),
        ),
        (
            lambda old: replace(old, targets=(Target(Place(OTHER, NAME)),)),
            (
                "targets: (none) → other:caseforge/api-key",
                "the next rotation writes the targets as declared then",
                "a copy at a target taken out stays there, and is no longer kept current",
            ),
        ),
        (
            lambda old: replace(
                old,
                targets=(
                    Target(Place(OTHER, NAME), drift=Drift.REPAIR),
                    Target(Place(LOCAL, Name("b")), required=False),
                ),
            ),
            (
                "targets: (none) → local:b, other:caseforge/api-key",
                "targets.best_effort: (none) → local:b",
                "targets.drift: (none) → other:caseforge/api-key repair",
                "the next rotation writes the targets as declared then",
                "a copy at a target taken out stays there, and is no longer kept current",
            ),
        ),
        (lambda old: replace(old, options={"a": 1}), ("options.a: (none) → 1",)),
        (
            rotation(overlap=Overlap(timedelta(hours=2), timedelta(days=7))),
            ("rotation.overlap.minimum: 24h → 2h",),
        ),
        (rotation(retry=Retry(attempts=3)), ("rotation.retry.attempts: 12 → 3",)),
        (
            rotation(schedule=Schedule(every=timedelta(days=90))),
            ("rotation.every: (none) → 90d", DUE),
        ),
        (
            rotation(
                schedule=Schedule(
                    cron="0 3 * * 1",
                    zone=ZoneInfo("Europe/Berlin"),
                    windows=(Window(frozenset({7, 1}), time(22), time(5)),),
                    jitter=0.25,
                )
            ),
            (
                "rotation.cron: (none) → 0 3 * * 1",
                "rotation.zone: UTC → Europe/Berlin",
                "rotation.windows: (none) → mon sun 22:00-05:00",
                "rotation.jitter: 0 → 0.25",
                DUE,
            ),
        ),
    ],
)
def test_a_change_is_told_field_by_field_with_what_follows(
    change: Callable[[Credential], Credential], said: tuple[str, ...]
) -> None:
    step = only(plan({NAME: change(KEY)}, [enrolled()]))

    assert isinstance(step, Change)
    assert step.describe() == said


def test_an_option_taken_out_is_told() -> None:
    step = only(plan({NAME: KEY}, [enrolled(replace(KEY, options={"a": 1}))]))

    assert step.changes == (FieldChange("options.a", "1", "(none)"),)


FIXED = [
    ("kind", replace(KEY, kind=Kind.OAUTH_CLIENT), "kind: api-key → oauth-client"),
    ("issuer", replace(KEY, issuer=OTHER), "issuer: caseforge → other"),
    ("client_id", replace(KEY, client_id="app_1"), "client_id: (none) → app_1"),
]
STORE = (
    "store",
    replace(KEY, store=Place(OTHER, NAME)),
    "store: local:caseforge/api-key → other:caseforge/api-key",
)


@pytest.mark.parametrize(("field", "declared", "said"), FIXED)
@pytest.mark.parametrize("status", [CredentialStatus.ACTIVE, CredentialStatus.RETIRED])
def test_what_would_lose_a_live_secret_from_sight_is_refused(
    field: str, declared: Credential, said: str, status: CredentialStatus
) -> None:
    found = plan({NAME: replace(declared, owner="x")}, [enrolled(status=status)])

    step = only(found)
    assert found.refused == (step,)
    assert found.changing == (step,)
    assert isinstance(step, Refused)
    assert step.describe() == (
        said,
        f"`{field}` cannot change while a secret is live: it would be lost from sight",
        f"declare it under a new name and move its consumers there; then retire {NAME}",
    )


def test_a_store_that_is_to_move_is_told_how() -> None:
    _, declared, said = STORE

    step = only(plan({NAME: declared}, [enrolled()]))

    assert isinstance(step, Refused)
    assert step.describe() == (
        said,
        "applying moves no secret, so it would be lost from sight",
        f"`credmgr migrate {NAME} --to other` moves it, and loses nothing",
    )


@pytest.mark.parametrize(("field", "declared", "said"), [*FIXED, STORE])
def test_without_a_live_secret_anything_may_change(
    field: str, declared: Credential, said: str
) -> None:
    step = only(plan({NAME: declared}, [enrolled()], live=()))

    assert isinstance(step, Change)
    assert step.describe() == (said,)
    assert step.changes[0].field == field


@pytest.mark.parametrize(
    ("live", "said"),
    [
        (
            None,
            (
                "it is no longer rotated",
                "its live secret stays valid until `credmgr revoke caseforge/api-key`",
            ),
        ),
        (frozenset[Name](), ("it is no longer rotated",)),
    ],
)
def test_what_is_no_longer_declared_is_retired_never_deleted(
    live: frozenset[Name] | None, said: tuple[str, ...]
) -> None:
    step = only(plan({}, [enrolled()], live))

    assert isinstance(step, Retire)
    assert step.describe() == said


@pytest.mark.parametrize("status", [CredentialStatus.RETIRED, CredentialStatus.REVOKED])
def test_what_was_retired_already_is_not_told_again(status: CredentialStatus) -> None:
    assert plan({}, [enrolled(status=status)]).steps == ()


def test_a_retired_credential_declared_again_is_reinstated() -> None:
    step = only(plan({NAME: replace(KEY, owner="x")}, [enrolled(status=CredentialStatus.RETIRED)]))

    assert isinstance(step, Reinstate)
    assert step.describe() == ("it is rotated again", "owner: payments-team → x")


def test_a_revoked_one_gets_a_first_secret_and_may_change_its_store() -> None:
    declared = replace(KEY, store=Place(OTHER, NAME))

    step = only(plan({NAME: declared}, [enrolled(status=CredentialStatus.REVOKED)]))

    assert isinstance(step, Reinstate)
    assert step.describe() == (
        "store: local:caseforge/api-key → other:caseforge/api-key",
        "a first secret will be issued by caseforge and stored at other:caseforge/api-key",
    )


def test_the_steps_are_sorted_by_name() -> None:
    names = [Name("b"), Name("a"), Name("c")]
    declared = {name: replace(KEY, name=name) for name in names[:2]}

    found = plan(declared, [enrolled(replace(KEY, name=names[2]))])

    assert [step.name for step in found.steps] == ["a", "b", "c"]
    assert [type(step) for step in found.steps] == [Add, Add, Retire]
