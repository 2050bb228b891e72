"""Signed-in clients of one session: the default chain, a profile, a key, and a role on top."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import (
    CredentialProvider,
    CredentialResolver,
    DeferredRefreshableCredentials,
    create_credential_resolver,
)
from botocore.exceptions import BotoCoreError

from credmgr.backends.aws_secrets_manager import quiet
from credmgr.backends.aws_secrets_manager.calls import Calls, local_problem
from credmgr.backends.aws_secrets_manager.credentials import SharedCredentials
from credmgr.backends.aws_secrets_manager.options import AssumeRole, AwsOptions
from credmgr.backends.aws_secrets_manager.wire import Wire
from credmgr.plugins.context import PluginContext, References

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sts import STSClient

# AWS_ENDPOINT_URL would lead secrets past the checks of `endpoint_url`. The stubs lack this option.
_ONLY_OUR_ADDRESSES: Final[dict[str, Any]] = {"ignore_configured_endpoint_urls": True}
_METHOD: Final = "credmgr-assume-role"
Share = Callable[[Callable[[], Any]], SharedCredentials]


@dataclass(frozen=True, slots=True)
class Clients:
    """One client of each service; botocore's clients are thread-safe, its sessions are not.

    Attributes:
        secrets: Secrets Manager.
        identity: The token service, or None where its address is not known.
        access: IAM; likewise.
    """

    secrets: "SecretsManagerClient"
    identity: "STSClient | None"
    access: Any | None

    def close(self) -> None:
        """Close what botocore holds; the connections are the wire's."""
        for client in (self.secrets, self.identity, self.access):
            if client is not None:
                client.close()


def sign_in(options: AwsOptions, context: PluginContext, wire: Wire, calls: Calls) -> Clients:
    """Clients that sign in with their first call, and renew a role's session ahead of its end.

    Raises:
        ConfigError: A reference leads nowhere, or the region or the profile is not to be found.
    """
    share = partial(SharedCredentials, calls=calls, patience=options.deadline(context.deadline))
    try:
        return _clients(options, context.references, wire, calls, share)
    except BotoCoreError as error:
        problem = local_problem(error)
    finally:
        quiet.install()
    raise problem


def _clients(
    options: AwsOptions, references: References, wire: Wire, calls: Calls, share: Share
) -> Clients:
    session = _source(options, references, wire, share)
    if options.assume_role is not None:
        source = _sts(session, options)
        role = _role_of(options.assume_role, references)
        session = _session(options, wire)
        renewed = DeferredRefreshableCredentials(partial(_assume, calls, source, role), _METHOD)
        _use(session, share(lambda: renewed))
    secrets = boto3.Session(botocore_session=session).client(
        "secretsmanager", region_name=options.region, endpoint_url=options.endpoint_url
    )
    known = options.endpoint_url is None or options.sts_endpoint_url is not None
    identity = _sts(session, options) if known else None
    known = options.endpoint_url is None or options.iam_endpoint_url is not None
    return Clients(secrets, identity, _iam(session, options) if known else None)


def _source(options: AwsOptions, references: References, wire: Wire, share: Share) -> Any:
    session = _session(options, wire)
    if options.secret_access_key is not None:
        secret = references.resolve(options.secret_access_key)
        session.set_credentials(options.access_key_id, secret.reveal())
        return session

    def chain() -> Any:
        # with the region: web identity asks the token service there
        return create_credential_resolver(session, None, options.region).load_credentials()

    _use(session, share(chain))
    return session


def _session(options: AwsOptions, wire: Wire) -> Any:
    session: Any = botocore.session.Session(profile=options.profile)
    # botocore before 1.37 asks us-east-1 for tokens wherever it is.
    session.set_config_variable("sts_regional_endpoints", "regional")
    session.set_default_client_config(
        Config(
            # One attempt: whoever calls a backend has a policy of its own for repeating.
            retries={"total_max_attempts": 1, "mode": "standard"},
            use_fips_endpoint=options.fips,
            use_dualstack_endpoint=options.dualstack,
            user_agent_extra="credmgr",
            **_ONLY_OUR_ADDRESSES,
        )
    )
    session.register("before-send", wire.send)
    return session


def _sts(session: Any, options: AwsOptions) -> "STSClient":
    return boto3.Session(botocore_session=session).client(
        "sts", region_name=options.region, endpoint_url=options.sts_endpoint_url
    )


def _iam(session: Any, options: AwsOptions) -> Any:
    client: Any = boto3.Session(botocore_session=session).client
    return client("iam", region_name=options.region, endpoint_url=options.iam_endpoint_url)


def _role_of(role: AssumeRole, references: References) -> dict[str, Any]:
    request: dict[str, Any] = {
        "RoleArn": role.role_arn,
        "RoleSessionName": role.session_name,
        "DurationSeconds": int(role.duration.total_seconds()),
    }
    if role.external_id_from is not None:
        request["ExternalId"] = references.resolve(role.external_id_from).reveal()
    elif role.external_id is not None:
        request["ExternalId"] = role.external_id
    return request


def _assume(calls: Calls, source: "STSClient", role: dict[str, Any]) -> dict[str, str]:
    answer = calls.ask(source.assume_role, **role)["Credentials"]
    return {
        "access_key": answer["AccessKeyId"],
        "secret_key": answer["SecretAccessKey"],
        "token": answer["SessionToken"],
        "expiry_time": answer["Expiration"].isoformat(),
    }


class _Found(CredentialProvider):
    METHOD = _METHOD

    def __init__(self, found: SharedCredentials) -> None:
        super().__init__()
        self._found = found

    def load(self) -> SharedCredentials:
        return self._found


def _use(session: Any, found: SharedCredentials) -> None:
    session.register_component("credential_provider", CredentialResolver([_Found(found)]))
