"""One secret in OpenBao, copied to AWS, Azure and a file, under consumers that never stop."""

import json
import ssl
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Final

import pytest

from credmgr.backends.azure_key_vault.naming import spelled
from credmgr.bootstrap import App, build
from credmgr.cli.home import make
from credmgr.distribution.keeper import Care
from credmgr.errors import LeaseHeld
from credmgr.model.clock import SystemClock
from credmgr.model.copy import Condition
from credmgr.model.names import Name
from credmgr.model.rotation import ENDED, State
from credmgr.rotation.runbook import Runbook
from credmgr.testing.key_vault import FakeKeyVault
from tests.integration.aws import REGION, AwsServer, Fault
from tests.integration.aws import running as moto
from tests.integration.aws_strict import refused
from tests.integration.key_vaults import factory_for
from tests.integration.openbao import Bao, dev_server
from tests.sandbox_box import Box, running_box

KEY: Final = Name("caseforge/api-key")
PACE: Final = 0.05
MANIFEST: Final = """
version: 1
state: {{database: "sqlite:///state.db", master_key: file:master.key}}
daemon: {{lease: 5s}}
backends:
  bao: {{plugin: vault, address: "{bao}", token: {{token: file:bao.token}}, mount: secret}}
  aws: {{plugin: aws, region: {region}, endpoint_url: "{aws}", sts_endpoint_url: "{aws}",
         access_key_id: testing, secret_access_key: file:aws.key}}
  azure: {{plugin: azure, vault_url: "{azure}", ca_bundle: "{ca}",
           verify_challenge_resource: false}}
sinks:
  env-file: {{plugin: file, path: out, file: app.env, form: dotenv, key: CASEFORGE_API_KEY}}
issuers:
  caseforge: {{plugin: caseforge, url: "{sandbox}", admin_token: file:sandbox.token}}
credentials:
  caseforge/api-key:
    kind: api-key
    issuer: caseforge
    owner: payments-team
    environment: test
    store: bao
    scopes: ["cases:read"]
    targets:
      - {{backend: aws, required: false, drift: repair}}
      - {{backend: azure, drift: repair}}
      - {{sink: env-file, required: false, drift: report}}
    rotation: {{overlap: {{minimum: 10m, maximum: 1h}}}}
"""


class Leaping(SystemClock):
    """The machine's clock, and a way to be later at once."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead

    def monotonic(self) -> timedelta:
        return super().monotonic() + self.ahead


@dataclass
class Consumer:
    """Reads one copy as its users do, and logs in with what it finds, again and again."""

    place: str
    read: Callable[[], str | None]
    box: Box
    logins: int = 0
    refused: list[str] = field(default_factory=list)
    stop: Event = field(default_factory=Event)

    def run(self) -> None:
        held: str | None = None
        while not self.stop.wait(PACE):
            with suppress(OSError, LookupError):  # the place is down: what was read last counts
                held = self.read() or held
            if held is None:
                continue
            self.logins += 1
            answer = self.box.call("GET", "/v2/cases", bearer=held)
            if answer.status != 200:
                self.refused.append(f"{answer.status} with what {self.place} gave")


@dataclass
class Scene:
    """Everything that runs."""

    app: App
    clock: Leaping
    bao: Bao
    aws: AwsServer
    vault: FakeKeyVault
    box: Box
    file: Path
    consumers: list[Consumer] = field(default_factory=list)

    def rotate(self) -> State:
        """One rotation, to its end; its overlap passes at once."""
        row = Runbook(self.app.engine).rotate(KEY)
        for _ in range(60):
            self.keep()
            if row.state in ENDED | {State.OPERATOR}:
                return row.state
            self.clock.ahead += timedelta(minutes=2)
            with suppress(LeaseHeld):
                row = self.app.engine.tend(KEY) or self.app.store.ledger.rotation(row.id)
        raise AssertionError(f"still {row.state}: {row.waiting}")

    def keep(self) -> None:
        """The daemon's look at copies."""
        for copy in self.app.keeper.claim(100):
            self.app.keeper.tend(copy)

    def later(self, length: timedelta = timedelta(minutes=20)) -> None:
        self.clock.ahead += length
        self.keep()

    @property
    def conditions(self) -> dict[str, Condition]:
        return {one.place.backend: one.condition for one in self.app.store.copies.of(KEY)}

    @property
    def findings(self) -> set[str]:
        return {one.key for one in self.app.store.ledger.findings(open_only=True)}

    def in_bao(self) -> str | None:
        found = self.bao.ask("GET", f"secret/data/credmgr/{KEY}")["data"]["data"]["value"]
        return str(found)

    def in_aws(self) -> str | None:
        return self.aws.native(KEY)

    def in_azure(self) -> str | None:
        request = urllib.request.Request(  # noqa: S310 (an address of ours)
            f"{self.vault.url}/secrets/{spelled(KEY)}/?api-version=7.6",
            headers={"Authorization": f"Bearer {next(iter(self.vault.authority.tokens))}"},
        )
        context = ssl.create_default_context(cafile=str(self.vault.ca_file))
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:  # noqa: S310
            return str(json.loads(answer.read())["value"])

    def in_file(self) -> str | None:
        return self.file.read_text().splitlines()[0].partition("=")[2]


ALL_CURRENT: Final = dict.fromkeys(("bao", "aws", "azure", "env-file"), Condition.CURRENT)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with ExitStack() as stack:
        bao, aws = stack.enter_context(dev_server()), stack.enter_context(moto())
        vault, box = stack.enter_context(FakeKeyVault()), stack.enter_context(running_box())
        text = MANIFEST.format(
            bao=bao.address,
            aws=aws.url,
            region=REGION,
            azure=vault.url,
            ca=vault.ca_file,
            sandbox=box.sandbox.url,
        )
        home, clock = tmp_path / "home", Leaping()
        manifest = make(home, text)
        given = (("bao.token", bao.root), ("aws.key", "made-up-key-for-moto"))
        for name, value in (*given, ("sandbox.token", box.sandbox.admin_token.reveal())):
            (home / name).touch(0o600)
            (home / name).write_text(value)
        azure = replace(manifest.backends[Name("azure")], factory=factory_for(vault))
        manifest = replace(manifest, backends={**manifest.backends, Name("azure"): azure})
        app = build(manifest, clock=clock, actor="operator:test")
        stack.callback(app.close)
        app.apply(app.plan())
        scene = Scene(app, clock, bao, aws, vault, box, home / "out" / "app.env")
        for look in (scene.in_bao, scene.in_aws, scene.in_azure, scene.in_file):
            scene.consumers.append(Consumer(look.__name__, look, box))
        yield scene


@pytest.fixture
def watched(scene: Scene) -> Iterator[Scene]:
    """After the first secret, with a consumer at each copy; none of them was ever refused."""
    assert scene.rotate() is State.DONE
    scene.keep()
    threads = [Thread(target=one.run, daemon=True) for one in scene.consumers]
    for thread in threads:
        thread.start()
    yield scene
    while any(one.logins < 3 for one in scene.consumers):
        scene.consumers[0].stop.wait(PACE)
    for one in scene.consumers:
        one.stop.set()
    for thread in threads:
        thread.join()
    assert {one.place: one.refused[:3] for one in scene.consumers} == {
        one.place: [] for one in scene.consumers
    }


def equal(scene: Scene) -> bool:
    return len({scene.in_bao(), scene.in_aws(), scene.in_azure(), scene.in_file()}) == 1


def test_three_rotations_reach_four_places_and_no_consumer_notices(watched: Scene) -> None:
    seen = {watched.in_bao()}
    for _ in range(3):
        assert watched.rotate() is State.DONE
        watched.keep()
        assert equal(watched)
        seen.add(watched.in_bao())

    assert len(seen) == 4
    assert watched.conditions == ALL_CURRENT
    assert watched.findings == set()


def test_a_place_that_goes_down_in_a_rotation_is_brought_up_when_it_is_back(
    watched: Scene,
) -> None:
    old = watched.in_aws()
    watched.aws.faults.extend([("*", Fault.RESET)] * 10_000)

    row = Runbook(watched.app.engine).rotate(KEY)
    for _ in range(3):
        watched.later(timedelta(minutes=5))

    assert watched.app.store.ledger.rotation(row.id).state is State.OVERLAP
    assert watched.conditions["aws"] is Condition.UNREACHABLE
    assert f"copy/{KEY}/aws/{KEY}" in watched.findings
    assert watched.in_aws() == old != watched.in_bao()  # and the old secret still works

    watched.aws.faults.clear()
    watched.later()
    watched.app.engine.tend(KEY)

    assert equal(watched)
    assert watched.app.store.ledger.rotation(row.id).state is State.DONE
    assert watched.findings == set()


def test_a_copy_that_was_tampered_with_is_repaired_or_reported_as_its_target_says(
    watched: Scene,
) -> None:
    right = watched.in_bao()
    watched.vault.content.set(spelled(KEY), {"value": str(right)})  # which loses our mark
    watched.file.write_text(f"CASEFORGE_API_KEY={right}\n# somebody was here\n")

    watched.later()

    assert watched.conditions["azure"] is Condition.CURRENT
    assert watched.conditions["env-file"] is Condition.DRIFTED
    assert watched.findings == {f"drift/{KEY}/env-file/{KEY}"}


def test_a_store_that_was_written_over_is_reported_and_mended_by_a_person(watched: Scene) -> None:
    right = watched.in_bao()
    data = {"value": right, "note": "written by hand"}
    watched.bao.ask("POST", f"secret/data/credmgr/{KEY}", {"data": data, "options": {"cas": 1}})

    watched.later()
    assert watched.conditions["bao"] is Condition.DRIFTED
    assert watched.findings == {f"drift/{KEY}/bao/{KEY}"}

    for copy in watched.app.keeper.claim_of(KEY):
        watched.app.keeper.tend(copy, Care(repairs=True))
    found = watched.bao.ask("GET", f"secret/data/credmgr/{KEY}")["data"]["data"]
    assert found.keys() == {"value", "credmgr_version"}
    assert watched.findings == set()


def test_a_permission_that_was_removed_is_told_as_our_configuration(watched: Scene) -> None:
    denied = refused("AccessDeniedException", "not authorized to perform this")
    watched.aws.answers.update({"DescribeSecret": denied, "GetSecretValue": denied})

    watched.later()

    assert watched.conditions["aws"] is Condition.REFUSED
    assert watched.findings == {f"copy/{KEY}/aws/{KEY}"}
    watched.aws.answers.clear()
    watched.later()
    assert watched.conditions == ALL_CURRENT
    assert watched.findings == set()
