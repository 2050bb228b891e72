"""What one look of `credmgr doctor` comes to."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a check went."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        subject: What.
        verdict: How it is.
        detail: What was seen, one sentence.
        fix: What to do about it; empty when all is well.
    """

    subject: str
    verdict: Verdict
    detail: str
    fix: str = ""
