"""One call to AWS, and the one place where its errors become ours.

Told apart by code, not by HTTP status, which is not part of AWS's promise. AWS's own message is
never repeated: a validation error quotes the parameter, which may be the secret.
"""

import errno
import re
from collections.abc import Callable
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final, ParamSpec, TypeVar

from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from credmgr.backends.aws_secrets_manager.lasting import one_call
from credmgr.backends.aws_secrets_manager.quiet import hushed
from credmgr.errors import (
    AccessDenied,
    BackendError,
    BackendUnavailable,
    ConfigError,
    Conflict,
    CredmgrError,
    LimitExceeded,
    SecretNotFound,
)
from credmgr.model.clock import Clock
from credmgr.plugins.clocks import retry_after

_P = ParamSpec("_P")
_T = TypeVar("_T")
SKEW: Final = timedelta(minutes=5)
"""How far a clock may be off before AWS refuses a signature (IAM user guide, "SigV4")."""
_BROKEN: Final = 500  # RFC 9110 §15.6
_TOO_MANY: Final = 429  # RFC 6585 §4
_BUSY: Final = frozenset(
    {
        "BandwidthLimitExceeded",
        "PriorRequestNotComplete",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttling",
        "ThrottledException",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
"""The codes that botocore takes for throttling (retries/standard.py) and this service can send."""
_DOWN: Final = frozenset(
    {
        "IDPCommunicationError",  # of web identity; botocore repeats it (retries/special.py)
        "InternalFailure",
        "InternalServerError",
        "InternalServiceError",
        "InternalServiceErrorException",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
    }
)
_FORBIDDEN: Final = frozenset({"403", "AccessDenied", "AccessDeniedException", "NotAuthorized"})
_UNKNOWN_KEY: Final = frozenset(
    {
        "AuthFailure",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidIdentityToken",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "OptInRequired",
        "UnrecognizedClientException",
    }
)
_EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException"})
_SIGNATURE: Final = frozenset(
    {"IncompleteSignature", "InvalidSignatureException", "SignatureDoesNotMatch"}
)
_CLOCK: Final = frozenset({"RequestExpired", "RequestInTheFuture", "RequestTimeTooSkewed"})
_CLOCK_MESSAGE: Final = re.compile(r"signature (?:expired|not yet current)", re.IGNORECASE)
_KMS: Final = frozenset({"DecryptionFailure", "EncryptionFailure"})
_KMS_MESSAGE: Final = re.compile(r"\bKMS\b|\bkms:")
_REFUSED: Final = frozenset(
    {"InvalidParameterException", "InvalidRequestException", "PreconditionNotMetException"}
)
_NO_SIGN_IN: Final = (
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.SSOError,
    exceptions.UnauthorizedSSOTokenError,
)
_NO_SIGN_IN_NOW: Final = (exceptions.CredentialRetrievalError, exceptions.TokenRetrievalError)
_BAD_CONFIG: Final = (
    exceptions.ConfigNotFound,
    exceptions.ConfigParseError,
    exceptions.InvalidConfigError,
    exceptions.InvalidRegionError,
    exceptions.NoRegionError,
    exceptions.ProfileNotFound,
    exceptions.UnknownEndpointError,
    exceptions.EndpointVariantError,
)
_ODD: Final = (
    OSError,
    RuntimeError,
    ValueError,
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
)
"""What botocore lets through of the files and programs that it signs in with, and of how it reads
what they say (botocore/credentials.py)."""
_LASTING: Final = frozenset(
    {
        errno.EACCES,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOEXEC,
        errno.ENOTDIR,
        errno.EPERM,
    }
)
"""What a file or program that cannot be used stays, until somebody mends it."""


class Refused(BackendError):
    """AWS refuses the call in the present state of the secret."""


class Calls:
    """Makes calls of botocore clients. Thread-safe.

    Args:
        clock: This machine's, to be compared with AWS's when a signature is refused.
        key: How the KMS key is called in messages.
    """

    def __init__(self, clock: Clock, key: str) -> None:
        self._clock = clock
        self._key = key

    def ask(self, method: Callable[_P, _T], *args: _P.args, **params: _P.kwargs) -> _T:
        """Make one call.

        Raises:
            SecretNotFound: ResourceNotFoundException.
            Conflict: ResourceExistsException.
            Refused: InvalidRequestException, InvalidParameterException.
            LimitExceeded: A quota of the account or of the secret.
            AccessDenied: The message says which IAM action is missing, or what else to mend.
            BackendUnavailable: Throttled, broken or not reached; repeat it.
            ConfigError: The AWS configuration of this machine is wrong.
        """
        # Not a context manager: what it raised would have AWS's error as context, and that the
        # request with its secret and its session token.
        try:
            with hushed(), one_call():
                return method(*args, **params)
        except ClientError as error:
            about = params.get("SecretId") or params.get("Name")
            problem = self._refusal(error, f" of {about}" if about else "")
        except BotoCoreError as error:
            problem = local_problem(error)
        except ResponseParserError:
            problem = BackendUnavailable("the answer is not one of AWS's; it may have been applied")
        raise problem

    def sign_in(self, method: Callable[[], _T]) -> _T:
        """Make one attempt to sign in, with a file, a program or a service.

        Raises:
            AccessDenied: There is nothing to sign in with, or it is refused or unusable.
            BackendUnavailable: Not reached, or nothing is to be had for now; repeat it.
            BackendError: As `ask` has it.
        """
        try:
            return self.ask(method)
        except _ODD as error:
            problem = _odd_problem(error)
        raise problem  # outside, for the cause may hold all that a program printed

    def _refusal(self, error: ClientError, about: str) -> CredmgrError:  # noqa: PLR0911 (a table)
        code, said = _code(error), f"{error.operation_name}{about}"
        if code == "ResourceNotFoundException":
            return SecretNotFound(f"{said}: AWS has no such secret or version")
        if code == "ResourceExistsException":
            return Conflict(f"{said}: AWS has such a secret or version already")
        if code in _REFUSED:
            return Refused(
                f"{said}: refused with {code}",
                hint="it may be scheduled for deletion, or another service may own it",
            )
        if code == "LimitExceededException":
            return LimitExceeded(
                f"{said}: a quota of AWS is used up, perhaps that of its versions or 20 labels"
            )
        if code in _BUSY or _status(error) == _TOO_MANY:
            wait = self._asked(error)
            return BackendUnavailable(f"{said}: AWS is throttling calls ({code})", retry_after=wait)
        denied = self._denied(error, said)
        if denied is not None:
            return denied
        if code in _DOWN or _status(error) >= _BROKEN:
            told = f"{said}: AWS failed ({code}); it may have been applied"
            return BackendUnavailable(told, retry_after=self._asked(error))
        return BackendError(f"{said}: AWS refused with {code}")

    def _denied(self, error: ClientError, said: str) -> AccessDenied | None:
        code, message = _code(error), str(error.response.get("Error", {}).get("Message", ""))
        if code in _KMS or (code in _FORBIDDEN and _KMS_MESSAGE.search(message)):
            what = f"the KMS key {self._key} cannot be used"
            hint = "it must be enabled, with kms:Decrypt and kms:GenerateDataKey allowed"
        elif code in _CLOCK or (code in _SIGNATURE and _CLOCK_MESSAGE.search(message)):
            what = f"this machine's clock is wrong{self._skew(error)}"
            hint = "synchronise it; AWS takes signatures of the last 5 minutes only"
        elif code in _SIGNATURE:
            what = f"the secret access key is wrong{self._skew(error)}"
            hint = "it does not belong to the access key id, or the clock is wrong"
        elif code in _UNKNOWN_KEY:
            what = "AWS does not know this access key"
            hint = "it was deleted, or belongs to another partition, or the region is not enabled"
        elif code in _EXPIRED:
            what, hint = "the session token has expired", "sign in anew"
        elif code in _FORBIDDEN:
            what = f"the IAM action {_action(error.operation_name)} is not allowed"
            hint = "compare with policies/backends/aws-iam.json"
        else:
            return None
        return AccessDenied(f"{said}: {what} ({code})", hint=hint)

    def _asked(self, error: ClientError) -> timedelta | None:
        return retry_after(_headers(error).get("retry-after"), self._clock.now())

    def _skew(self, error: ClientError) -> str:
        try:
            theirs = parsedate_to_datetime(_headers(error).get("date", ""))
            skew = self._clock.now() - theirs
        except (TypeError, ValueError):
            return ""
        if abs(skew) < SKEW:
            return ""
        minutes = round(abs(skew) / timedelta(minutes=1))
        return f", {minutes} minutes {'ahead of' if skew > timedelta() else 'behind'} AWS's"


def local_problem(error: BotoCoreError) -> CredmgrError:
    """Our error for one that botocore met before it asked, without botocore's text."""
    kind = type(error).__name__
    if isinstance(error, exceptions.NoRegionError):
        return ConfigError("no AWS region is known", hint="give the option region")
    if isinstance(error, exceptions.ProfileNotFound):
        return ConfigError("the AWS profile does not exist", hint="see ~/.aws/config")
    if isinstance(error, _BAD_CONFIG):
        return ConfigError(f"the AWS configuration cannot be used ({kind})")
    if isinstance(error, (*_NO_SIGN_IN, *_NO_SIGN_IN_NOW)):
        return _sign_in_problem(error, kind)
    if isinstance(error, (exceptions.HTTPClientError, exceptions.ConnectionError)):
        return BackendUnavailable(f"AWS cannot be reached ({kind})")
    return BackendError(f"botocore cannot make the call ({kind})")


def _sign_in_problem(error: BotoCoreError, kind: str) -> CredmgrError:
    if isinstance(error, _NO_SIGN_IN_NOW):
        return BackendUnavailable(
            f"AWS credentials cannot be had for now ({kind})",
            hint="look at the container's or instance's endpoint, the program of "
            "credential_process, or the SSO session (`aws sso login`)",
        )
    return AccessDenied(
        f"there are no usable AWS credentials ({kind})",
        hint="give access_key_id, profile or assume_role, or let the default chain find some",
    )


def _odd_problem(error: Exception) -> CredmgrError:
    """Our error for one of a file or a program to sign in with, without what it says."""
    kind = type(error).__name__
    if isinstance(error, OSError):
        said = f"a file or program of the AWS sign-in cannot be used ({kind})"
        hint = "look at AWS_WEB_IDENTITY_TOKEN_FILE, and at credential_process of the profile"
        lasting = error.errno in _LASTING
        return (AccessDenied if lasting else BackendUnavailable)(said, hint=hint)
    if isinstance(error, RuntimeError):
        said = f"the AWS credentials that were found have expired already ({kind})"
        return BackendUnavailable(said, hint="renew them, and look at this machine's clock")
    return AccessDenied(
        f"what the AWS sign-in was given cannot be read ({kind})",
        hint="credential_process must print JSON with Version 1; see also the file of web identity",
    )


def _code(error: ClientError) -> str:
    code = str(error.response.get("Error", {}).get("Code", ""))
    # A code is a word; anything else is of a proxy or of somebody who plays AWS.
    return code if re.fullmatch(r"[A-Za-z0-9.]{1,64}", code) else "an unreadable code"


def _status(error: ClientError) -> int:
    metadata: Any = error.response.get("ResponseMetadata", {})
    return int(metadata.get("HTTPStatusCode", 0))


def _headers(error: ClientError) -> dict[str, str]:
    found: dict[str, str] = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return found


def _action(operation: str) -> str:
    if operation == "SimulatePrincipalPolicy":
        return f"iam:{operation}"
    return f"{'sts' if operation in _STS else 'secretsmanager'}:{operation}"


_STS: Final = frozenset({"AssumeRole", "AssumeRoleWithWebIdentity", "GetCallerIdentity"})
