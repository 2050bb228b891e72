"""What `distribute` and `drift` share: looking at copies, all at once, and showing how they are."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

import typer

from credmgr.cli.exits import Exit
from credmgr.cli.names import complete
from credmgr.cli.output import ago, plain, say, state
from credmgr.cli.table import table
from credmgr.model.copy import Condition

if TYPE_CHECKING:
    from credmgr.bootstrap import App
    from credmgr.distribution.keeper import Care
    from credmgr.model.copy import Copy

COLUMNS: Final = ("CREDENTIAL", "PLACE", "CONDITION", "SINCE", "WHY")
EXPENDABLE: Final = ("SINCE",)
WELL: Final = frozenset({Condition.CURRENT, Condition.UNSEEN})

NamedOnes = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME]…", help="Credentials; all of them by default.", autocompletion=complete
    ),
]


def looked_at(
    app: "App", names: Sequence[str], care: "Care", seen: Callable[[int], None]
) -> "list[Copy]":
    """Look at every copy of the named credentials, or of all, as many at once as the daemon would.

    Args:
        app: Everything wired.
        names: Which credentials; none means all.
        care: How far each look goes.
        seen: Called with how many have been looked at.

    Raises:
        UnknownCredential: A name is none of a credential.
        StateUnavailable: The state database does not answer.
    """
    from credmgr.model.names import Name

    wanted = [app.store.ledger.enrolled(Name(name)).credential.name for name in names]
    wanted = wanted or [one.credential.name for one in app.store.ledger.all_enrolled()]
    with ThreadPoolExecutor(app.manifest.daemon.workers) as pool:
        claimed = [copy for name in wanted for copy in app.keeper.claim_of(name)]

        tended = {}
        for number, one in enumerate(pool.map(partial(app.keeper.tend, care=care), claimed), 1):
            tended[one.credential, one.place] = one
            seen(number)
    known = [copy for name in wanted for copy in app.store.copies.of(name)]
    return [tended.get((copy.credential, copy.place), copy) for copy in known]


def show(copies: "Sequence[Copy]", now: datetime) -> None:
    """A line for each copy."""
    rows = [
        (
            f"[bold]{plain(one.credential)}[/]",
            plain(one.place),
            state(one.condition),
            ago(one.since, now),
            plain(one.reason) or "-",
        )
        for one in copies
    ]
    if rows:
        table(COLUMNS, rows, expendable=EXPENDABLE)
    else:
        say("no copies are known: `credmgr apply` makes the manifest's credentials known")


def facts(copies: "Sequence[Copy]") -> list[dict[str, object]]:
    """The same for a script."""
    return [
        {
            "credential": one.credential,
            "place": str(one.place),
            "condition": one.condition,
            "version": one.version,
            "since": one.since,
            "reason": one.reason,
            "failures": one.failures,
            "repairs": one.repairs,
            "checked_at": one.checked_at,
            "look_at": one.look_at,
        }
        for one in copies
    ]


def verdict(copies: "Sequence[Copy]") -> Exit:
    """What the worst of them means for an exit code."""
    conditions = {one.condition for one in copies} - WELL
    if not conditions:
        return Exit.OK
    later = {Condition.BEHIND, Condition.UNREACHABLE}
    return Exit.UNAVAILABLE if conditions <= later else Exit.FAILED
