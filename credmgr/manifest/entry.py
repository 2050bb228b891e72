"""What every mapping of the manifest has in common, and lists in which nothing stands twice."""

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

from credmgr.manifest.forms import refuse
from credmgr.manifest.leaks import shown

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class Entry(BaseModel):
    """A mapping of the manifest: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def distinct(items: tuple[Any, ...]) -> tuple[Any, ...]:
    """A list in which nothing stands twice."""
    twice = next((item for number, item in enumerate(items) if item in items[:number]), None)
    if twice is not None:
        raise refuse(f"{shown(str(twice))} is listed twice")
    return items


def some(items: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same, not empty."""
    if not items:
        raise refuse("must not be empty")
    return distinct(items)
