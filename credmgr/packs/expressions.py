"""CEL expressions: checked against the facts' types when a pack loads, bounded in cost.

https://github.com/google/cel-spec. An expression is short; its comprehensions do not nest, run over
lists that are bounded themselves, and there are few of them; the rest of CEL is linear in the
expression, so none can hold a sweep up.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, Final, NamedTuple

from credmgr.model.subject import Subject
from credmgr.policy.custom import Unclear

LONGEST: Final = 1000
MOST_COMPREHENSIONS: Final = 4
DEEPEST: Final = 20
INSTALL: Final = "pip install 'credmgr[cel]'"

_TEXT: Final = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_COMPREHENSION: Final = re.compile(r"\.\s*(?:all|exists|exists_one|existsOne|map|filter)\s*\Z")
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLACE: Final = re.compile(r"ERROR: <input>:\d+:(\d+): (.*)")
_NONE: Final = timedelta()


class Fact(NamedTuple):
    """A variable of an expression.

    Attributes:
        type: Its CEL type.
        meaning: What it is, for docs and messages.
        of: What it is of a credential at a moment.
        timed: Whether time alone changes it.
    """

    type: str
    meaning: str
    of: Callable[[Subject, datetime], Any]
    timed: bool = False


FACTS: Final[Mapping[str, Fact]] = {
    "name": Fact("string", "the credential's name", lambda s, _: str(s.name)),
    "kind": Fact("string", "`api-key` or `oauth-client`", lambda s, _: s.kind.value),
    "environment": Fact("string", "`development` … `production`", lambda s, _: s.environment.value),
    "issuer": Fact("string", "the issuer's name in the manifest", lambda s, _: str(s.issuer)),
    "owner": Fact("string", "who answers for it", lambda s, _: s.owner),
    "scopes": Fact("list(string)", "its declared scopes, sorted", lambda s, _: sorted(s.scopes)),
    "asked": Fact("list(string)", "scopes that were ever asked for", lambda s, _: sorted(s.asked)),
    "key_type": Fact("string", "`live`, `sandbox`, or empty", lambda s, _: s.key_type or ""),
    "has_secret": Fact("bool", "whether it has one now", lambda s, _: s.issued_at is not None),
    "scheduled": Fact("bool", "whether it is rotated without a person", lambda s, _: s.scheduled),
    "every": Fact(
        "duration", "the age at which it is replaced; zero for none", lambda s, _: s.every or _NONE
    ),
    "rotation": Fact(
        "string", "the state of the rotation in flight, or empty", lambda s, _: s.rotation or ""
    ),
    "age": Fact(
        "duration",
        "of its secret; zero without one",
        lambda s, now: _since(s.issued_at, now),
        timed=True,
    ),
    "idle": Fact(
        "duration",
        "since anybody was seen using it, or since it was declared",
        lambda s, now: _since(s.last_used or s.applied_at, now),
        timed=True,
    ),
    "expires": Fact(
        "bool", "whether its secret dies by itself", lambda s, _: s.expires_at is not None
    ),
    "expires_in": Fact(
        "duration",
        "what is left until then; zero when it does not",
        lambda s, now: s.expires_at - now if s.expires_at else _NONE,
        timed=True,
    ),
    "strays": Fact(
        "list(string)",
        "secrets at the issuer that credmgr does not know",
        lambda s, _: list(s.strays),
    ),
    "drifted": Fact("list(string)", "places whose copy was changed", lambda s, _: list(s.drifted)),
    "now": Fact("timestamp", "this moment", lambda _, now: now, timed=True),
}
"""Everything that an expression may speak of."""


def _since(moment: datetime | None, now: datetime) -> timedelta:
    return now - moment if moment else _NONE


class Refusal(ValueError):
    """An expression that a pack may not have.

    Attributes:
        what: What is wrong with it.
        fix: The remedy.
    """

    def __init__(self, what: str, fix: str | None = None) -> None:
        super().__init__(what)
        self.what, self.fix = what, fix


class CelExpression:
    """A compiled expression. Thread-safe: compiled once, evaluated with data of its own.

    Attributes:
        timed: Whether time alone could change what it says.
        reads: The facts that it speaks of.
    """

    def __init__(self, text: str) -> None:
        """Check and compile an expression.

        Raises:
            Refusal: It is none, speaks of what does not exist, is no question, or costs too much;
                or the library is missing.
        """
        require_cheap(text)
        words = set(_WORD.findall(_TEXT.sub("", text)))
        self.reads = tuple(name for name in FACTS if name in words)
        self._facts = tuple((name, FACTS[name].of) for name in self.reads)
        self.timed = any(FACTS[name].timed for name in self.reads)
        cel = _library()
        try:
            self._compiled = _environment().compile(text)
        except RuntimeError as error:
            raise _refusal(str(error)) from None
        kind = self._compiled.return_type()
        if kind != cel.Type.BOOL:
            raise Refusal(
                f"the expression is of type {kind.name().lower()}, not bool", "compare it"
            )

    def holds(self, subject: Subject, now: datetime) -> bool | Unclear:
        """Whether it is true of a credential."""
        data = {name: of(subject, now) for name, of in self._facts}
        try:
            value = self._compiled.eval(data=data).plain_value()
        except RuntimeError as error:
            return Unclear(_first_line(error))
        return value if isinstance(value, bool) else Unclear(_first_line(value))


def require_cheap(text: str) -> None:
    """Refuse an expression whose cost is not small whatever it is put to.

    Raises:
        Refusal: It is long, deep, or has many or nested comprehensions.
    """
    if len(text) > LONGEST:
        raise Refusal(f"the expression is longer than {LONGEST} characters", "make it two rules")
    bare = _TEXT.sub("''", text)
    comprehensions = 0
    open_ones: list[bool] = []
    for index, sign in enumerate(bare):
        if sign in "([{":
            loops = sign == "(" and _COMPREHENSION.search(bare[:index]) is not None
            if loops and any(open_ones):
                raise Refusal("a comprehension stands within another", "make it two rules")
            comprehensions += loops
            open_ones.append(loops)
        elif sign in ")]}" and open_ones:
            open_ones.pop()
        if len(open_ones) > DEEPEST:
            raise Refusal(f"the expression is nested deeper than {DEEPEST} levels")
    if comprehensions > MOST_COMPREHENSIONS:
        raise Refusal(f"the expression has more than {MOST_COMPREHENSIONS} comprehensions")


def _first_line(told: object) -> str:
    return str(told).partition("\n")[0][:200]


def _refusal(told: str) -> Refusal:
    """The library's message in one line, with the column within the expression."""
    found = _PLACE.search(told)
    if found is None:
        return Refusal(f"not a CEL expression: {_first_line(told)}")
    column, what = found.groups()
    if "undeclared reference" in what:
        return Refusal(f"column {column}: {what}", f"it may speak of {', '.join(FACTS)}")
    return Refusal(f"column {column}: {what[:300]}")


@cache
def _library() -> ModuleType:
    try:
        cel = import_module("cel_expr_python.cel")
    except ImportError:
        raise Refusal("rules with `when` need the CEL library", INSTALL) from None
    return cel


@cache
def _environment() -> Any:
    cel = _library()
    types = {
        "string": cel.Type.STRING,
        "bool": cel.Type.BOOL,
        "duration": cel.Type.DURATION,
        "timestamp": cel.Type.TIMESTAMP,
        "list(string)": cel.Type.List(cel.Type.STRING),
    }
    return cel.NewEnv(variables={name: types[fact.type] for name, fact in FACTS.items()})
