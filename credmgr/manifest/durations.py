"""Durations as people write them: `90d`, `24h`, `20s`, `1h30m`."""

import re
from datetime import timedelta
from typing import Final

EXAMPLES: Final = "90d, 24h, 1h30m or 20s"
PATTERN: Final = r"^(?=[0-9])([0-9]{1,6}d)?([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,9}s)?$"
LONGEST: Final = timedelta(days=3650)
_DURATION: Final = re.compile(PATTERN.removesuffix("$"), re.ASCII)


def parse_duration(text: str) -> timedelta:
    """The duration that `text` names: days, hours, minutes and seconds, largest first.

    Raises:
        ValueError: It names none, or more than ten years; the message says what to do.
    """
    match = _DURATION.fullmatch(text)
    if not match:
        unit = ", a bare number has no unit" if text.isdecimal() else ""
        raise ValueError(f"not a duration{unit}; write one such as {EXAMPLES}")
    days, hours, minutes, seconds = (int(part[:-1]) if part else 0 for part in match.groups())
    duration = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if duration > LONGEST:
        raise ValueError("a duration is at most 3650d")
    return duration


def format_duration(duration: timedelta) -> str:
    """The shortest text of a duration in whole seconds; days from two whole ones on."""
    seconds = int(duration.total_seconds())
    if seconds >= 2 * 86400 and seconds % 86400 == 0:
        return f"{seconds // 86400}d"
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "m"), (seconds, "s"))
    return "".join(f"{count}{unit}" for count, unit in parts if count) or "0s"
