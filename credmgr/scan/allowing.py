"""What is let stand: a word in the line itself, or a baseline of what was there before."""

import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from credmgr.errors import UsageError

MARK: Final = b"credmgr:allow"
"""In a comment of the same line, followed by the reason."""
_SALT: Final = 16
_VERSION: Final = 1
_ENDS: Final = b"-*#/>'\"\t\r ;,)"


@dataclass(frozen=True, slots=True)
class Allowed:
    """What is said beside a finding.

    Attributes:
        reason: Why it may stand there; empty where none was given, which does not count.
    """

    reason: str


def beside(data: bytes, at: int) -> Allowed | None:
    """What the line at an offset says about being allowed; None when nothing."""
    start = data.rfind(b"\n", 0, at) + 1
    end = data.find(b"\n", at)
    line = data[start : len(data) if end < 0 else end]
    _, found, rest = line.partition(MARK)
    if not found:
        return None
    return Allowed(rest.strip(_ENDS + b":").decode(errors="replace"))


@dataclass(frozen=True, slots=True)
class Baseline:
    """What was found once and is not told again: by rule, path and value, not by line.

    A value is known by a hash with the baseline's own salt. Whoever reads the baseline has the
    values too: they stand in the repository beside it.

    Attributes:
        salt: What the hashes are made with.
        entries: Rule, path and hash of each.
    """

    salt: bytes
    entries: frozenset[tuple[str, str, str]] = frozenset()

    @classmethod
    def new(cls) -> Self:
        """One that lets nothing stand."""
        return cls(secrets.token_bytes(_SALT))

    @classmethod
    def read(cls, file: Path) -> Self:
        """The baseline of a file.

        Raises:
            UsageError: It cannot be read, or is none.
        """
        try:
            found = json.loads(file.read_text())
            if found["version"] != _VERSION:
                raise UsageError(f"{file} is a baseline of another version")
            entries = frozenset((one["rule"], one["path"], one["hash"]) for one in found["known"])
            return cls(bytes.fromhex(found["salt"]), entries)
        except OSError as error:
            raise UsageError(f"{file} cannot be read: {error.strerror}") from error
        except (ValueError, LookupError, TypeError) as error:
            raise UsageError(
                f"{file} is no baseline", hint="`credmgr scan … --write-baseline FILE` makes one"
            ) from error

    def write(self, file: Path, entries: Iterable[tuple[str, str, str]]) -> int:
        """Write a baseline with these entries and this salt; how many they are.

        Raises:
            UsageError: It cannot be written.
        """
        known: list[dict[str, Any]] = [
            {"rule": rule, "path": path, "hash": digest}
            for rule, path, digest in sorted(set(entries))
        ]
        made = {"version": _VERSION, "salt": self.salt.hex(), "known": known}
        try:
            file.write_text(json.dumps(made, indent=2) + "\n")
        except OSError as error:
            raise UsageError(f"{file} cannot be written: {error.strerror}") from error
        return len(known)
