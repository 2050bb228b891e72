"""Credential names: as an argument, and completed by the shell."""

from collections.abc import Iterable
from typing import Annotated, Final

import typer

from credmgr.errors import CredmgrError

_TOP: Final = "credentials:"


def complete(incomplete: str) -> Iterable[str]:
    """The names in the manifest that begin like this; nothing when it cannot be read."""
    from credmgr.cli.session import current
    from credmgr.settings import Settings

    try:
        path = current.settings.manifest if current.begun else Settings.read().manifest
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError, CredmgrError):  # a shell's prompt is no place to tell it
        return []
    return [name for name in _declared(text) if name.startswith(incomplete)]


def _declared(text: str) -> Iterable[str]:
    """The keys of the section `credentials`, found by their indentation.

    A shell waits for this at every press of a key: a parser and the checks take too long, and an
    included file or an unusual layout only costs a suggestion.
    """
    inside, depth = False, 0
    for line in text.splitlines():
        stripped = line.lstrip()
        indent = len(line) - len(stripped)
        if not stripped or stripped.startswith("#"):
            continue
        if indent == 0:
            inside, depth = stripped.startswith(_TOP), 0
        elif inside and indent == (depth or indent):
            depth = indent
            yield stripped.partition(":")[0].strip("'\"")


Named = Annotated[
    str, typer.Argument(metavar="NAME", help="The credential.", autocompletion=complete)
]
