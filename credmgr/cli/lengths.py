"""Lengths of time as they are typed."""

from datetime import timedelta

from credmgr.errors import UsageError


def length_of(option: str, text: str, longest: str) -> timedelta:
    """A length of time, such as `7d`, above nothing and within a bound.

    Raises:
        UsageError: It is none, or beyond the bound.
    """
    from credmgr.manifest.durations import parse_duration

    try:
        length = parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from error
    if not timedelta() < length <= parse_duration(longest):
        raise UsageError(f"{option}: {longest} at most, and more than nothing")
    return length
