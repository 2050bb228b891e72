"""What AWS refuses and moto takes; the documents are of botocore's service model."""

import re
from typing import Any, Final

Answer = tuple[int, dict[str, Any]]
_NAME: Final = re.compile(r"[A-Za-z0-9/_+=.@-]{1,512}")
_LABELS: Final = 20  # of a secret (the user guide's page of quotas)


def refusal(operation: str, asked: dict[str, Any], secret: Any) -> Answer | None:
    """What AWS says to a call, or None where it does as moto does."""
    if (
        len(asked.get("SecretString", "").encode()) > 65_536
        or len(asked.get("Tags", ())) > 50
        or (operation == "CreateSecret" and not _NAME.fullmatch(asked["Name"]))
    ):
        return refused("InvalidParameterException", asked.get("SecretString", ""))
    if secret is not None and secret.is_deleted():
        return refused("InvalidRequestException")
    if operation == "PutSecretValue" and secret is not None:
        labels = asked.get("VersionStages", ["AWSCURRENT"])
        return _other_value(asked, secret) or _too_many_labels(labels, secret)
    if operation == "UpdateSecretVersionStage" and secret is not None:
        return _bad_move(asked, secret) or _too_many_labels([asked["VersionStage"]], secret)
    return None


def _too_many_labels(asked: list[str], secret: Any) -> Answer | None:
    """AWS counts those of all versions together."""
    held = {label for it in secret.versions.values() for label in it["version_stages"]}
    if "AWSCURRENT" in asked and "AWSCURRENT" in held:
        asked = [*asked, "AWSPREVIOUS"]
    return refused("LimitExceededException") if len(held.union(asked)) > _LABELS else None


def _other_value(asked: dict[str, Any], secret: Any) -> Answer | None:
    held = secret.versions.get(asked["ClientRequestToken"])
    if held is None:
        return None
    if held.get("secret_string") != asked["SecretString"]:
        return refused("ResourceExistsException", asked["SecretString"])
    return 200, {"ARN": secret.arn, "Name": secret.name, "VersionId": held["version_id"]}


def _bad_move(asked: dict[str, Any], secret: Any) -> Answer | None:
    label, source = asked["VersionStage"], asked.get("RemoveFromVersionId")
    target = asked.get("MoveToVersionId")
    if label == "AWSCURRENT" and target is None:
        return refused("InvalidParameterException")
    holders = [each for each, it in secret.versions.items() if label in it["version_stages"]]
    if holders and holders not in ([source], [target]):
        return refused("InvalidParameterException")
    if target is not None and target not in secret.versions:
        return refused("InvalidParameterException")
    return None


def refused(code: str, message: str = "no", status: int = 400) -> Answer:
    """An error of AWS; it may quote what it was asked, as a validation error does."""
    return status, {"__type": code, "Message": message}
