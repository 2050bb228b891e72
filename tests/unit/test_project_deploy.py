"""The units and the container's recipe say what the docs promise."""

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from credmgr.manifest.references import References

ROOT: Final = Path(__file__).parents[2]
UNIT: Final = ROOT / "deploy/systemd/credmgr.service"
CONTAINER: Final = (ROOT / "deploy/container/Containerfile").read_text()
EXPOSURE: Final = 1.5
"""systemd's own score, from 0 for locked up to 10 for open."""


@pytest.fixture
def service() -> configparser.SectionProxy:
    unit = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(UNIT)
    return unit["Service"]


def test_the_service_tells_when_it_is_ready_and_is_watched(
    service: configparser.SectionProxy,
) -> None:
    assert service["Type"] == "notify"
    assert service["WatchdogSec"] == "60"
    assert service["ExecReload"].endswith("-HUP $MAINPID")


def test_the_service_gets_its_master_key_as_a_credential(
    service: configparser.SectionProxy, tmp_path: Path
) -> None:
    name = service["LoadCredential"].partition(":")[0]
    credential = tmp_path / name
    credential.write_text("the key\n")
    credential.chmod(0o400)
    references = References(tmp_path, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert references.resolve(f"systemd-credential:{name}").reveal() == "the key"
    assert f"systemd-credential:{name}" in (ROOT / "docs/operations.md").read_text()


@pytest.fixture
def analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("systemd-analyze is not on this machine")
    return found


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a command that exists here."""
    text = UNIT.read_text().replace("/opt/credmgr/bin/credmgr", sys.executable)
    made = tmp_path / UNIT.name
    made.write_text(text)
    return made


def test_systemd_understands_the_unit(analyze: str, unit: Path) -> None:
    done = subprocess.run(  # noqa: S603 (systemd's own)
        [analyze, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    complaints = [line for line in done.stderr.splitlines() if unit.name in line]
    assert complaints == []


def test_systemd_finds_the_service_locked_up(analyze: str, unit: Path) -> None:
    done = subprocess.run(  # noqa: S603 (systemd's own)
        [analyze, "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    score = re.search(r"exposure level for \S+: ([0-9.]+)", done.stdout)
    assert score is not None, done.stderr
    assert float(score[1]) <= EXPOSURE


def test_the_container_runs_as_nobody_in_particular_and_installs_by_hash() -> None:
    assert re.findall(r"^USER (.+)$", CONTAINER, re.MULTILINE) == ["10001:10001"]
    assert "--require-hashes" in CONTAINER
    assert len(re.findall(r"^FROM ", CONTAINER, re.MULTILINE)) == 2
    assert re.findall(r"^VOLUME .+$", CONTAINER, re.MULTILINE) == ['VOLUME ["/var/lib/credmgr"]']
