"""Every request of every change fails once in every way; repeating leads to the same end."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID, uuid4

import pytest

from credmgr.backends.azure_key_vault.naming import Naming
from credmgr.backends.azure_key_vault.session import AzureBackend
from credmgr.errors import BackendUnavailable
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.model.version import Stage
from credmgr.testing.backend_moves import everything, full, promoted, staged
from credmgr.testing.key_vault import FakeKeyVault, Fault, Harm
from tests.integration.key_vaults import a_context, granted, opened

PREFIX: Final = "faults-"
WRITES: Final = ("PUT", "PATCH", "DELETE", "POST")
SPOILED: Final = (Harm.ANSWER, Harm.RESET, Harm.LOST, Harm.TRUNCATED, Harm.NONSENSE, Harm.TWICE)
HARMS: Final = {"GET": SPOILED[:1], "PATCH": SPOILED[:3]}
"""By method. A read that fails comes to the same however it does, and PATCH is the same twice."""
Change = Callable[[AzureBackend], None]
Prepare = Callable[[AzureBackend, Name], Change]


def stage_first(_: AzureBackend, name: Name) -> Change:
    version = uuid4()
    return lambda session: session.stage(name, Secret("new"), version)


def stage_over(backend: AzureBackend, name: Name) -> Change:
    full(backend, name)
    return stage_first(backend, name)


def stage_after_discard(backend: AzureBackend, name: Name) -> Change:
    promoted(backend, name, "one")
    backend.discard(name, staged(backend, name, "two"))
    return stage_first(backend, name)


def promote_first(backend: AzureBackend, name: Name) -> Change:
    version = staged(backend, name, "new")
    return lambda session: session.promote(name, version, None)


def promote_over(backend: AzureBackend, name: Name) -> Change:
    full(backend, name)
    version, current = held(backend, name, Stage.NEXT), held(backend, name, Stage.CURRENT)
    return lambda session: session.promote(name, version, current)


def promote_after_delete(backend: AzureBackend, name: Name) -> Change:
    promoted(backend, name, "old")
    backend.delete(name)
    return promote_first(backend, name)


def roll_back(backend: AzureBackend, name: Name) -> Change:
    promoted(backend, name, "two", expect=promoted(backend, name, "one"))
    version, current = held(backend, name, Stage.PREVIOUS), held(backend, name, Stage.CURRENT)
    return lambda session: session.promote(name, version, current)


def discard_staged(backend: AzureBackend, name: Name) -> Change:
    full(backend, name)
    version = held(backend, name, Stage.NEXT)
    return lambda session: session.discard(name, version)


def discard_previous(backend: AzureBackend, name: Name) -> Change:
    full(backend, name)
    version = held(backend, name, Stage.PREVIOUS)
    return lambda session: session.discard(name, version)


def delete(backend: AzureBackend, name: Name) -> Change:
    full(backend, name)
    return lambda session: session.delete(name)


CHANGES: Final[tuple[Prepare, ...]] = (
    stage_first,
    stage_over,
    stage_after_discard,
    promote_first,
    promote_over,
    promote_after_delete,
    roll_back,
    discard_staged,
    discard_previous,
    delete,
)


def held(backend: AzureBackend, name: Name, stage: Stage) -> UUID:
    return backend.read(name, stage).version


@dataclass(frozen=True)
class End:
    """What is left: what each stage reads as, and every value that the vault gives out."""

    stages: dict[Stage, str]
    given: set[str]


@pytest.fixture(scope="module")
def vault() -> Iterator[FakeKeyVault]:
    with FakeKeyVault(permits=granted()) as vault:
        yield vault


@pytest.fixture
def backend(vault: FakeKeyVault) -> Iterator[AzureBackend]:
    session = opened(vault, prefix=PREFIX)
    yield session
    session.close()


@pytest.fixture
def impatient(vault: FakeKeyVault) -> Iterator[AzureBackend]:
    session = opened(vault, a_context(deadline=timedelta(seconds=0.4)), prefix=PREFIX)
    yield session
    session.close()


def a_name() -> Name:
    return Name(f"x{uuid4().hex[:10]}/key")


def end_of(vault: FakeKeyVault, backend: AzureBackend, name: Name) -> End:
    places = Naming(PREFIX).of(name)
    there = [o for o in vault.content.objects(deleted=False) if o.name.startswith(places.main)]
    given = {v.value for one in there for v in one.versions if v.enabled}
    found = {stage: value for stage, (_, value) in everything(backend, name).items()}
    return End(found, given)


def undisturbed(
    vault: FakeKeyVault, backend: AzureBackend, prepare: Prepare
) -> tuple[End, list[str]]:
    """The end without a fault, and the methods of the requests that led to it."""
    name = a_name()
    change = prepare(backend, name)
    before = len(vault.calls)
    change(backend)
    methods = [method for method, _ in vault.calls[before:]]
    return end_of(vault, backend, name), methods


@pytest.mark.parametrize("prepare", CHANGES, ids=lambda change: change.__name__)
def test_whatever_fails_repeating_leads_to_the_same_end(
    vault: FakeKeyVault, backend: AzureBackend, prepare: Prepare
) -> None:
    expected, methods = undisturbed(vault, backend, prepare)
    for number, method in enumerate(methods):
        for harm in HARMS.get(method, SPOILED):
            name = a_name()
            change = prepare(backend, name)
            vault.faults.add(Fault(harm, skip=number))
            if harm is Harm.TWICE:
                change(backend)
            else:
                with pytest.raises(BackendUnavailable):
                    change(backend)
            change(backend)
            assert end_of(vault, backend, name) == expected, (number, method, harm)


@pytest.mark.parametrize("harm", [Harm.HANG, Harm.APPLIED_HANG, Harm.DRIP])
@pytest.mark.parametrize("prepare", [stage_first, promote_over, discard_staged])
def test_a_call_without_an_end_is_given_up_and_can_be_repeated(
    vault: FakeKeyVault,
    backend: AzureBackend,
    impatient: AzureBackend,
    prepare: Prepare,
    harm: Harm,
) -> None:
    expected, methods = undisturbed(vault, backend, prepare)
    write = next(m for m in methods if m in WRITES)
    name = a_name()
    change = prepare(backend, name)
    vault.faults.add(Fault(harm, method=write))
    with pytest.raises(BackendUnavailable):
        change(impatient)
    change(backend)
    assert end_of(vault, backend, name) == expected


def test_a_write_that_was_applied_twice_is_one_version(
    vault: FakeKeyVault, backend: AzureBackend
) -> None:
    name = a_name()
    vault.faults.add(Fault(Harm.TWICE, method="PUT"))
    version = staged(backend, name, "new")
    vault.faults.add(Fault(Harm.TWICE, method="PUT"))
    backend.promote(name, version, None)
    assert Counter(h.version for h in backend.versions(name)) == {version: 1}
    backend.promote(name, version, None)
    kept = vault.content.versions(Naming(PREFIX).of(name).main)
    assert [stored.enabled for stored in kept] == [False, True]
