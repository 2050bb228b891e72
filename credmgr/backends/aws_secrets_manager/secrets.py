"""The secret under a name, which holds the versions: looked at, made, restored, replicated."""

from contextlib import suppress
from typing import Any

from credmgr.backends.aws_secrets_manager.calls import Calls
from credmgr.backends.aws_secrets_manager.labels import (
    CURRENT,
    MOST_LABELS,
    OWN_LABELS,
    PLACEHOLDER,
    PLACEHOLDER_TEXT,
    Shelf,
)
from credmgr.backends.aws_secrets_manager.options import MARK, MARKED, AwsOptions
from credmgr.errors import BackendUnavailable, Conflict, LimitExceeded, NotOurs, SecretNotFound


class Secrets:
    """The calls that are about a secret as a whole. Thread-safe.

    Args:
        calls: Makes them.
        aws: The client of boto3.
        options: Say how one is made.
    """

    def __init__(self, calls: Calls, aws: Any, options: AwsOptions) -> None:
        self._calls = calls
        self._aws = aws
        self._options = options

    def look(self, where: str) -> Shelf | None:
        """The secret, deleted or not, whosever it is."""
        try:
            answer = self._calls.ask(self._aws.describe_secret, SecretId=where)
        except SecretNotFound:
            return None
        return Shelf.described(answer)

    def live(self, where: str) -> Shelf | None:
        """The secret, if there is one that is ours and not scheduled for deletion."""
        shelf = self.look(where)
        if shelf is not None and not shelf.ours and not self._options.adopt:
            raise not_ours(where)
        return None if shelf is None or shelf.deleted else shelf

    def ready(self, where: str) -> Shelf:
        """The secret, made or restored where it must be."""
        shelf = self.look(where) or self._created(where)
        if not shelf.ours:
            self._adopt(where, shelf)
        if shelf.deleted:
            shelf = self._restored(where)
        if shelf.holder(CURRENT) is None:
            self.put_placeholder(where, CURRENT)
        self._replicate(where, frozenset(self._options.replica_regions) - shelf.replicas)
        return shelf

    def put_placeholder(self, where: str, label: str) -> None:
        """Give a label to the value that stands for none; may be repeated."""
        self._calls.ask(
            self._aws.put_secret_value,
            SecretId=where,
            ClientRequestToken=str(PLACEHOLDER),
            SecretString=PLACEHOLDER_TEXT,
            VersionStages=[label],
        )

    def _adopt(self, where: str, shelf: Shelf) -> None:
        if shelf.deleted or not self._options.adopt:
            raise not_ours(where)
        foreign = len(shelf.foreign_labels)
        if foreign > MOST_LABELS - len(OWN_LABELS):
            raise LimitExceeded(
                f"{where} has {foreign} labels of others; AWS takes {MOST_LABELS} for a secret",
                hint=f"take some off, for credmgr needs {len(OWN_LABELS)}",
            )
        mark: Any = [{"Key": MARK, "Value": MARKED}]
        self._calls.ask(self._aws.tag_resource, SecretId=where, Tags=mark)

    def _created(self, where: str) -> Shelf:
        options = self._options
        tags = {**options.tags, MARK: MARKED}
        more: Any = {"KmsKeyId": options.kms_key_id} if options.kms_key_id else {}
        with suppress(Conflict):  # somebody else was faster: whose it is, the next look tells
            self._calls.ask(
                self._aws.create_secret,
                Name=where,
                ClientRequestToken=str(PLACEHOLDER),
                SecretString=PLACEHOLDER_TEXT,
                Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
                **more,
            )
        return self._seen(where)

    def _seen(self, where: str) -> Shelf:
        shelf = self.look(where)
        if shelf is None:
            raise BackendUnavailable(f"{where} was just there and is not to be seen")
        return shelf

    def _restored(self, where: str) -> Shelf:
        self._calls.ask(self._aws.restore_secret, SecretId=where)
        return self._seen(where)

    def _replicate(self, where: str, regions: frozenset[str]) -> None:
        if regions:
            self._calls.ask(
                self._aws.replicate_secret_to_regions,
                SecretId=where,
                AddReplicaRegions=[self._replica(region) for region in sorted(regions)],
            )

    def _replica(self, region: str) -> Any:
        key = self._options.replica_kms_key_ids.get(region)
        return {"Region": region, "KmsKeyId": key} if key else {"Region": region}


def not_ours(where: str) -> NotOurs:
    """Our error for a secret of somebody else."""
    return NotOurs(
        f"the secret {where} has no tag {MARK}={MARKED}",
        hint="choose another name, or set `adopt` to take it over",
    )
