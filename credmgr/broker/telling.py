"""What a consumer is told when the issuer or the store gave no token."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from credmgr.broker.slots import Failure
from credmgr.errors import (
    BackendUnavailable,
    BrokerError,
    CredmgrError,
    InvalidAnswer,
    IssuerUnavailable,
    NotGranted,
    ScopeNotGranted,
    ScopeRefused,
    SecretRejected,
    TokenUnavailable,
)
from credmgr.plugins.issuer import AudienceRefused

SOON: Final = timedelta(seconds=1)
LATER: Final = timedelta(seconds=5)
MUCH_LATER: Final = timedelta(minutes=1)
NONE: Final = timedelta()
_REFUSALS: Final[Mapping[type[CredmgrError], tuple[str, timedelta]]] = {
    InvalidAnswer: ("the issuer's answer cannot be used", MUCH_LATER),
    SecretRejected: ("the issuer refuses the client", NONE),  # until another version is current
}


def told(error: CredmgrError, now: timedelta) -> Failure:
    """The error for those who wait, and until when nobody asks again.

    Nothing of the upstream answer is passed on; the log has it.
    """
    told_now, pause = _told(error)
    return Failure(told_now, now + pause)


def _told(error: CredmgrError) -> tuple[BrokerError, timedelta]:
    match error:
        case TokenUnavailable():
            return error, NONE
        case ScopeRefused():
            return ScopeNotGranted("the issuer does not grant these scopes"), MUCH_LATER
        case AudienceRefused():
            return NotGranted(), MUCH_LATER
        case IssuerUnavailable() | BackendUnavailable():
            wait = max(error.retry_after or LATER, SOON)
            return TokenUnavailable("upstream does not answer", retry_after=wait), SOON
        case _:
            what, pause = _REFUSALS.get(type(error), ("no token can be had", LATER))
            return TokenUnavailable(what, retry_after=MUCH_LATER), pause
