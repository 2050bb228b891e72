"""What IAM lets us do: asked of IAM where that is permitted, else of calls that change nothing."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from credmgr.backends.aws_secrets_manager.calls import Calls, Refused
from credmgr.backends.aws_secrets_manager.options import MARK, MARKED, AwsOptions
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
KMS: Final = ("kms:Decrypt", "kms:GenerateDataKey")
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
_MARK: Final = {f"aws:{kind}Tag/{MARK}": MARKED for kind in ("Request", "Resource")}
_KEY_ID: Final = re.compile(r"(?:mrk-)?[0-9a-f-]+")
_ROOT: Final = Permission(
    "everything: it is the account's root user",
    needed=False,
    granted=True,
    fix=f"give credmgr a role or a user of its own with {_POLICY}",
)


def permissions_of(
    calls: Calls, clients: Clients, options: AwsOptions, names: Sequence[str]
) -> Sequence[Permission]:
    """What is needed for the names, and what is granted beyond.

    Raises:
        BackendError: AWS cannot be asked at all.
    """
    wanted = (*READING, *WRITING, *(REPLICATING if options.replica_regions else ()))
    why = "the address of IAM or of the token service is not known"
    if clients.identity is not None and clients.access is not None:
        doubt = ""
        try:
            me = calls.ask(clients.identity.get_caller_identity)
            if me["Arn"].endswith(":root"):
                return [_ROOT]
            source, doubt = _policy_source(me["Arn"], options)
            region = clients.secrets.meta.region_name
            simulation = _Simulation(calls, clients.access, source, me["Account"], region)
            return [
                *simulation.needed(wanted, names),
                *simulation.of_key(options.kms_key_id),
                *simulation.beyond(options.prefix, names[0]),
            ]
        except BackendError as error:  # not permitted, not reached, or nobody that IAM knows
            why = error.message + doubt
    return list(_probed(calls, clients.secrets, options, wanted, names, why))


def _probed(
    calls: Calls,
    secrets: Any,
    options: AwsOptions,
    wanted: Sequence[str],
    names: Sequence[str],
    why: str,
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
            yield _unknown(f"secretsmanager:{action}", why)
    for action in KMS if options.kms_key_id else ():
        yield _unknown(action, why)
    yield _unknown(f"anything beyond {_POLICY}", why, needed=False)


def _unknown(what: str, why: str, *, needed: bool = True) -> Permission:
    fix = f"allow iam:SimulatePrincipalPolicy on itself, or compare with {_POLICY} ({why})"
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

    def __init__(self, calls: Calls, access: Any, source: str, account: str, region: str) -> None:
        self._calls = calls
        self._access = access
        self._source = source
        self._account = account
        self._partition = source.split(":")[1]
        self._region = region

    def needed(self, wanted: Sequence[str], names: Sequence[str]) -> Iterator[Permission]:
        """Each action on every name; a denial names the first."""
        actions = [f"secretsmanager:{action}" for action in wanted]
        denied: dict[str, str] = {}
        silent: set[str] = set()
        for name in names:
            asked = [action for action in actions if action not in denied]
            decided = self._decided(asked, self._arn(name), _MARK) if asked else {}
            silent.update(action for action in asked if action not in decided)
            denied.update(dict.fromkeys(_not_allowed(decided), self._arn(name)))
        for action in actions:
            if action in denied:
                yield _lacking(f"{action} on {denied[action]}", _grant(action))
            elif action in silent:
                yield _unknown(action, "IAM did not answer about it")
            else:
                yield Permission(action, needed=True, granted=True)

    def of_key(self, key: str | None) -> Iterator[Permission]:
        """What is needed of a KMS key of one's own."""
        arn = self._key_arn(key) if key else None
        if arn is None:
            why = "IAM tells it of a key's ARN, and this is an alias"
            yield from (_unknown(f"{action} on {key}", why) for action in KMS if key)
            return
        domain = "amazonaws.com" + (".cn" if self._partition == "aws-cn" else "")
        via = {"kms:ViaService": f"secretsmanager.{self._region}.{domain}"}
        decided = self._decided(KMS, arn, via)
        for action in KMS:
            if action not in decided:
                yield _unknown(action, "IAM did not answer about it")
            elif decided[action] == "allowed":
                yield Permission(action, needed=True, granted=True)
            else:
                fix = f"{_grant(action)}, unless the key's own policy allows it"
                yield _lacking(f"{action} on {arn}", fix)

    def beyond(self, prefix: str, name: str) -> Iterator[Permission]:
        """What is granted although nobody needs it; without a prefix every secret may be ours."""
        actions = TOO_MUCH if prefix else TOO_MUCH[1:2] + TOO_MUCH[3:]
        theirs = f"arn:{self._partition}:iam::{self._account}:user/{_FOREIGN}"
        for service, resource in (("secretsmanager", self._arn(_FOREIGN)), ("iam", theirs)):
            asked = [action for action in actions if action.startswith(service)]
            yield from self._too_much(asked, resource, _MARK, "")
        changes = [f"secretsmanager:{action}" for action in (*WRITING, *REPLICATING)]
        yield from self._too_much(changes, self._arn(name), {}, f" without the tag {MARK}")

    def _too_much(
        self, actions: Sequence[str], resource: str, context: Mapping[str, str], how: str
    ) -> Iterator[Permission]:
        decided = self._decided(actions, resource, context)
        for action in actions:
            what = f"{action} on {resource}{how}"
            if action not in decided:
                yield _unknown(what, "IAM did not answer about it", needed=False)
            elif decided[action] == "allowed":
                fix = f"take it out, or limit it as {_POLICY} does"
                yield Permission(what, needed=False, granted=True, fix=fix)

    def _decided(
        self, actions: Sequence[str], resource: str, context: Mapping[str, str]
    ) -> dict[str, str]:
        """IAM's word on each action that it has one on, page by page."""
        entries = [
            {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}
            for key, value in context.items()
        ]
        found: dict[str, str] = {}
        more: dict[str, str] = {}
        while True:
            answer = self._calls.ask(
                self._access.simulate_principal_policy,
                PolicySourceArn=self._source,
                ActionNames=list(actions),
                ResourceArns=[resource],
                ContextEntries=entries,
                **more,
            )
            for each in answer["EvaluationResults"]:
                found[each["EvalActionName"]] = each["EvalDecision"]
            if not answer.get("IsTruncated") or not answer.get("Marker"):
                return found
            more = {"Marker": answer["Marker"]}

    def _arn(self, name: str) -> str:
        # AWS puts six random characters behind each name
        place = f"arn:{self._partition}:secretsmanager:{self._region}:{self._account}"
        return f"{place}:secret:{name}-AbCdEf"

    def _key_arn(self, key: str) -> str | None:
        """None for an alias, behind which IAM does not look."""
        if _KEY_ID.fullmatch(key):
            return f"arn:{self._partition}:kms:{self._region}:{self._account}:key/{key}"
        return key if ":key/" in key else None


def _not_allowed(decided: Mapping[str, str]) -> Iterator[str]:
    return (action for action, decision in decided.items() if decision != "allowed")


def _policy_source(arn: str, options: AwsOptions) -> tuple[str, str]:
    """The user or role whose policies count, and what makes that doubtful.

    Those of a session are its role's, whose path the session's ARN does not show.
    """
    kind, _, rest = arn.partition(":assumed-role/")
    if not rest:
        return arn, ""
    role = rest.partition("/")[0]
    known = options.assume_role.role_arn if options.assume_role is not None else ""
    if known.endswith(f"/{role}"):
        return known, ""
    source = f"{kind.replace(':sts:', ':iam:')}:role/{role}"
    return source, f"; asked of {source}, which is another one if the role has a path"


def _grant(action: str) -> str:
    return f'add "{action}" to its policy, as in {_POLICY}'
