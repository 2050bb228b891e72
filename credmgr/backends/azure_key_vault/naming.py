"""How our names are spelled in a vault, where only letters, digits and dashes are allowed.

A vault ignores case, so nothing but dashes is left to escape with. In one of our names each run of
dashes, and the slash that may end it, stands between letters or digits, or at the end:

    run in our name     dashes in the vault
    n dashes            2n - 1      (odd:  "-" stays "-")
    n dashes and "/"    2n + 2      (even: "/" becomes "--")

So no two names are spelled alike, and no name's spelling ends with an even run of dashes. What we
write beside a name ends with one, and therefore collides with no name.
"""

import re
from dataclasses import dataclass
from secrets import token_hex
from typing import Final

from credmgr.errors import LimitExceeded
from credmgr.model.names import Name

LONGEST: Final = 127
"""Characters of an object's name: `[0-9A-Za-z-]{1,127}` (learn.microsoft.com, "About keys,
secrets and certificates", object identifiers)."""
STAGED: Final = "-next--"
"""Ends the name of the sibling that holds `next`."""
_RUN: Final = re.compile(r"-+/?|/")
_DASHES: Final = re.compile(r"-+")
_PROBE: Final = "credmgr-check--"
_CHANCE: Final = 16
"""Bytes that nobody guesses."""


@dataclass(frozen=True, slots=True)
class Spelled:
    """Where the copies of one name are.

    Attributes:
        main: The object that native readers know: current, and every version before it.
        sibling: The object that holds `next`.
    """

    main: str
    sibling: str


class Naming:
    """Spells names for one vault; `prefix` is put before each of them."""

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix

    @property
    def probe(self) -> str:
        """A name under which nothing of ours ever is, to try permissions on."""
        return f"{self._prefix}{_PROBE}"

    @property
    def unused(self) -> str:
        """Another name each time, under which nothing of anybody's is."""
        return f"{self._prefix}{_PROBE}{token_hex(_CHANCE)}--"

    def of(self, name: Name) -> Spelled:
        """Both spellings of `name`.

        Raises:
            LimitExceeded: The longer one does not fit.
        """
        main = self._prefix + spelled(name)
        sibling = main + STAGED
        if len(sibling) > LONGEST:
            raise LimitExceeded(
                f"{name} takes {len(sibling)} characters in Key Vault; at most {LONGEST} fit"
            )
        return Spelled(main, sibling)


def spelled(name: Name) -> str:
    """`name` in a vault's alphabet."""
    return _RUN.sub(lambda run: _dashes(run[0]), name)


def unspelled(text: str) -> Name:
    """The name that is spelled `text`.

    Raises:
        InvalidName: No name is.
    """
    return Name(_DASHES.sub(lambda run: _run(len(run[0])), text))


def _dashes(run: str) -> str:
    slash = run.endswith("/")
    count = len(run) - slash
    return "-" * (2 * count + 2 if slash else 2 * count - 1)


def _run(count: int) -> str:
    if count % 2:
        return "-" * ((count + 1) // 2)
    return "-" * ((count - 2) // 2) + "/"
