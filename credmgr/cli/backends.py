"""`credmgr backends`: the places that secrets are kept in and copied to."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import typer

from credmgr.cli.output import Json, json_out, plain, say
from credmgr.cli.session import log_quietly, manifest
from credmgr.cli.table import table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from credmgr.manifest.manifest import Configured, Manifest
    from credmgr.model.names import Name
    from credmgr.plugins.context import Keys

COLUMNS: Final = ("NAME", "KIND", "PLUGIN", "VALUES TO", "NAMES TO", "CAN", "HEALTH")
EXPENDABLE: Final = ("NAMES TO", "CAN", "VALUES TO")
AT_ONCE: Final = 16
"""How many are asked at once, so that one that does not answer holds up no other."""

app = typer.Typer()


@dataclass(frozen=True, slots=True)
class Listed:
    """A backend or sink of the manifest.

    Attributes:
        name: What the manifest calls it.
        kind: `backend` or `sink`.
        plugin: The plugin's name.
        capabilities: What it can do beyond the minimum, sorted.
        value_bytes: Longest value, UTF-8.
        name_length: Longest name, in its own spelling.
        healthy: Whether its own check passed.
        problem: What is wrong; empty when nothing is.
        fix: What to do about it; empty where that is not known.
    """

    name: str
    kind: str
    plugin: str
    capabilities: Sequence[str]
    value_bytes: int
    name_length: int
    healthy: bool
    problem: str = ""
    fix: str = ""


@app.callback()
def backends() -> None:
    """Hold the commands together."""


@app.callback(invoke_without_command=True)
def without_command(context: typer.Context) -> None:
    """Backends and sinks: where secrets are kept and copied to. Alone it lists them."""
    if context.invoked_subcommand is None:
        list_backends()


@app.command("list")
def list_backends(*, as_json: Json = False) -> None:
    """List backends and sinks: plugin, limits, what each can do, and whether it works now.

    Each is signed in to and asked, all at once; nothing is changed. What permissions it has is told
    by `credmgr doctor`.

    [dim]Example:[/] credmgr backends list --json
    """
    log_quietly()
    found = _asked(manifest())
    if as_json:
        json_out({"backends": [asdict(one) for one in found]})
    else:
        _show(found)


def _asked(declared: "Manifest") -> list[Listed]:
    from credmgr.model.clock import SystemClock
    from credmgr.opening import context_factory
    from credmgr.outside import OutsideWorld, Watch

    context = context_factory(declared, SystemClock(), _keys(declared))
    world = OutsideWorld(declared, context, Watch())
    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            looks = [
                *_looks("backend", declared.backends, lambda name: world.backends[name].check()),
                *_looks("sink", declared.sinks, lambda name: world.sinks[name].check()),
            ]
            return list(pool.map(lambda look: look(), looks))
    finally:
        world.close()


def _keys(declared: "Manifest") -> "Keys":
    from credmgr.cli.checkup import NoKeys
    from credmgr.errors import KeyringError
    from credmgr.opening import open_keyring

    try:
        return open_keyring(declared)
    except KeyringError:
        return NoKeys()  # what seals says so, and the others are listed


def _looks(
    kind: str, configured: "Mapping[Name, Configured[Any]]", check: "Callable[[Name], None]"
) -> Iterator[Callable[[], Listed]]:
    for name, one in configured.items():
        yield partial(_look, kind, name, one, check)


def _look(
    kind: str, name: "Name", one: "Configured[Any]", check: "Callable[[Name], None]"
) -> Listed:
    from credmgr.errors import CredmgrError

    problem, fix = "", ""
    try:
        check(name)
    except CredmgrError as error:
        problem, fix = error.message, error.hint or ""
    return Listed(
        name=name,
        kind=kind,
        plugin=one.plugin,
        capabilities=sorted(getattr(one.factory, "capabilities", ())),
        value_bytes=one.factory.limits.value_bytes,
        name_length=one.factory.limits.name_length,
        healthy=not problem,
        problem=problem,
        fix=fix,
    )


def _show(found: Sequence[Listed]) -> None:
    table(COLUMNS, [_row(one) for one in found], expendable=EXPENDABLE)
    for one in found:
        if not one.healthy:
            say(f"\n[bold red]✗[/] [bold]{one.kind} {plain(one.name)}[/]  {plain(one.problem)}")
            if one.fix:
                say(f"  [dim]→ {plain(one.fix)}[/]")


def _row(one: Listed) -> tuple[str, ...]:
    health = "[green]✓[/] works" if one.healthy else "[bold red]✗[/] see below"
    return (
        f"[bold]{plain(one.name)}[/]",
        one.kind,
        plain(one.plugin),
        f"{one.value_bytes:,} B",
        str(one.name_length),
        ", ".join(one.capabilities) or "-",
        health,
    )
