"""`credmgr apply`: make the manifest's credentials known."""

from credmgr.cli import plan as planning
from credmgr.cli.output import Json, Yes, confirm, json_out, say
from credmgr.cli.session import log_quietly, session


def apply(*, yes: Yes = False, as_json: Json = False) -> None:
    """Show what the manifest changes, ask, and make it so.

    New credentials get their first secret from `credmgr run`; those no longer declared are retired,
    their live secrets stay until `credmgr revoke`. Brings the state database's schema up to date.
    Repeating it changes nothing.

    [dim]Example:[/] credmgr apply --yes
    """
    from credmgr.bootstrap import require_appliable

    log_quietly()
    with session(migrate=True) as app:
        app.rulebook()  # a wrong pack is told even where nothing else would change
        planned = app.plan()
        if not as_json:
            planning.show(planned)
        require_appliable(planned)
        if planned.changing:
            confirm("Apply this?", yes=yes)
            app.apply(planned)
    if as_json:
        json_out({"applied": [planning.facts(step) for step in planned.changing]})
    elif planned.changing:
        say("[green]applied[/]")
