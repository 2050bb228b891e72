"""What a command imports before it does anything: nothing that it does not need."""

import subprocess
import sys

from tests.acceptance.installation import Installation

SDKS = ("hvac", "boto3", "azure", "starlette")


def imported(home: Installation, *arguments: str) -> set[str]:
    done = subprocess.run(  # noqa: S603 (our own command)
        [sys.executable, "-X", "importtime", "-m", "credmgr", *arguments],
        env=home.env(),
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


def test_help_loads_no_machinery(home: Installation) -> None:
    loaded = imported(home, "--help")

    assert "typer" in loaded
    assert loaded.isdisjoint(
        {*SDKS, "sqlalchemy", "structlog", "pydantic", "cryptography", "urllib3", "yaml"}
    )


def test_status_loads_no_vendor_sdk_and_no_server(home: Installation) -> None:
    loaded = imported(home, "status")

    assert "sqlalchemy" in loaded
    assert loaded.isdisjoint({*SDKS, "uvicorn", "apscheduler", "alembic"})
