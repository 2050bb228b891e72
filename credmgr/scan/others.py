"""Secrets of others, which Kingfisher knows: AWS, GitHub, Slack and some hundred more.

It is run with everything switched off that reaches beyond this machine: no validation of what it
finds, no look for updates; what it says is redacted by itself and its snippets are not even read.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from credmgr.errors import CredmgrError

PROGRAM: Final = "kingfisher"
_QUIET: Final = ("--no-update-check", "--quiet", "scan", "--no-validate", "--redact")
_FORM: Final = ("--format", "json", "--confidence", "medium")
_FOUND: Final = frozenset({0, 200, 205})
"""Its exit codes for nothing, for findings, and for findings that it validated."""
_KEPT: Final = ("HOME", "PATH", "TMPDIR")
_OURS: Final = "caseforge"


@dataclass(frozen=True, slots=True)
class Other:
    """What it found.

    Attributes:
        rule: Its rule.
        what: What that finds.
        path: Where.
        line: From 1.
        hash: Its own hash of rule, value and place.
        commit: The commit, in a history.
        at: When that was made.
        author: Who made it.
    """

    rule: str
    what: str
    path: str
    line: int
    hash: str
    commit: str = ""
    at: str = ""
    author: str = ""


def program() -> Path | None:
    """Where it is: beside this Python, or on the path; None when it is not installed."""
    beside = Path(sys.executable).with_name(PROGRAM)
    if beside.is_file():
        return beside
    found = shutil.which(PROGRAM)
    return Path(found) if found else None


def scan(scanner: Path, paths: Sequence[Path], *, history: bool) -> Sequence[Other]:
    """What it finds in files and folders, and in the history of repositories.

    Raises:
        CredmgrError: It did not do its work.
    """
    found: list[Other] = []
    with tempfile.TemporaryDirectory() as cache:
        for path in paths:
            kind = "full" if history else "none"
            told = _run(scanner, path, ("--git-history", kind, "--rule-cache-dir", cache))
            found += _read(told, path)
    return found


def _run(scanner: Path, path: Path, more: Sequence[str]) -> bytes:
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    try:
        done = subprocess.run(  # noqa: S603 (a list, and no shell)
            [str(scanner), *_QUIET, *_FORM, *more, "--", str(path)],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except OSError as error:
        raise CredmgrError(f"{PROGRAM} cannot be run: {error.strerror}") from error
    if done.returncode not in _FOUND:
        raise CredmgrError(
            f"{PROGRAM} ended with {done.returncode} at {path}", hint="or scan with --no-others"
        )
    return done.stdout


def _read(told: bytes, path: Path) -> Iterator[Other]:
    try:
        found = json.loads(told)["findings"] if told.strip() else []
        for one in found:
            if _OURS not in str(one["rule"]["id"]):
                yield _other(one, path)
    except (ValueError, LookupError, TypeError) as error:
        raise CredmgrError(f"{PROGRAM} answered with what is no report") from error


def _other(one: Any, path: Path) -> Other:
    rule, found = one["rule"], one["finding"]
    commit = found.get("git_metadata", {}).get("commit", {})
    place = Path(str(found["path"]))
    if commit and not place.is_relative_to(path):
        place = path / place  # of what is no longer on the disk
    return Other(
        rule=str(rule["id"]),
        what=str(rule["name"]).replace("-", " "),
        path=str(place),
        line=int(found["line"]),
        hash=str(found["fingerprint"]),
        commit=str(commit.get("id", "")),
        at=str(commit.get("date", "")),
        author=str(commit.get("author", {}).get("name", "")),
    )
