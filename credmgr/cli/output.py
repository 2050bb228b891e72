"""How results look: lines and pairs for a person, JSON for a script."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from credmgr.errors import UsageError
from credmgr.signs import SIGNS

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]

PIPED_WIDTH: Final = 240
"""Columns of an output that is no terminal: nothing there needs folding."""
_COLOURS: Final = {
    "INTENT": "cyan",
    "CREATED": "cyan",
    "STAGED": "cyan",
    "VERIFIED": "cyan",
    "OVERLAP": "blue",
    "REVOKING": "cyan",
    "DONE": "green",
    "ABORTING": "yellow",
    "ABORTED": "yellow",
    "OPERATOR": "bold red",
    "active": "green",
    "retired": "yellow",
    "revoked": "dim",
    "current": "green",
    "behind": "yellow",
    "drifted": "bold red",
    "refused": "red",
    "unreachable": "yellow",
}
_UNITS: Final = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def console() -> "Console":
    """Standard output, as wide as the terminal."""
    from rich.console import Console

    return Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)


def say(text: str = "") -> None:
    """One line for a person; rich markup is allowed in it, so foreign text goes through `plain`."""
    console().print(text, soft_wrap=True)


def plain(text: object) -> str:
    """Foreign text, harmless in our output: no markup, no control or direction characters."""
    from rich.markup import escape

    return escape("".join(one if one.isprintable() else "\ufffd" for one in str(text)))


def state(word: str, width: int = 0) -> str:
    """A state of a rotation or credential with its sign and colour, padded to `width`."""
    return f"[{_COLOURS.get(word, 'dim')}]{SIGNS.get(word, '·')} {word:<{width}}[/]"


def json_out(data: Any) -> None:
    """Print JSON, in ASCII: moments as ISO 8601 text, lengths of time as seconds."""
    sys.stdout.write(json.dumps(data, indent=2, default=as_json) + "\n")


def fields(pairs: Mapping[str, str]) -> None:
    """Print name and value pairs, aligned; both may hold markup."""
    lines([(f"[dim]{name}[/]", value) for name, value in pairs.items()])


def lines(rows: Sequence[Sequence[str]]) -> None:
    """Print cells, aligned and indented; only the last of each row is folded, below itself."""
    from rich.padding import Padding
    from rich.table import Table

    made = Table.grid(padding=(0, 2, 0, 0))
    for index in range(len(rows[0]) if rows else 0):
        made.add_column(no_wrap=index < len(rows[0]) - 1)
    for row in rows:
        made.add_row(*row)
    emit(Padding(made, (0, 0, 0, 2), expand=False))


def emit(made: "RenderableType") -> None:
    """Print something of several lines, without the blanks that fill them up."""
    screen = console()
    with screen.capture() as shown:
        screen.print(made)
    sys.stdout.writelines(f"{line.rstrip()}\n" for line in shown.get().splitlines())


def paragraph(text: str, indent: int = 0) -> None:
    """Print a sentence, folded between words on a terminal; markup is allowed in it."""
    from rich.padding import Padding
    from rich.text import Text

    emit(Padding(Text.from_markup(text, emoji=False), (0, 0, 0, indent), expand=False))


def steps(sentences: Sequence[str]) -> None:
    """Print what a person is asked to do, numbered; foreign text is made harmless."""
    if sentences:
        lines([(f"{number}.", plain(text)) for number, text in enumerate(sentences, 1)])


def heading(text: str) -> None:
    """The title of a part of a longer output."""
    say()
    paragraph(f"[bold]{text}[/]")


def ago(moment: datetime | None, now: datetime) -> str:
    """`3d 4h ago`, `in 20s`, `now`, or `-` for no moment."""
    if moment is None:
        return "-"
    passed = now - moment
    if abs(passed) < timedelta(seconds=1):
        return "now"
    return f"in {length(-passed)}" if passed < timedelta() else f"{length(passed)} ago"


def length(span: timedelta) -> str:
    """A length of time in its two largest units."""
    seconds = int(span.total_seconds())
    parts: list[str] = []
    for name, size in _UNITS:
        count, seconds = divmod(seconds, size)
        if count or (name == "s" and not parts):
            parts.append(f"{count}{name}")
    return " ".join(parts[:2])


def moments(span: timedelta) -> str:
    """A length of time where tenths of a second matter: `0.3s`, `20.1s`, `3m 2s`."""
    return f"{span.total_seconds():.1f}s" if span < timedelta(minutes=1) else length(span)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is lost; without a terminal, `--yes` must say it.

    Raises:
        typer.Abort: The answer was no.
        UsageError: There is nobody to ask.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{question} There is nobody to ask", hint="say it with --yes")
    typer.confirm(question, abort=True, err=True)


def as_json(value: object) -> object:
    """What JSON has no form for, as text or number."""
    match value:
        case datetime():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case frozenset() | set():
            return sorted(value)
        case _:
            return str(value)
