"""`credmgr import NAME`: bring a secret that a person got from a dashboard."""

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from credmgr.cli.names import Named
from credmgr.cli.output import Json
from credmgr.cli.rotate import finish
from credmgr.cli.session import HOW_TO_GIVE_IT, log_quietly, session
from credmgr.errors import SecretInArguments, UsageError

MOST_CHARACTERS: Final = 65_536


def import_secret(
    name: Named,
    extra: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    *,
    file: Annotated[
        Path | None, typer.Option(help="Read it from a file instead of prompt or input.")
    ] = None,
    secret_id: Annotated[
        str | None, typer.Option(help="The issuer's id for it, where it has one.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Bring a secret: at a prompt, on standard input, or by --file.

    Never as an argument, where every process on the machine can read it. A real login proves it
    before anything else happens; then it goes the way of every new secret. One line end behind it
    is cut off. A private key in PEM keeps its lines, so it comes on standard input or by --file.

    [dim]Example:[/] pass caseforge/key | credmgr import caseforge/api-key --secret-id key_1
    """
    from credmgr.model.names import Name
    from credmgr.model.secret import Secret
    from credmgr.rotation.runbook import Runbook
    from credmgr.rotation.work import Supplied

    if extra:
        raise SecretInArguments(hint=HOW_TO_GIVE_IT)
    log_quietly()
    with session() as app:
        app.store.ledger.enrolled(Name(name))
        supplied = Supplied(Secret(_given(name, file)), secret_id)
        row = Runbook(app.engine).bring(Name(name), supplied)
    finish(row, as_json=as_json)


def _given(name: str, file: Path | None) -> str:
    if file is not None:
        text = _read(file)
    elif sys.stdin.isatty():
        text = _asked(name)
    else:
        text = _decoded(sys.stdin.buffer.read(MOST_CHARACTERS + 1), "standard input")
    text = text.removesuffix("\n").removesuffix("\r")
    if not text.strip():
        raise UsageError("there is no secret: nothing was given")
    if len(text) > MOST_CHARACTERS:
        raise UsageError(f"a secret has at most {MOST_CHARACTERS} characters")
    if not text.isprintable() and not _is_pem(text):
        raise UsageError(
            "the secret holds line ends or control characters",
            hint="give exactly the value, nothing around it",
        )
    return text


def _is_pem(text: str) -> bool:
    """Whether it is a private key in PEM (RFC 7468), which is the one secret that has lines."""
    first, *_, last = lines = text.splitlines()
    wrapped = first.startswith("-----BEGIN ") and last.startswith("-----END ")
    return wrapped and all(line.isprintable() for line in lines)


def _asked(name: str) -> str:
    """What is typed, unseen: the terminal's echo is off before the question is shown."""
    from getpass import getpass

    try:
        return getpass(f"Secret of {name}: ", sys.stderr)
    except EOFError as error:
        raise typer.Abort from error


def _read(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            raw = stream.read(MOST_CHARACTERS + 1)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    return _decoded(raw, str(file))


def _decoded(raw: bytes, place: str) -> str:
    """The text; what is wrong is raised outside of `except`, whose error would carry the bytes."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        pass
    raise UsageError(f"{place} is not UTF-8 text")
