"""Whether a text looks as if a machine had made it up."""

import math
import re
from collections import Counter
from typing import Final

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_RUN: Final = re.compile(r"[A-Za-z0-9+=]{16,}")
_BITS_PER_CHARACTER: Final = 3.0


def random_looking(text: str) -> bool:
    """Whether `text` contains a run that a machine made up: letters and digits, hard to guess."""
    if _UUID.search(text):
        return True
    return any(
        re.search("[0-9]", run)
        and re.search("[A-Za-z]", run)
        and _entropy(run) > _BITS_PER_CHARACTER
        for run in _RUN.findall(text)
    )


def _entropy(text: str) -> float:
    shares = [count / len(text) for count in Counter(text).values()]
    return -sum(share * math.log2(share) for share in shares)
