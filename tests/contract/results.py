"""Runs the backend contract everywhere and writes its results as a page: checks by stores.

`make contract` calls it; it exits 1 when a check fails anywhere.
"""

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "backends" / "contract.md"
COLUMNS: Final[Mapping[str, str]] = {
    "TestLocalBackend": "local",
    "TestVaultBackend": "OpenBao",
    "TestAwsBackend": "moto",
    "TestAzureBackendOnTheFake": "fake Key Vault",
    "TestAzureBackendOnLowkeyVault": "lowkey-vault",
    "TestTutorialPlugin": "tutorial",
}
FILES: Final = (
    "tests/contract/test_backends.py",
    "tests/contract/test_vault_backend.py",
    "tests/contract/test_aws_backend.py",
    "tests/contract/test_azure_backend.py",
    "tests/contract/test_tutorial_plugin.py",
    "tests/integration/test_azure_lowkey.py",
)
HEAD: Final = """\
# The contract's results

What `make contract` wrote: each check of `BackendContract`, against each store. A number is how
many cases of a check passed. *n/a* says that the store has nothing that the check is about: no
compare-and-set, no network, nobody else who could write there, no such interface. *not run* says
that the store was not on the machine.

moto stands behind a layer of ours that refuses what AWS documents to refuse. lowkey-vault runs
where `CREDMGR_LOWKEY_JAR` names its jar, which is in no package registry. None of the columns is a
vendor's own service: what remains untried is at the end of each backend's page.
"""

Cell = Counter[str]


def outcomes(report: str) -> dict[str, dict[str, Cell]]:
    """How the cases of each check went, by check and column, from a JUnit report."""
    found: dict[str, dict[str, Cell]] = {}
    for case in ET.fromstring(report).iter("testcase"):  # noqa: S314 (pytest wrote it)
        column = COLUMNS.get(case.get("classname", "").rpartition(".")[2])
        if column is not None:
            check = case.get("name", "").partition("[")[0].removeprefix("test_").replace("_", " ")
            found.setdefault(check, {}).setdefault(column, Counter())[_outcome(case)] += 1
    return found


def page(found: Mapping[str, Mapping[str, Cell]]) -> str:
    """The whole page."""
    columns = list(COLUMNS.values())
    lines = [f"| check | {' | '.join(columns)} |", "| --- |" + " --- |" * len(columns)]
    for check, cells in sorted(found.items()):
        shown = [_shown(cells.get(column)) for column in columns]
        lines.append(f"| {check} | {' | '.join(shown)} |")
    totals = [_total([cells.get(column) for cells in found.values()]) for column in columns]
    lines.append(f"| **passed of run** | {' | '.join(totals)} |")
    return "\n".join([HEAD, *lines]) + "\n"


def _outcome(case: ET.Element) -> str:
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    return "skipped" if case.find("skipped") is not None else "passed"


def _shown(cell: Cell | None) -> str:
    if cell is None:
        return "*not run*"
    if cell["failed"]:
        return f"**{cell['failed']} of {cell.total()} failed**"
    return str(cell["passed"]) if cell["passed"] else "*n/a*"


def _total(cells: Sequence[Cell | None]) -> str:
    whole = sum((cell for cell in cells if cell), Counter[str]())
    ran = whole["passed"] + whole["failed"]
    return f"{whole['passed']} of {ran}" if ran else "*not run*"


def main() -> None:
    """Run, write, and say how it went."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("pytest", nargs="*", help="arguments for pytest, behind --")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="credmgr-contract-") as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *given.pytest]
        subprocess.run([*command, *FILES], cwd=ROOT, check=False)  # noqa: S603 (our own tests)
        found = outcomes(report.read_text())
    given.page.write_text(page(found))
    sys.stdout.write(f"written to {given.page}\n")
    if any(cell["failed"] for cells in found.values() for cell in cells.values()):
        sys.exit("a check failed")


if __name__ == "__main__":
    main()
