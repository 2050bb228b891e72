"""Lists of AWS, page by page."""

from collections.abc import Iterator
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from credmgr.backends.aws_secrets_manager.calls import Calls
from credmgr.backends.aws_secrets_manager.labels import stage_of, version_of
from credmgr.plugins.backend import HeldVersion

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

PAGE: Final = 100  # MaxResults of ListSecretVersionIds and ListSecrets


def versions_of(calls: Calls, aws: "SecretsManagerClient", where: str) -> Iterator[HeldVersion]:
    """Every version of a secret that has a stage.

    Raises:
        BackendError: As `Calls.ask` has it.
    """
    more: dict[str, Any] = {}
    while True:
        page = calls.ask(aws.list_secret_version_ids, SecretId=where, MaxResults=PAGE, **more)
        for each in page["Versions"]:
            version = version_of(each["VersionId"])
            stage = stage_of(version, each.get("VersionStages") or ())
            if stage is not None:
                yield HeldVersion(version, stage, each["CreatedDate"].astimezone(UTC))
        if not page.get("NextToken"):
            return
        more = {"NextToken": page["NextToken"]}
