"""What calls are signed with: found by the first call, renewed ahead of its end, once for all.

Threads that must wait for it wait for the one that asks, and its failure is theirs as well.
"""

from collections.abc import Callable
from copy import copy
from datetime import timedelta
from threading import Lock
from typing import Any, Final

from botocore.credentials import Credentials, RefreshableCredentials
from botocore.exceptions import NoCredentialsError

from credmgr.backends.aws_secrets_manager.calls import Calls
from credmgr.backends.aws_secrets_manager.lasting import elapsed
from credmgr.errors import BackendUnavailable, CredmgrError

_NOW_OR_NEVER: Final = timedelta(minutes=10)
"""What must be left; from 15 minutes on botocore renews in one thread while the others go on
(botocore/credentials.py, `_DEFAULT_MANDATORY_REFRESH_TIMEOUT`)."""


class SharedCredentials(Credentials):
    """Credentials for any number of clients and threads; botocore asks for them with every call.

    Args:
        find: Finds those of botocore that stand behind these; None is for there are none.
        calls: Makes the attempts, and botocore's errors ours.
        patience: The longest that a call may take, this included.
    """

    def __init__(self, find: Callable[[], Any], calls: Calls, patience: timedelta) -> None:
        super().__init__("", "", method="credmgr")
        self._find = find
        self._calls = calls
        self._patience = patience
        self._lock = Lock()
        self._held: Any = None
        self._tries = 0
        self._failure: CredmgrError | None = None

    def get_frozen_credentials(self) -> Any:
        """What to sign with now.

        Raises:
            AccessDenied: There is nothing to sign in with, or it is refused.
            BackendUnavailable: It cannot be had for now; repeat it.
            BackendError: As `Calls.sign_in` has it.
        """
        if self._held is not None and not _ends_soon(self._held):
            return self._held.get_frozen_credentials()
        tries = self._tries
        left = (self._patience - elapsed()).total_seconds()
        if not self._lock.acquire(timeout=max(left, 0)):
            raise BackendUnavailable("not sent, another thread has been signing in for too long")
        try:
            if self._tries != tries and self._failure is not None:
                raise copy(self._failure)  # each thread puts its own traceback on
            return self._asked()
        finally:
            self._lock.release()

    def _asked(self) -> Any:
        self._failure = None
        try:
            return self._calls.sign_in(self._attempt)
        except CredmgrError as error:
            self._failure = copy(error)
            raise
        finally:
            self._tries += 1

    def _attempt(self) -> Any:
        if self._held is None:
            self._held = self._find()
        if self._held is None:
            raise NoCredentialsError
        return self._held.get_frozen_credentials()


def _ends_soon(held: Any) -> bool:
    refreshed = isinstance(held, RefreshableCredentials)
    return refreshed and held.refresh_needed(_NOW_OR_NEVER.total_seconds())
