"""A table that fits its terminal: what matters least is left out, and nothing is folded."""

from collections.abc import Iterable, Sequence
from typing import Final

from credmgr.cli.output import console, emit

GAP: Final = 2
LEAST: Final = 12
"""Columns that the last column, which gives way to the others, has at least."""


def table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, expendable: Sequence[str] = ()
) -> None:
    """Print a table; cells may hold markup. The last column is cut off where it does not fit.

    Args:
        columns: Titles.
        rows: A cell for each column.
        expendable: Columns that may be left out where the terminal is narrow, first to go first.
            Those without any content are left out anyway.
    """
    from rich.table import Table

    width, cells = console().width, [list(row) for row in rows]
    widths = [
        max(_wide(title), *(_wide(row[index]) for row in cells)) if cells else _wide(title)
        for index, title in enumerate(columns)
    ]
    empty = {title for index, title in enumerate(columns) if _is_empty(cells, index)}
    kept = _fitting(columns, widths, expendable, empty & set(expendable), width)
    made = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="dim")
    left = width - sum(widths[index] + GAP for index in kept[:-1])
    for index in kept:
        room = min(widths[index], left) if index == kept[-1] else widths[index]
        made.add_column(columns[index], overflow="ellipsis", no_wrap=True, width=max(room, 1))
    for row in cells:
        made.add_row(*(row[index] for index in kept))
    emit(made)


def _fitting(
    columns: Sequence[str],
    widths: Sequence[int],
    expendable: Sequence[str],
    empty: set[str],
    width: int,
) -> list[int]:
    """The columns that there is room for."""
    kept = [index for index, title in enumerate(columns) if title not in empty]
    for title in (title for title in expendable if title not in empty):
        least = [*(widths[index] for index in kept[:-1]), min(widths[kept[-1]], LEAST)]
        if sum(least) + GAP * (len(kept) - 1) <= width:
            break
        kept = [index for index in kept if columns[index] != title]
    return kept


def _is_empty(cells: Sequence[Sequence[str]], index: int) -> bool:
    return all(row[index] in ("", "-") for row in cells)


def _wide(text: str) -> int:
    from rich.text import Text

    return Text.from_markup(text, emoji=False).cell_len
