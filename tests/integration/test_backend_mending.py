"""What a store tells of a copy without its value, and how it takes back what somebody wrote."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import pytest

from credmgr.backends.azure_key_vault.naming import spelled
from credmgr.backends.vault import VaultBackendFactory
from credmgr.backends.vault.options import TokenSignIn, VaultOptions
from credmgr.errors import NotOurs, SecretNotFound
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.testing.key_vault import FakeKeyVault
from tests.integration.aws import a_session
from tests.integration.aws import running as moto
from tests.integration.key_vaults import opened
from tests.integration.openbao import context_of, dev_server

NAME: Final = Name("caseforge/api-key")
OURS, THEIRS = Secret("what credmgr wrote"), Secret("what somebody else wrote")


@dataclass
class Place:
    """A store, and what somebody else can do in it."""

    session: Any
    overwrite: Callable[[Name], object]
    take_away: Callable[[Name], object]


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with dev_server() as server:
        context = context_of(Path(tmp_path_factory.mktemp("bao")), root=server.root)
        options = VaultOptions(server.address, token=TokenSignIn("env:root"))
        session = VaultBackendFactory().open(options, context)

        def overwrite(name: Name) -> object:
            found = server.status("GET", f"secret/metadata/credmgr/{name}")
            number = 0
            if found == 200:
                told = server.ask("GET", f"secret/metadata/credmgr/{name}")
                number = told["data"]["current_version"]
            body = {"data": {"value": THEIRS.reveal()}, "options": {"cas": number}}
            return server.ask("POST", f"secret/data/credmgr/{name}", body)

        yield Place(session, overwrite, lambda n: server.ask("DELETE", f"secret/data/credmgr/{n}"))
        session.close()


@pytest.fixture(scope="module")
def azure() -> Iterator[Place]:
    with FakeKeyVault() as vault:
        session = opened(vault, prefix="")

        def overwrite(name: Name) -> object:
            return vault.content.set(spelled(name), {"value": THEIRS.reveal()})

        def disable(name: Name) -> object:
            newest = vault.content.get(spelled(name), "")
            body = {"attributes": {"enabled": False}}
            return vault.content.update(spelled(name), newest.id, body)

        yield Place(session, overwrite, disable)
        session.close()


@pytest.fixture(params=["bao", "azure"])
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(request.param)
    return found


def kept(place: Place) -> tuple[Name, UUID]:
    name, version = Name(f"t{uuid4().hex[:8]}/key"), uuid4()
    place.session.stage(name, OURS, version)
    place.session.promote(name, version, expect=None)
    return name, version


def test_a_glance_changes_with_what_readers_see_and_with_nothing_else(place: Place) -> None:
    name, version = kept(place)
    before = place.session.glance(name)
    place.session.stage(name, THEIRS, uuid4())
    assert place.session.glance(name) == before

    place.overwrite(name)
    changed = place.session.glance(name)
    place.session.mend(name, OURS, version)
    mended = place.session.glance(name)
    place.take_away(name)

    assert len({before, changed, mended, place.session.glance(name)}) == 4


def test_what_somebody_wrote_is_told_and_taken_back(place: Place) -> None:
    name, version = kept(place)
    place.overwrite(name)
    assert place.session.salvage(name) == THEIRS

    for _ in range(2):
        place.session.mend(name, OURS, version)

    held = place.session.read(name)
    assert (held.version, held.secret) == (version, OURS)


def test_what_was_taken_away_is_put_back(place: Place) -> None:
    name, version = kept(place)
    place.take_away(name)
    with pytest.raises(SecretNotFound):
        place.session.salvage(name)

    place.session.mend(name, OURS, version)

    assert place.session.read(name).secret == OURS


def test_an_object_that_was_never_ours_is_not_mended(place: Place) -> None:
    name = Name(f"t{uuid4().hex[:8]}/foreign")
    place.overwrite(name)

    with pytest.raises(NotOurs):
        place.session.mend(name, OURS, uuid4())

    assert place.session.salvage(name) == THEIRS


def test_a_key_vault_says_when_a_secret_dies() -> None:
    with FakeKeyVault() as vault:
        session = opened(vault, prefix="")
        version, dies = uuid4(), datetime(2027, 1, 1, tzinfo=UTC)
        session.stage(NAME, OURS, version)
        session.promote(NAME, version, expect=None)
        before = session.glance(NAME)

        session.date(NAME, version, dies)
        session.date(NAME, uuid4(), datetime(2028, 1, 1, tzinfo=UTC))  # another is current

        assert vault.content.get(spelled(NAME), "").attributes["exp"] == int(dies.timestamp())
        assert session.glance(NAME) == before
        session.close()


def test_aws_tells_its_current_version_from_a_description() -> None:
    with moto() as server:
        session = a_session(server)
        assert session.glance(NAME) == ""
        versions = [uuid4(), uuid4()]
        for number, version in enumerate(versions):
            session.stage(NAME, OURS, version)
            session.promote(NAME, version, expect=versions[number - 1] if number else None)
        server.calls.clear()

        assert session.glance(NAME) == str(versions[1])
        assert server.calls == ["DescribeSecret"]
        session.close()
