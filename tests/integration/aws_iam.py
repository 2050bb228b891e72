"""IAM for the layer around moto: a policy like ours, asked for each call, and simulated.

Only what `policies/backends/aws-iam.json` uses: Allow and Deny, wildcards in actions and resources,
and StringEquals. moto has an evaluation of its own, which denies what a right pattern allows.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.integration.aws import ACCOUNT, REGION

PREFIX: Final = "prod/"
KEY: Final = "0f2b9a52-5b8e-4c8e-9d3a-6a1f0c6a1d11"
KEY_ARN: Final = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{KEY}"
_SHIPPED: Final = Path(__file__).parents[2] / "policies/backends/aws-iam.json"
_PLACES: Final = {"REGION": REGION, "ACCOUNT": ACCOUNT, "PREFIX": PREFIX, "/KEY": f"/{KEY}"}
_FREE: Final = frozenset({"GetCallerIdentity", "AssumeRole"})
"""The first needs no permission (STS reference), the second is the role's own affair."""
_ASKS: Final = "iam:SimulatePrincipalPolicy"
_READS: Final = frozenset({"GetSecretValue"})
_WRITES: Final = frozenset({"CreateSecret", "PutSecretValue", "ReplicateSecretToRegions"})


def shipped_policy() -> dict[str, Any]:
    """The policy that credmgr comes with, filled in."""
    text = _SHIPPED.read_text()
    for place, value in _PLACES.items():
        text = text.replace(place, value)
    found: dict[str, Any] = json.loads(text)
    return found


def that_may_ask(policy: Mapping[str, Any]) -> "Iam":
    """IAM with a policy that allows simulations besides."""
    asks = {"Effect": "Allow", "Action": _ASKS, "Resource": "*"}
    return Iam({"Statement": [*policy["Statement"], asks]})


@dataclass(frozen=True)
class Question:
    """May this be done?"""

    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)


class Iam:
    """Answers by the statements of one policy."""

    def __init__(self, policy: Mapping[str, Any]) -> None:
        self._statements = policy["Statement"]

    def decision(self, question: Question) -> str:
        """What SimulatePrincipalPolicy calls it."""
        effects = {it["Effect"] for it in self._statements if _applies(it, question)}
        if "Deny" in effects:
            return "explicitDeny"
        return "allowed" if effects else "implicitDeny"

    def denies(self, operation: str, asked: Mapping[str, Any], secret: Any) -> Question | None:
        """What keeps a call of Secrets Manager from being made."""
        needed = _needed(operation, asked, secret) if operation not in _FREE else ()
        return next((each for each in needed if self.decision(each) != "allowed"), None)

    def simulated(self, asked: Mapping[str, str]) -> tuple[int, str]:
        """An answer of SimulatePrincipalPolicy."""
        if self.decision(Question(_ASKS, asked["PolicySourceArn"])) != "allowed":
            return 403, "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"
        members = _members(asked)
        context = dict(
            zip(
                members("ContextEntries.member.#.ContextKeyName"),
                members("ContextEntries.member.#.ContextKeyValues.member.1"),
                strict=True,
            )
        )
        (resource,) = members("ResourceArns.member.#")
        results = "".join(
            f"<member><EvalActionName>{action}</EvalActionName><EvalDecision>"
            f"{self.decision(Question(action, resource, context))}</EvalDecision></member>"
            for action in members("ActionNames.member.#")
        )
        return 200, simulation(results)


def simulation(results: str, more: str = "") -> str:
    """A document of IAM."""
    return (
        '<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">'
        f"<SimulatePrincipalPolicyResult><EvaluationResults>{results}</EvaluationResults>{more}"
        "</SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>"
    )


def _members(asked: Mapping[str, str]) -> Any:
    def members(path: str) -> list[str]:
        found, number = [], 1
        while (key := path.replace("#", str(number), 1)) in asked:
            found.append(asked[key])
            number += 1
        return found

    return members


def _applies(statement: Mapping[str, Any], question: Question) -> bool:
    if not _any_matches(statement["Action"], question.action):
        return False
    if not _any_matches(statement["Resource"], question.resource):
        return False
    conditions = statement.get("Condition", {})
    assert set(conditions) <= {"StringEquals"}, conditions
    wanted = conditions.get("StringEquals", {})
    return all(question.context.get(key) == value for key, value in wanted.items())


def _any_matches(patterns: str | Iterable[str], value: str) -> bool:
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        like = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
        if re.fullmatch(like, value):
            return True
    return False


def _needed(operation: str, asked: Mapping[str, Any], secret: Any) -> Iterator[Question]:
    """The permissions that the API reference names at each operation."""
    context = {f"aws:RequestTag/{tag['Key']}": tag["Value"] for tag in asked.get("Tags", ())}
    for tag in getattr(secret, "tags", None) or ():
        context[f"aws:ResourceTag/{tag['Key']}"] = tag["Value"]
    named = asked.get("SecretId", asked.get("Name", ""))
    place = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:"
    # a secret that is to be made has its six characters, one that is not there has none
    absent = f"{place}{named}-AbCdEf" if operation == "CreateSecret" else f"{place}{named}"
    resource = secret.arn if secret is not None else absent
    yield Question(f"secretsmanager:{operation}", resource, context)
    if operation == "CreateSecret" and asked.get("Tags"):
        yield Question("secretsmanager:TagResource", resource, context)
    key = asked.get("KmsKeyId") or getattr(secret, "kms_key_id", None) or ""
    if key.startswith("arn:"):
        via = {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com"}
        for action in _kms_actions(operation):
            yield Question(action, key, via)


def _kms_actions(operation: str) -> Iterator[str]:
    if operation in _READS | _WRITES:
        yield "kms:Decrypt"
    if operation in _WRITES:
        yield "kms:GenerateDataKey"
