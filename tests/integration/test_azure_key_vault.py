"""What a Key Vault does that other stores do not."""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4

import pytest
from requests.adapters import HTTPAdapter

from credmgr.backends.azure_key_vault.naming import STAGED
from credmgr.backends.azure_key_vault.options import LIMITS
from credmgr.backends.azure_key_vault.session import AzureBackend
from credmgr.backends.azure_key_vault.tagging import MARK
from credmgr.backends.azure_key_vault.transport import BoundedTransport
from credmgr.errors import (
    AccessDenied,
    BackendError,
    BackendUnavailable,
    Conflict,
    CorruptSecret,
    LimitExceeded,
    NotOurs,
    SecretNotFound,
)
from credmgr.model.clock import SystemClock
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.model.version import Stage
from credmgr.testing import FakeClock
from credmgr.testing.backend_moves import full, promoted, staged, stages
from credmgr.testing.key_vault import FakeKeyVault, Fault, Harm
from tests.integration.key_vaults import a_context, granted, needed, opened

NAME = Name("caseforge/api-key")
MAIN = "caseforge--api-key"
CLOCK = SystemClock()


@pytest.fixture
def vault() -> Iterator[FakeKeyVault]:
    with FakeKeyVault(permits=granted()) as vault:
        yield vault


@pytest.fixture
def backend(vault: FakeKeyVault) -> Iterator[AzureBackend]:
    session = opened(vault, prefix="", tags={"team": "payments"}, content_type="text/key")
    yield session
    session.close()


def values(vault: FakeKeyVault, name: str) -> list[tuple[str, bool]]:
    return [(stored.value, stored.enabled) for stored in vault.content.versions(name)]


def disable_newest(vault: FakeKeyVault, name: str) -> None:
    vault.content.update(name, "", {"attributes": {"enabled": False}})


# --- what native readers and operators see


def test_a_native_reader_gets_current_and_nothing_else(
    vault: FakeKeyVault, backend: AzureBackend
) -> None:
    full(backend, NAME)
    stored = vault.content.get(MAIN, "")
    assert (stored.value, stored.content_type) == ("second", "text/key")
    assert stored.tags["team"] == "payments"
    assert stored.tags[MARK] == NAME
    assert [one.name for one in vault.content.objects(deleted=False)] == [MAIN, MAIN + STAGED]


def test_no_copy_that_is_not_needed_is_given_out(
    vault: FakeKeyVault, backend: AzureBackend
) -> None:
    full(backend, NAME)
    two, one = backend.read(NAME), backend.read(NAME, Stage.PREVIOUS)
    backend.promote(NAME, one.version, two.version)
    assert values(vault, MAIN) == [("first", False), ("second", True), ("first", True)]
    assert values(vault, MAIN + STAGED) == [("first", False), ("second", False), ("third", True)]


def test_what_is_discarded_is_disabled_and_a_staged_one_soft_deleted(
    vault: FakeKeyVault, backend: AzureBackend
) -> None:
    full(backend, NAME)
    backend.discard(NAME, backend.read(NAME, Stage.NEXT).version)
    backend.discard(NAME, backend.read(NAME, Stage.PREVIOUS).version)
    assert values(vault, MAIN) == [("first", False), ("second", True)]
    assert [one.name for one in vault.content.objects(deleted=True)] == [MAIN + STAGED]
    assert not any(v.enabled for v in vault.content.objects(deleted=True)[0].versions)


def test_a_current_version_that_was_disabled_is_as_good_as_none(
    vault: FakeKeyVault, backend: AzureBackend
) -> None:
    one = promoted(backend, NAME, "one")
    two = promoted(backend, NAME, "two", expect=one)
    three = staged(backend, NAME, "three")
    disable_newest(vault, MAIN)
    with pytest.raises(SecretNotFound):
        backend.read(NAME)
    assert backend.read(NAME, Stage.PREVIOUS).version == one
    with pytest.raises(Conflict, match="current version None"):
        backend.promote(NAME, three, two)
    backend.promote(NAME, three, None)
    assert stages(backend, NAME) == {Stage.CURRENT: three}


def test_a_staged_version_that_was_disabled_is_staged_anew(
    vault: FakeKeyVault, backend: AzureBackend
) -> None:
    version = staged(backend, NAME, "value")
    disable_newest(vault, MAIN + STAGED)
    assert stages(backend, NAME) == {}
    backend.stage(NAME, Secret("value"), version)
    assert stages(backend, NAME) == {Stage.NEXT: version}


def test_a_superseded_version_can_be_staged_again_with_its_own_value_only(
    backend: AzureBackend,
) -> None:
    one = promoted(backend, NAME, "one")
    two = promoted(backend, NAME, "two", expect=one)
    three = promoted(backend, NAME, "three", expect=two)
    with pytest.raises(SecretNotFound):
        backend.promote(NAME, one, three)
    with pytest.raises(Conflict):
        backend.stage(NAME, Secret("other"), one)
    backend.stage(NAME, Secret("one"), one)
    backend.promote(NAME, one, three)
    assert stages(backend, NAME) == {Stage.CURRENT: one, Stage.PREVIOUS: three}


# --- what others wrote


@pytest.mark.parametrize("where", [MAIN, MAIN + STAGED])
@pytest.mark.parametrize(
    "tags", [{}, {MARK: "other/name", "credmgr-version": str(uuid4())}, {MARK: NAME}]
)
def test_an_object_without_the_mark_for_this_name_is_not_ours(
    vault: FakeKeyVault, backend: AzureBackend, where: str, tags: dict[str, str]
) -> None:
    vault.content.set(where, {"value": "theirs", "tags": tags})
    for enabled in (True, False):
        vault.content.update(where, "", {"attributes": {"enabled": enabled}})
        for change in (
            lambda: staged(backend, NAME, "ours"),
            lambda: backend.delete(NAME),
            lambda: backend.versions(NAME),
        ):
            with pytest.raises(NotOurs):
                change()
    assert values(vault, where) == [("theirs", False)]


def test_a_glance_tells_of_an_object_without_a_version_of_ours(
    vault: FakeKeyVault, backend: AzureBackend
) -> None:
    vault.content.set(MAIN, {"value": "theirs"})
    with pytest.raises(NotOurs):
        backend.glance(NAME)
    adopting = opened(vault, prefix="", adopt=True)
    assert adopting.glance(NAME)
    version = promoted(adopting, NAME, "ours")
    vault.content.set(MAIN, {"value": "theirs, later"})
    assert backend.glance(NAME), f"{version} is among them"
    adopting.close()


def test_an_object_that_others_deleted_is_not_recovered(
    vault: FakeKeyVault, backend: AzureBackend
) -> None:
    version = staged(backend, NAME, "ours")
    vault.content.set(MAIN, {"value": "theirs"})
    vault.content.delete(MAIN)
    with pytest.raises(NotOurs):
        backend.promote(NAME, version, None)
    assert [one.name for one in vault.content.objects(deleted=True)] == [MAIN]


def test_an_object_is_adopted_only_when_that_is_said(vault: FakeKeyVault) -> None:
    vault.content.set(MAIN, {"value": "theirs"})
    backend = opened(vault, prefix="", adopt=True)
    assert stages(backend, NAME) == {}
    version = promoted(backend, NAME, "ours")
    assert stages(backend, NAME) == {Stage.CURRENT: version}
    assert values(vault, MAIN) == [("theirs", True), ("ours", True)]
    backend.close()


def test_a_template_is_what_an_existing_consumer_expects(vault: FakeKeyVault) -> None:
    backend = opened(vault, prefix="", template='{"password": {{ secret | json }}}')
    version = promoted(backend, NAME, 'a"b')
    assert values(vault, MAIN) == [('{"password": "a\\"b"}', True)]
    assert backend.read(NAME).secret.reveal() == 'a"b'
    assert stages(backend, NAME) == {Stage.CURRENT: version}
    long = "x" * (LIMITS.value_bytes - 1)
    with pytest.raises(LimitExceeded):
        staged(backend, NAME, long)
    backend.close()


def test_a_value_that_is_not_of_the_template_is_told(vault: FakeKeyVault) -> None:
    before = opened(vault, prefix="")
    promoted(before, NAME, "plain")
    before.close()
    backend = opened(vault, prefix="", template="key={{ secret }}")
    with pytest.raises(CorruptSecret, match="template"):
        backend.read(NAME)
    backend.close()


# --- soft deletion


@pytest.mark.parametrize("settle", [0, 3])
def test_a_deleted_name_is_recovered_with_nothing_given_out(
    vault: FakeKeyVault, settle: int
) -> None:
    backend = opened(vault, a_context(clock=FakeClock()), prefix="")
    full(backend, NAME)
    vault.content.settle = settle
    backend.delete(NAME)
    assert {one.name for one in vault.content.objects(deleted=True)} == {MAIN, MAIN + STAGED}
    version = promoted(backend, NAME, "new")
    assert stages(backend, NAME) == {Stage.CURRENT: version}
    given = [value for value, enabled in values(vault, MAIN) if enabled]
    assert given == ["new"]
    assert not any(method == "DELETE" and "deleted" in path for method, path in vault.calls)
    backend.close()


def test_what_an_operator_deleted_does_not_come_back_with_the_name(
    vault: FakeKeyVault, backend: AzureBackend
) -> None:
    promoted(backend, NAME, "old")
    vault.content.delete(MAIN)
    version = promoted(backend, NAME, "new")
    assert values(vault, MAIN) == [("old", False), ("new", True)]
    assert stages(backend, NAME) == {Stage.CURRENT: version}


def test_a_deletion_that_does_not_end_is_retryable(vault: FakeKeyVault) -> None:
    backend = opened(vault, a_context(clock=FakeClock()), prefix="")
    promoted(backend, NAME, "old")
    backend.delete(NAME)
    vault.content._objects[MAIN].settling = 1_000
    version = staged(backend, NAME, "new")
    with pytest.raises(BackendUnavailable, match="still being deleted"):
        backend.promote(NAME, version, None)
    backend.close()


# --- no compare-and-set, delays


def test_of_promotions_that_overlap_at_most_one_is_not_told(backend: AzureBackend) -> None:
    for turn in range(4):
        name = Name(f"race/{turn}")
        full(backend, name)
        current = backend.read(name).version
        rivals = [backend.read(name, stage).version for stage in (Stage.NEXT, Stage.PREVIOUS)]
        start = Barrier(2)

        def attempt(
            version: UUID, name: Name = name, current: UUID = current, start: Barrier = start
        ) -> bool:
            start.wait()
            try:
                backend.promote(name, version, current)
            except (Conflict, SecretNotFound):
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            assert sum(pool.map(attempt, rivals)) <= 1


def test_a_rival_that_wrote_in_between_is_noticed(
    vault: FakeKeyVault, backend: AzureBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = staged(backend, NAME, "ours")
    write = backend._shelves.write

    def late(*args: Any) -> Any:
        tags = {MARK: NAME, "credmgr-version": str(uuid4())}
        vault.content.set(MAIN, {"value": "theirs", "tags": tags})
        return write(*args)

    monkeypatch.setattr(backend._shelves, "write", late)
    with pytest.raises(Conflict, match="somebody else at the same time"):
        backend.promote(NAME, version, None)


def test_a_promotion_waits_until_readers_see_it(vault: FakeKeyVault) -> None:
    clock = FakeClock()
    backend = opened(vault, a_context(clock=clock), prefix="")
    one = promoted(backend, NAME, "one")
    two = staged(backend, NAME, "two")
    vault.content.lag = 3
    backend.promote(NAME, two, one)
    assert len(clock.waits) == 3
    backend.close()


def test_a_promotion_that_does_not_show_is_retryable(vault: FakeKeyVault) -> None:
    backend = opened(vault, a_context(clock=FakeClock()), prefix="")
    version = staged(backend, NAME, "one")
    vault.content.lag = 1_000
    with pytest.raises(BackendUnavailable, match="does not show yet"):
        backend.promote(NAME, version, None)
    backend.close()


def test_more_versions_than_fit_on_a_page_are_all_seen(backend: AzureBackend) -> None:
    current: UUID | None = None
    for number in range(30):
        current = promoted(backend, NAME, f"value {number}", expect=current)
    assert len(backend.versions(NAME)) == 30
    assert backend.versions(NAME)[0].stage is Stage.CURRENT


# --- throttling, permissions, trust


@pytest.mark.parametrize("status", [429, 503])
def test_a_vault_that_asks_to_wait_is_left_alone_so_long(vault: FakeKeyVault, status: int) -> None:
    clock = FakeClock()
    backend = opened(vault, a_context(clock=clock), prefix="")
    vault.faults.add(Fault(Harm.ANSWER, status=status, headers={"Retry-After": "7"}))
    with pytest.raises(BackendUnavailable, match="asks to wait 7 s") as caught:
        backend.read(NAME)
    assert caught.value.retry_after == timedelta(seconds=7)
    before = len(vault.calls)
    clock.advance(timedelta(seconds=6))
    with pytest.raises(BackendUnavailable, match="not sent") as caught:
        backend.read(NAME)
    assert caught.value.retry_after == timedelta(seconds=1)
    assert len(vault.calls) == before
    clock.advance(timedelta(seconds=1))
    with pytest.raises(SecretNotFound):
        backend.read(NAME)
    backend.close()


def test_a_failure_is_sent_once_and_repeated_by_nobody(
    vault: FakeKeyVault, backend: AzureBackend
) -> None:
    for fault in (Fault(Harm.ANSWER, method="PUT"), Fault(Harm.LOST, method="PUT")):
        before = len([call for call in vault.calls if call[0] == "PUT"])
        vault.faults.add(fault)
        with pytest.raises(BackendUnavailable):
            staged(backend, NAME, "value")
        assert len([call for call in vault.calls if call[0] == "PUT"]) == before + 1


def test_a_permission_that_is_missing_is_named(vault: FakeKeyVault, backend: AzureBackend) -> None:
    vault.faults.add(Fault(Harm.ANSWER, method="PUT", status=403, code="Forbidden"))
    with pytest.raises(AccessDenied, match="vaults/secrets/setSecret/action"):
        staged(backend, NAME, "value")
    vault.faults.add(Fault(Harm.ANSWER, path="/versions", status=403, code="Forbidden"))
    with pytest.raises(AccessDenied, match="vaults/secrets/readMetadata/action"):
        backend.check()


def test_the_shipped_role_has_exactly_what_a_whole_life_needs(
    vault: FakeKeyVault, backend: AzureBackend
) -> None:
    backend.check()
    full(backend, NAME)
    backend.discard(NAME, backend.read(NAME, Stage.NEXT).version)
    staged(backend, NAME, "again")
    backend.versions(NAME)
    backend.delete(NAME)
    promoted(backend, NAME, "anew")
    assert needed(vault.calls) == granted()


def test_a_vault_that_nobody_vouches_for_gets_no_token(vault: FakeKeyVault) -> None:
    backend = opened(vault, ca_bundle=None)
    with pytest.raises(BackendUnavailable, match="ca_bundle"):
        backend.check()
    assert vault.calls == []
    backend.close()


def test_a_vault_that_asks_for_a_foreign_token_gets_none(vault: FakeKeyVault) -> None:
    backend = opened(vault, verify_challenge_resource=True)
    with pytest.raises(BackendError, match="another domain"):
        backend.check()
    assert vault.credential.asked == []
    backend.close()


def test_no_value_is_sent_before_signing_in(vault: FakeKeyVault, backend: AzureBackend) -> None:
    value = secrets.token_urlsafe()
    promoted(backend, NAME, value)
    assert vault.unsigned
    assert not any(value.encode() in body for body in vault.unsigned)


def test_a_vault_that_is_not_there_is_retryable(vault: FakeKeyVault) -> None:
    backend = opened(vault, vault_url="https://localhost:1")
    with pytest.raises(BackendUnavailable, match="no connection"):
        backend.check()
    backend.close()


@pytest.mark.parametrize("harm", [Harm.HANG, Harm.DRIP])
def test_the_deadline_bounds_a_whole_call(vault: FakeKeyVault, harm: Harm) -> None:
    patient, backend = (
        opened(vault, a_context(deadline=timedelta(seconds=seconds)), prefix="")
        for seconds in (30, 0.5)
    )
    promoted(patient, NAME, "value")
    vault.faults.add(Fault(harm, method="GET"))
    started = CLOCK.monotonic()
    with pytest.raises(BackendUnavailable):
        backend.read(NAME)
    assert CLOCK.monotonic() - started < timedelta(seconds=2)
    patient.close()
    backend.close()


def test_nothing_is_sent_when_no_time_is_left(vault: FakeKeyVault) -> None:
    backend = opened(vault, a_context(deadline=timedelta()), prefix="")
    with pytest.raises(BackendUnavailable, match="not sent"):
        backend.check()
    assert vault.unsigned == []
    backend.close()


def test_a_version_list_that_says_nothing_of_a_disabled_object_counts_as_nothing(
    vault: FakeKeyVault, backend: AzureBackend
) -> None:
    promoted(backend, NAME, "value")
    vault.faults.add(Fault(Harm.ANSWER, path="/versions", status=404, code="SecretNotFound"))
    disable_newest(vault, MAIN)
    with pytest.raises(SecretNotFound):
        backend.read(NAME)


def test_more_threads_than_connections_wait_for_one(vault: FakeKeyVault) -> None:
    backend = opened(vault, a_context(workers=2), prefix="")
    promoted(backend, NAME, "value")
    start = Barrier(12)

    def read(_: int) -> str:
        start.wait()
        return backend.read(NAME).secret.reveal()

    with ThreadPoolExecutor(12) as pool:
        assert set(pool.map(read, range(12))) == {"value"}
    assert vault.connections == 2
    backend.close()


def test_waiting_for_a_connection_is_within_the_deadline(vault: FakeKeyVault) -> None:
    context = a_context(workers=1, deadline=timedelta(seconds=0.6))
    backend = opened(vault, context, prefix="")
    backend.check()
    for _ in range(2):
        vault.faults.add(Fault(Harm.HANG, method="GET"))
    started = CLOCK.monotonic()
    with ThreadPoolExecutor(2) as pool:
        for failed in [pool.submit(backend.read, NAME) for _ in range(2)]:
            assert isinstance(failed.exception(), BackendUnavailable)
    assert CLOCK.monotonic() - started < timedelta(seconds=1.1)
    backend.close()


def test_plain_connections_are_bounded_too() -> None:
    """The endpoint of a managed identity has no TLS."""
    transport = BoundedTransport(3, None)
    transport.open()
    assert transport.session is not None
    plain = transport.session.get_adapter("http://169.254.169.254")
    assert isinstance(plain, HTTPAdapter)
    assert plain.poolmanager.connection_pool_kw["maxsize"] == 3
    transport.close()
