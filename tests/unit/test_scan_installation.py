"""What an installation adds to a scan: how secrets look, whether one lives, who is told."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO

from credmgr.errors import BackendUnavailable
from credmgr.model.audit import Event
from credmgr.model.consumer import Bearer
from credmgr.model.credential import Credential, CredentialStatus, Enrolled
from credmgr.model.finding import Alert, Finding, Severity
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.model.version import Stage, Version
from credmgr.plugins.backend import Held
from credmgr.scan.installation import Installation
from credmgr.scan.pieces import Notices, Piece, Where, blocks
from credmgr.scan.scanning import Found, found_in
from credmgr.testing.clock import FakeClock
from tests.rotation_world import credential
from tests.scan_world import FINGERPRINTER, WHEN, live_key, version

VALUE = live_key()


@dataclass
class Ledger:
    """A state database with one credential."""

    versions: list[Version]
    enrolled: Credential
    opened: list[Finding] = field(default_factory=list)
    told: list[Alert] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def all_enrolled(self) -> Sequence[Enrolled]:
        return [Enrolled(self.enrolled, CredentialStatus.ACTIVE, WHEN, None)]

    def fingerprinted(self) -> Sequence[Version]:
        return self.versions

    def bearers(self, now: datetime) -> Sequence[Bearer]:
        return [Bearer(Name("reader"), "00", now)]

    def note(self, event: Event) -> None:
        self.events.append(event)

    def open_finding(self, finding: Finding, actor: str) -> bool:
        news = finding.key not in {one.key for one in self.opened}
        assert actor
        self.opened.append(finding)
        return news

    def queue_alerts(self, raised: Sequence[Alert], event: Event) -> None:
        self.told += raised
        self.events.append(event)


@dataclass
class Stores:
    """A store that holds one value, or does not answer."""

    held_version: Version
    value: str | None

    def held(self, credential: Credential, stage: Stage) -> Held:
        assert credential.name == self.held_version.credential
        if self.value is None:
            raise BackendUnavailable("no answer")
        return Held(self.held_version.id, stage, Secret(self.value))


def installed(value: str | None = VALUE) -> tuple[Installation, Ledger, Notices]:
    enrolled = credential()
    known = version(VALUE, name=enrolled.name)
    ledger, notices = Ledger([known], enrolled), Notices()
    stores = Stores(known, value)
    made = Installation(ledger, stores, FINGERPRINTER, FakeClock(), "operator:a@b", notices)
    return made, ledger, notices


def found_by(installation: Installation) -> list[Found]:
    matcher = installation.matching(b"salt")()
    piece = Piece(Where("app.py"), BytesIO(f"key = '{VALUE}'".encode()))
    return [found for block in blocks(piece) for found in found_in(block, matcher)]


def test_a_live_secret_opens_a_critical_finding_and_tells_its_owner_once() -> None:
    installation, ledger, _ = installed()
    found = installation.confirm(found_by(installation))
    name = ledger.enrolled.name
    assert installation.raise_findings(found) == [name]
    assert installation.raise_findings(found) == []
    finding, alert = ledger.opened[0], ledger.told[0]
    assert (finding.key, finding.severity) == (f"leak/{name}", Severity.CRITICAL)
    assert ledger.versions[0].fingerprint in finding.text
    assert f"credmgr revoke {name} --leaked" in alert.body
    assert alert.owner == ledger.enrolled.owner
    assert len(ledger.told) == 1
    assert VALUE not in repr((ledger.opened, ledger.told, ledger.events))


def test_what_the_store_knows_as_another_value_is_not_told() -> None:
    installation, ledger, _ = installed()
    found = found_by(installation)
    stores = Stores(ledger.versions[0], live_key())
    doubting = Installation(ledger, stores, FINGERPRINTER, FakeClock(), "a@b", Notices())
    assert len(installation.confirm(found)) == 1
    assert doubting.confirm(found) == []


def test_a_store_that_does_not_answer_is_told_and_its_secret_found_all_the_same() -> None:
    installation, ledger, notices = installed(None)
    assert len(installation.confirm(found_by(installation))) == 1
    [notice] = notices.all()
    assert notice.startswith(str(ledger.enrolled.name))


def test_an_installation_without_secrets_reads_no_store() -> None:
    installation, ledger, _ = installed()
    ledger.versions.clear()
    assert installation.matching(b"salt").looks.whole
    assert ledger.events == []
