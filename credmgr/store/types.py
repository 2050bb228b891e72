"""Column types: moments, words, names and small JSON, the same on both databases."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

from sqlalchemy import TIMESTAMP, Dialect, String, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

from credmgr.model.names import Name
from credmgr.store.codec import canonical, moment_text, plain_text, utc

W = TypeVar("W", bound=StrEnum)


class Moment(TypeDecorator[datetime]):
    """An aware datetime; sortable ISO text on SQLite, `timestamptz` on PostgreSQL, UTC always."""

    impl = TIMESTAMP
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The column type of this database."""
        kind = String(32) if dialect.name == "sqlite" else TIMESTAMP(timezone=True)
        return dialect.type_descriptor(kind)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """On the way in."""
        if value is None:
            return None
        return moment_text(value) if dialect.name == "sqlite" else utc(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """On the way out."""
        if value is None:
            return None
        return utc(datetime.fromisoformat(value) if dialect.name == "sqlite" else value)


class Words(TypeDecorator[W], Generic[W]):
    """One word of a closed set, kept as its value."""

    impl = String(32)
    cache_ok = True

    def __init__(self, words: type[W]) -> None:
        self.words = words
        super().__init__()

    def process_bind_param(self, value: W | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """On the way in."""
        return None if value is None else self.words(value).value

    def process_result_value(self, value: str | None, dialect: Dialect) -> W | None:  # noqa: ARG002
        """On the way out."""
        return None if value is None else self.words(value)


class NameText(TypeDecorator[Name]):
    """A name, checked on the way out."""

    impl = String(255)
    cache_ok = True

    def process_bind_param(self, value: Name | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """On the way in."""
        return None if value is None else plain_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Name | None:  # noqa: ARG002
        """On the way out."""
        return None if value is None else Name(value)


class PlainText(TypeDecorator[str]):
    """Free text, whatever an issuer put into it."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """On the way in."""
        return None if value is None else plain_text(value)


class KeyText(PlainText):
    """The same, ordered by its characters on both databases, so that a prefix is a range."""

    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The column type of this database."""
        return dialect.type_descriptor(
            Text(collation="C" if dialect.name == "postgresql" else None)
        )


class Facts(TypeDecorator[Mapping[str, str]]):
    """A mapping of text to text as canonical JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Mapping[str, str] | None, dialect: Dialect) -> str:  # noqa: ARG002
        """On the way in."""
        return canonical({key: plain_text(text) for key, text in (value or {}).items()})

    def process_result_value(self, value: str | None, dialect: Dialect) -> Mapping[str, str]:  # noqa: ARG002
        """On the way out."""
        facts: Mapping[str, str] = json.loads(value or "{}")
        return facts


class Lines(TypeDecorator[Sequence[str]]):
    """A tuple of texts as canonical JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Sequence[str] | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """On the way in."""
        return None if value is None else canonical([plain_text(line) for line in value])

    def process_result_value(self, value: str | None, dialect: Dialect) -> Sequence[str] | None:  # noqa: ARG002
        """On the way out."""
        return None if value is None else tuple(json.loads(value))


class ScopeSet(TypeDecorator[frozenset[str]]):
    """A set of scopes, sorted and joined by blanks as on the wire, so that equal sets are equal."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: frozenset[str] | None, dialect: Dialect) -> str:  # noqa: ARG002
        """On the way in."""
        return " ".join(sorted(plain_text(scope) for scope in value or ()))

    def process_result_value(self, value: str | None, dialect: Dialect) -> frozenset[str]:  # noqa: ARG002
        """On the way out."""
        return frozenset((value or "").split())
