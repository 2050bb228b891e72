"""What IAM lets us do: asked of IAM where that is permitted, else of calls that change nothing."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

from credmgr.backends.aws_secrets_manager.calls import Calls, Refused
from credmgr.backends.aws_secrets_manager.options import MARK, AwsOptions
from credmgr.backends.aws_secrets_manager.signin import Clients
from credmgr.errors import AccessDenied, BackendError, SecretNotFound
from credmgr.plugins.backend import Permission

READING: Final = ("DescribeSecret", "GetSecretValue", "ListSecretVersionIds")
WRITING: Final = (
    "CreateSecret",
    "DeleteSecret",
    "PutSecretValue",
    "RestoreSecret",
    "TagResource",
    "UpdateSecretVersionStage",
)
REPLICATING: Final = ("RemoveRegionsFromReplication", "ReplicateSecretToRegions")
TOO_MUCH: Final = (
    "secretsmanager:GetSecretValue",
    "secretsmanager:PutResourcePolicy",
    "secretsmanager:PutSecretValue",
    "iam:PutUserPolicy",
    "iam:PutRolePolicy",
)
"""What nobody needs to keep secrets, on any resource: the marks of an administrator."""
_FOREIGN: Final = "not-of-credmgr"
_POLICY: Final = "policies/backends/aws-iam.json"


def permissions_of(
    calls: Calls, clients: Clients, options: AwsOptions, names: Sequence[str]
) -> Sequence[Permission]:
    """What is needed for the names, and what is granted beyond.

    Raises:
        BackendError: AWS cannot be asked at all.
    """
    wanted = (*READING, *WRITING, *(REPLICATING if options.replica_regions else ()))
    if clients.identity is not None and clients.access is not None:
        with suppress(BackendError):  # not permitted, not reached, or nobody that IAM knows
            me = calls.ask(clients.identity.get_caller_identity)
            simulation = _Simulation(calls, clients.access, me, clients.secrets.meta.region_name)
            return [*simulation.needed(wanted, names), *simulation.beyond(options.prefix)]
    return list(_probed(calls, clients.secrets, wanted, names))


def _probed(
    calls: Calls, secrets: Any, wanted: Sequence[str], names: Sequence[str]
) -> Iterator[Permission]:
    asking: dict[str, Callable[..., Any]] = {
        "DescribeSecret": secrets.describe_secret,
        "GetSecretValue": secrets.get_secret_value,
        "ListSecretVersionIds": secrets.list_secret_version_ids,
    }
    for action in wanted:
        if action in asking:
            yield _tried(calls, action, asking[action], names)
        else:
            yield _unknown(f"secretsmanager:{action}", needed=True)
    yield _unknown(f"anything beyond {_POLICY}", needed=False)


def _unknown(what: str, *, needed: bool) -> Permission:
    fix = "allow iam:SimulatePrincipalPolicy on itself, or compare with " + _POLICY
    return Permission(what, needed=needed, granted=None, fix=fix)


def _tried(calls: Calls, action: str, ask: Callable[..., Any], names: Sequence[str]) -> Permission:
    what = f"secretsmanager:{action}"
    for name in names:
        try:
            with suppress(SecretNotFound, Refused):
                calls.ask(ask, SecretId=name)
        except AccessDenied as error:
            return _lacking(f"{what} ({error.message})", error.hint or _grant(what))
    return Permission(what, needed=True, granted=True)


def _lacking(what: str, fix: str) -> Permission:
    return Permission(what, needed=True, granted=False, fix=fix)


class _Simulation:
    """Questions to IAM about ourselves."""

    def __init__(self, calls: Calls, access: Any, me: Any, region: str) -> None:
        self._calls = calls
        self._access = access
        self._account = me["Account"]
        self._partition = me["Arn"].split(":")[1]
        self._region = region
        self._source = _policy_source(me["Arn"])

    def needed(self, wanted: Sequence[str], names: Sequence[str]) -> Iterator[Permission]:
        """Each action on every name; a denial names the first."""
        actions = [f"secretsmanager:{action}" for action in wanted]
        denied = dict(self._asked(actions, [self._arn(name) for name in names], allowed=False))
        for action in actions:
            if action not in denied:
                yield Permission(action, needed=True, granted=True)
            else:
                yield _lacking(f"{action} on {denied[action]}", _grant(action))

    def beyond(self, prefix: str) -> Iterator[Permission]:
        """What is granted although nobody needs it; without a prefix every secret may be ours."""
        theirs = self._arn(_FOREIGN)
        actions = TOO_MUCH if prefix else TOO_MUCH[1:2] + TOO_MUCH[3:]
        ours = f"arn:{self._partition}:iam::{self._account}:user/{_FOREIGN}"
        for service, resource in (("secretsmanager", theirs), ("iam", ours)):
            asked = [action for action in actions if action.startswith(service)]
            for action, where in self._asked(asked, [resource], allowed=True):
                fix = f"take it out, or limit it as {_POLICY} does"
                yield Permission(f"{action} on {where}", needed=False, granted=True, fix=fix)

    def _asked(
        self, actions: Sequence[str], resources: Sequence[str], *, allowed: bool
    ) -> Iterator[tuple[str, str]]:
        """The actions that are allowed or denied, each with the first resource where it is so."""
        told: set[str] = set()
        for resource in resources:
            asked = [action for action in actions if action not in told]
            if not asked:
                return
            answer = self._calls.ask(
                self._access.simulate_principal_policy,
                PolicySourceArn=self._source,
                ActionNames=asked,
                ResourceArns=[resource],
                ContextEntries=[
                    {
                        "ContextKeyName": f"aws:{kind}Tag/{MARK}",
                        "ContextKeyValues": ["credmgr"],
                        "ContextKeyType": "string",
                    }
                    for kind in ("Request", "Resource")
                ],
            )
            for result in answer["EvaluationResults"]:
                if (result["EvalDecision"] == "allowed") is allowed:
                    told.add(result["EvalActionName"])
                    yield result["EvalActionName"], resource

    def _arn(self, name: str) -> str:
        # AWS puts six random characters behind each name
        place = f"arn:{self._partition}:secretsmanager:{self._region}:{self._account}"
        return f"{place}:secret:{name}-AbCdEf"


def _policy_source(arn: str) -> str:
    """The user or role whose policies count: those of a session are its role's."""
    kind, _, rest = arn.partition(":assumed-role/")
    if rest:
        role = rest.partition("/")[0]
        return f"{kind.replace(':sts:', ':iam:')}:role/{role}"
    return arn


def _grant(action: str) -> str:
    return f'add "{action}" to its policy, as in {_POLICY}'
