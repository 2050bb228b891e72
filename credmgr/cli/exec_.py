"""`credmgr exec NAME -- COMMAND`: a program with a credential in its environment, and no other."""

import os
import re
import shutil
import signal
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from credmgr.cli.names import complete
from credmgr.cli.session import log_quietly, session
from credmgr.cli.token import Scopes, obtained
from credmgr.errors import CredmgrError, UsageError

if TYPE_CHECKING:
    from credmgr.bootstrap import App
    from credmgr.model.names import Name

TOKEN: Final = "ACCESS_TOKEN"  # noqa: S105 (the end of a variable's name)
_PUT_OFF: Final = ("SIGPIPE", "SIGXFSZ")
"""Signals that Python ignores, which a program that takes our place would inherit."""

Names = Annotated[
    str,
    typer.Argument(
        metavar="NAME[,NAME…]",
        help="The credentials, commas between them.",
        autocompletion=complete,
    ),
]


def execute(
    names: Names,
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND…", help="What to run.")],
    *,
    token: Annotated[
        bool, typer.Option("--token", help="Hand on an access token instead of the secret.")
    ] = False,
    scope: Scopes = None,
) -> None:
    """Run a command with a credential in its environment, and in nobody else's.

    In CASEFORGE_API_KEY for caseforge/api-key, unless the manifest's `env` says otherwise; a token
    in CASEFORGE_ACCESS_TOKEN. The command takes this process's place: terminal, signals and exit
    code are its own. The audit log keeps who read it.

    [dim]Example:[/] credmgr exec caseforge/api-key -- python nightly_report.py
    """
    program = shutil.which(command[0])
    if program is None:
        raise UsageError(f"there is no command {command[0]!a}", hint="nothing was read")
    if scope and not token:
        raise UsageError("--scope narrows tokens only", hint="say --token as well")
    log_quietly()
    with session() as app:
        wanted = _variables(app, names.split(","), token=token)
        given = {
            variable: obtained(app, name, frozenset(" ".join(scope or ()).split()), None).value
            if token
            else app.reveal(name).reveal()
            for variable, name in wanted.items()
        }
    become(program, command, {**os.environ, **given})


def become(program: str, command: Sequence[str], environ: Mapping[str, str]) -> None:
    """Let a program take this process's place.

    Raises:
        CredmgrError: It cannot be run.
    """
    for name in _PUT_OFF:
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        os.execve(program, list(command), dict(environ))  # noqa: S606 (no shell is what is wanted)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "a value holds a NUL"
        raise CredmgrError(f"{command[0]!a} cannot be run: {why}") from None


def _variables(app: "App", names: Sequence[str], *, token: bool) -> Mapping[str, "Name"]:
    from credmgr.model.names import Name

    found: dict[str, Name] = {}
    for name in map(Name, names):
        variable = _token_variable(name) if token else app.manifest.variables.get(name)
        variable = variable or _worded(name)
        if variable in found:
            raise UsageError(
                f"{found[variable]} and {name} would both be in {variable}",
                hint="give one of them another `env` in the manifest",
            )
        found[variable] = name
    return found


def _token_variable(name: "Name") -> str:
    return _worded("/".join((*name.segments[:-1], TOKEN.lower())))


def _worded(name: str) -> str:
    """`CASEFORGE_API_KEY` for `caseforge/api-key`; no variable begins with a digit."""
    word = re.sub(r"[^A-Z0-9]", "_", name.upper())
    return f"_{word}" if word[0].isdigit() else word
