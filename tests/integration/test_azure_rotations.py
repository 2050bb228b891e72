"""A Key Vault as the store and as a target: what its lack of compare-and-set asks of a rotation."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from credmgr.backends.azure_key_vault.naming import spelled
from credmgr.bootstrap import App, build
from credmgr.cli.home import make
from credmgr.model.names import Name
from credmgr.model.rotation import State
from credmgr.model.secret import Secret
from credmgr.plugins.context import DEADLINE
from credmgr.rotation.runbook import Runbook
from credmgr.testing.key_vault import FakeKeyVault
from tests.integration.key_vaults import factory_for, granted, opened
from tests.integration.test_distribution_real import Leaping
from tests.rotation_world import FIRST, NAME, SECOND, World, world_in
from tests.sandbox_box import Box, running_box
from tests.unit.test_distribution_dates import TARGETS, THIRD, Bare, Mortal, issued

KEY: Final = Name("caseforge/api-key")
LEASE: Final = timedelta(seconds=40)
STEP: Final = timedelta(seconds=10)
MANIFEST: Final = """
version: 1
state: {{database: "sqlite:///state.db", master_key: file:master.key}}
daemon: {{lease: 40s}}
backends:
  one: {{plugin: azure, vault_url: "{url}", ca_bundle: "{ca}", prefix: one-}}
  two: {{plugin: azure, vault_url: "{url}", ca_bundle: "{ca}", prefix: two-}}
issuers:
  caseforge: {{plugin: caseforge, url: "{sandbox}", admin_token: file:sandbox.token}}
credentials:
  caseforge/api-key:
    kind: api-key
    issuer: caseforge
    owner: payments-team
    environment: test
    store: one
    scopes: ["cases:read"]
    targets: [{{backend: two}}]
    rotation: {{overlap: {{minimum: 1s, maximum: 1s}}}}
"""


@pytest.fixture
def vault() -> Iterator[FakeKeyVault]:
    with FakeKeyVault(permits=granted()) as vault:
        yield vault


@pytest.fixture
def box() -> Iterator[Box]:
    with running_box() as box:
        yield box


@pytest.fixture
def app(vault: FakeKeyVault, box: Box, tmp_path: Path) -> Iterator[App]:
    text = MANIFEST.format(url=vault.url, ca=vault.ca_file, sandbox=box.sandbox.url)
    manifest = make(tmp_path / "home", text)
    token = tmp_path / "home" / "sandbox.token"
    token.touch(0o600)
    token.write_text(box.sandbox.admin_token.reveal())
    backends: dict[Name, Any] = {
        name: replace(
            found,
            factory=factory_for(vault),
            options=replace(found.options, verify_challenge_resource=False),
        )
        for name, found in manifest.backends.items()
    }
    app = build(replace(manifest, backends=backends), clock=Leaping(), actor="operator:test")
    app.apply(app.plan())
    yield app
    app.close()


def test_the_old_secret_outlives_every_late_write_to_a_required_key_vault(
    app: App, box: Box
) -> None:
    list(rotated(app))
    old = app.outside.backends[Name("one")].read(KEY).secret

    outlived = [app.clock.now() - began for began in rotated(app) if accepted(box, old)]

    quarantine = 2 * (DEADLINE + LEASE)
    assert quarantine - STEP <= max(outlived) <= quarantine + STEP
    assert not accepted(box, old)


def rotated(app: App) -> Iterator[datetime]:
    """A rotation in small steps, with when its overlap began."""
    row = Runbook(app.engine).rotate(KEY)
    for _ in range(60):
        if row.state is State.DONE:
            return
        if row.overlap_from is not None:
            yield row.overlap_from
        assert isinstance(app.clock, Leaping)
        app.clock.ahead += STEP
        row = app.engine.tend(KEY) or app.store.ledger.rotation(row.id)
    raise AssertionError(f"still {row.state}: {row.waiting}")


def accepted(box: Box, secret: Secret) -> bool:
    return box.call("GET", "/v2/cases", bearer=secret.reveal()).status == 200


def test_the_vault_says_when_what_readers_see_dies(vault: FakeKeyVault, tmp_path: Path) -> None:
    sessions = {name: opened(vault, prefix=f"{name}-") for name in (FIRST, SECOND, THIRD)}
    with world_in(tmp_path, targets=TARGETS) as world:
        world.issuer = Mortal(world.clock)
        world.backends = sessions  # type: ignore[assignment] # what a world does is a backend's
        for consumer in world.consumers:
            consumer.issuer = world.issuer
        engine = world.engine(Bare())
        world.settle(engine)
        world.keep()
        world.next_day()
        world.turn(engine)
        world.keep()
        new, old = issued(world)
        assert shown(vault, world) == [int(new.timestamp())] * 3

        world.runbook(engine).rollback(NAME)
        world.keep()

        assert shown(vault, world) == [int(old.timestamp())] * 3
    for session in sessions.values():
        session.close()


def shown(vault: FakeKeyVault, world: World) -> list[int]:
    """The attribute `exp` of what readers of each place get."""
    places = world.credential.places
    found = [vault.content.get(f"{place.backend}-{spelled(place.name)}", "") for place in places]
    return [stored.attributes["exp"] for stored in found]
