"""Where tokens were written, and which process keeps them fresh."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import and_, bindparam, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from credmgr.model.credential import Place
from credmgr.model.names import Name
from credmgr.model.token import TokenPlace
from credmgr.store.database import Database
from credmgr.store.tables import token_places
from credmgr.store.types import Moment

_ALL: Final = select(token_places)
_ONE: Final = and_(
    token_places.c.credential == bindparam("b_credential"),
    token_places.c.backend == bindparam("b_backend"),
    token_places.c.name == bindparam("b_name"),
)
_HOLD: Final = (
    update(token_places)
    .where(
        or_(
            token_places.c.owner == bindparam("b_owner"),
            token_places.c.until <= bindparam("b_now", type_=Moment),
        )
    )
    .values(owner=bindparam("b_owner"), until=bindparam("b_until", type_=Moment))
)
_HELD: Final = _ALL.where(token_places.c.owner == bindparam("b_owner"))


class TokenBook:
    """The places, by transaction. Thread-safe; all methods may raise `StateUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def declare(self, places: Sequence[TokenPlace], now: datetime) -> None:
        """Know places that are declared; those that are no more stay known until forgotten."""
        rows = [{**_key(one.credential, one.place), "owner": "", "until": now} for one in places]
        if not rows:
            return
        with self._database.write() as tx:
            insert = sqlite.insert if tx.connection.dialect.name == "sqlite" else postgresql.insert
            tx.connection.execute(insert(token_places).on_conflict_do_nothing(), rows)

    def hold(self, owner: str, now: datetime, ttl: timedelta) -> Sequence[tuple[Name, Place]]:
        """Take the places that nobody keeps, and go on keeping ours; all that are ours then."""
        values = {"b_owner": owner, "b_now": now, "b_until": now + ttl}
        with self._database.read() as connection:
            if connection.execute(_ALL.limit(1)).first() is None:
                return ()
        with self._database.write() as tx:
            tx.connection.execute(_HOLD, values)
            rows = tx.connection.execute(_HELD, {"b_owner": owner})
            return [(row.credential, Place(row.backend, row.name)) for row in rows]

    def forget(self, credential: Name, place: Place) -> None:
        """Know nothing of a place any more: the token was removed there."""
        with self._database.write() as tx:
            key = {f"b_{name}": value for name, value in _key(credential, place).items()}
            tx.connection.execute(delete(token_places).where(_ONE), key)


def _key(credential: Name, place: Place) -> dict[str, Any]:
    return {"credential": credential, "backend": place.backend, "name": place.name}
