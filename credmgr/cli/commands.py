"""The commands, in the order in which `--help` lists them."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from credmgr import __version__
from credmgr.cli import (
    ack,
    apply,
    audit,
    backends,
    check,
    consumer,
    distribute,
    doctor,
    drift,
    exec_,
    exempt,
    findings,
    get,
    history,
    import_,
    init,
    list,  # noqa: A004 (the command is called so)
    log,
    migrate,
    notify,
    plan,
    policy,
    rekey,
    resolve,
    revoke,
    rollback,
    rotate,
    run,
    sandbox,
    scan,
    show,
    snooze,
    status,
    token,
)
from credmgr.cli.demo import command as demo
from credmgr.cli.session import begin
from credmgr.settings import LogFormat, LogLevel

app = typer.Typer(
    name="credmgr",
    help="Owns the life of every machine credential: stores, rotates, distributes, audits.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

PANELS: Final[dict[str, dict[str, Callable[..., Any]]]] = {
    "Set up": {
        "init": init.init,
        "check": check.check,
        "plan": plan.plan,
        "apply": apply.apply,
        "run": run.run,
    },
    "Look": {
        "status": status.status,
        "list": list.list_credentials,
        "show": show.show,
        "history": history.history,
        "audit": audit.audit,
        "drift": drift.drift,
        "doctor": doctor.doctor,
        "scan": scan.scan,
    },
    "Act": {
        "rotate": rotate.rotate,
        "distribute": distribute.distribute,
        "migrate": migrate.migrate,
        "rollback": rollback.rollback,
        "revoke": revoke.revoke,
        "import": import_.import_secret,
        "resolve": resolve.resolve,
        "ack": ack.ack,
        "snooze": snooze.snooze,
        "exempt": exempt.exempt,
        "get": get.get,
        "token": token.token,
        "exec": exec_.execute,
        "rekey": rekey.rekey,
    },
    "Try": {"sandbox": sandbox.sandbox, "demo": demo.demo},
}


def _version(wanted: bool) -> None:  # noqa: FBT001 (typer calls it with the flag)
    if wanted:
        typer.echo(f"credmgr {__version__}")
        raise typer.Exit


@app.callback()
def options(
    manifest: Annotated[
        Path | None,
        typer.Option("--manifest", "-m", help="The manifest; or [dim]CREDMGR_MANIFEST[/]."),
    ] = None,
    log_level: Annotated[
        LogLevel | None, typer.Option(help="Or [dim]CREDMGR_LOG_LEVEL[/].", metavar="LEVEL")
    ] = None,
    log_format: Annotated[
        LogFormat | None, typer.Option(help="Or [dim]CREDMGR_LOG_FORMAT[/].", metavar="FORMAT")
    ] = None,
    version: Annotated[  # noqa: ARG001, FBT002 (eager: it has done its work before)
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print it and exit."),
    ] = False,
) -> None:
    """Options before the command hold for all of them."""
    begin(manifest, log_level, log_format)


for panel, commands in PANELS.items():
    for name, command in commands.items():
        app.command(name, rich_help_panel=panel)(command)
app.add_typer(consumer.app, name="consumer", rich_help_panel="Act")
app.add_typer(findings.app, name="findings", rich_help_panel="Look")
app.add_typer(policy.app, name="policy", rich_help_panel="Look")
app.add_typer(backends.app, name="backends", rich_help_panel="Look")
app.add_typer(log.app, name="log", rich_help_panel="Look")
app.add_typer(notify.app, name="notify", rich_help_panel="Look")
