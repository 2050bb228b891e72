"""AWS Secrets Manager as a `SecretBackend`.

    stage      CreateSecret when absent, RestoreSecret when deleted, PutSecretValue as AWSPENDING
    promote    UpdateSecretVersionStage moves AWSCURRENT, if it is where it is expected to be
    discard    UpdateSecretVersionStage takes the labels off; AWS cannot destroy a single version
    delete     AWSCURRENT back to the placeholder, then DeleteSecret with its recovery window

The id of a version is AWS's ClientRequestToken, so a repeated PutSecretValue is the same version.
"""

import hmac
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from credmgr.backends.aws_secrets_manager.calls import Calls, Refused
from credmgr.backends.aws_secrets_manager.labels import (
    CURRENT,
    LABELS,
    PENDING,
    PLACEHOLDER,
    PLACEHOLDER_LABEL,
    PREVIOUS,
    Shelf,
    stage_of,
    version_of,
)
from credmgr.backends.aws_secrets_manager.listing import versions_of
from credmgr.backends.aws_secrets_manager.options import LIMITS, AwsOptions
from credmgr.backends.aws_secrets_manager.pace import Pace
from credmgr.backends.aws_secrets_manager.permissions import permissions_of
from credmgr.backends.aws_secrets_manager.secrets import Secrets, not_ours
from credmgr.backends.aws_secrets_manager.signin import sign_in
from credmgr.backends.aws_secrets_manager.values import Wrapping
from credmgr.backends.aws_secrets_manager.wire import Wire
from credmgr.errors import (
    BackendUnavailable,
    Conflict,
    LimitExceeded,
    SecretNotFound,
)
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.model.version import Stage
from credmgr.plugins.backend import Held, HeldVersion, Permission
from credmgr.plugins.clocks import ServerClock
from credmgr.plugins.context import PluginContext

PROBE: Final = "credmgr-check"
_AGES: Final[Mapping[Stage | None, int]] = {Stage.PREVIOUS: 1, Stage.CURRENT: 2, Stage.NEXT: 3}


class AwsBackend:
    """Secrets in one region of one account. Thread-safe, and safe between processes."""

    def __init__(self, options: AwsOptions, context: PluginContext) -> None:
        bundle = options.ca_bundle
        trusted = context.home / Path(bundle).expanduser() if bundle is not None else None
        self._options = options
        self._server = ServerClock(context.clock)
        deadline = options.deadline(context.deadline)
        self._wire = Wire(context.workers, deadline, trusted, self._server)
        self._calls = Calls(context.clock, options.kms_key_id or "aws/secretsmanager")
        self._clients = sign_in(options, context, self._wire, self._calls)
        self._aws = self._clients.secrets
        self._secrets = Secrets(self._calls, self._aws, options)
        self._wrapping = Wrapping(options.value, options.json_key, options.template)
        self._pace = Pace(context.clock, context.name)
        self._ours: set[str] = set()

    def read(self, name: Name, stage: Stage = Stage.CURRENT) -> Held:
        """The copy at `stage`. May be repeated.

        Raises:
            SecretNotFound: Nothing is at that stage, or the secret is scheduled for deletion.
            CorruptSecret: The value has not the form that credmgr writes.
            NotOurs: The secret does not carry credmgr's mark.
        """
        where = self._where(name)
        answer = self._found(where, VersionStage=LABELS[stage])
        if answer is None:
            raise SecretNotFound(f"{where} has no {stage} secret")
        self._require_mark(where, answer["ARN"])
        version = version_of(answer["VersionId"])
        if stage_of(version, answer["VersionStages"]) is not stage:
            raise SecretNotFound(f"{where} has no {stage} secret")
        secret = self._wrapping.unwrapped(answer.get("SecretString"), where)
        return Held(version, stage, secret)

    def stage(self, name: Name, secret: Secret, version: UUID) -> None:
        """Write `secret` as AWSPENDING. Repeating it with the same version and value is no change.

        Raises:
            Conflict: `version` exists already with another value.
            LimitExceeded: The value or the name is too long, or a quota is used up, as that of
                labels by others before it is adopted.
            NotOurs: The secret does not carry credmgr's mark.
        """
        text = self._wrapping.wrapped(secret)
        where = self._where(name)
        shelf = self._secrets.ready(where)
        held = self._found(where, VersionId=shelf.spelled(version))
        if held is None:
            self._put(where, version, text)
        elif not _same(held.get("SecretString"), text):
            raise Conflict(f"version {version} of {where} exists already with another value")
        elif shelf.stage_of(version) is None:
            self._move(where, PENDING, shelf.holder(PENDING), shelf.spelled(version))

    def promote(self, name: Name, version: UUID, expect: UUID | None) -> None:
        """Move AWSCURRENT to `version`, if it is on `expect`. May be repeated.

        Raises:
            Conflict: `current` is neither `expect` nor `version`.
            SecretNotFound: `version` is neither `next` nor `previous`.
            NotOurs: The secret does not carry credmgr's mark.
        """
        where = self._where(name)
        shelf = self._secrets.live(where)
        if shelf is None:
            raise SecretNotFound(f"{where} has no version {version} to promote")
        if shelf.current is not None:
            self._unstage(where, shelf, shelf.current)
        if shelf.current == version:
            return
        if shelf.current != expect:
            raise Conflict(f"{where} has the current version {shelf.current}, not {expect}")
        if shelf.stage_of(version) is None:
            raise SecretNotFound(f"{where} has no version {version} to promote")
        self._switch(where, shelf, version)
        self._unstage(where, shelf, version)

    def discard(self, name: Name, version: UUID) -> None:
        """Take every label off a version that is not current. An absent one is no error.

        AWS offers no way to destroy one version: without labels it is "deprecated", unreachable by
        stage, and removed by AWS some day. Until then who knows its id can read it.

        Raises:
            Conflict: `version` is current.
            BackendError: AWS refuses and the label is still there: the secret is being deleted, or
                is owned by another service.
            NotOurs: The secret does not carry credmgr's mark.
        """
        where = self._where(name)
        shelf = self._secrets.live(where)
        if shelf is None:
            return
        if shelf.current == version:
            raise Conflict(f"version {version} of {where} is current")
        if version == PLACEHOLDER:
            return
        for label in sorted(shelf.labels_of(version)):
            self._take_off(where, label, shelf.spelled(version))

    def versions(self, name: Name) -> Sequence[HeldVersion]:
        """Every version with a stage, newest first. May be repeated.

        Raises:
            NotOurs: The secret does not carry credmgr's mark.
        """
        where = self._where(name)
        if self._secrets.live(where) is None:
            return []
        held = versions_of(self._calls, self._aws, where)
        return sorted(held, key=lambda each: (each.written_at, _AGES[each.stage]), reverse=True)

    def delete(self, name: Name) -> None:
        """Schedule the secret for deletion, with all of its versions. An absent one is no error.

        AWSCURRENT goes to the placeholder and the other labels go off first, so that nothing is
        held when the name is used anew within the recovery window. An undo restores the secret and
        gives AWSCURRENT back to the version by its id.

        Raises:
            Conflict: Somebody promotes at the same moment; repeat it.
            NotOurs: The secret does not carry credmgr's mark.
        """
        where = self._where(name)
        shelf = self._secrets.live(where)
        if shelf is None:
            return
        if not shelf.ours:
            raise not_ours(where)
        if shelf.replicas:
            self._calls.ask(
                self._aws.remove_regions_from_replication,
                SecretId=where,
                RemoveReplicaRegions=sorted(shelf.replicas),
            )
        if shelf.current is not None:
            # anew, for AWS may have pruned the first one
            self._secrets.put_placeholder(where, PLACEHOLDER_LABEL)
            self._switch(where, shelf, PLACEHOLDER)
        self._clear(where)
        days = self._options.recovery_window.days
        try:
            self._calls.ask(self._aws.delete_secret, SecretId=where, RecoveryWindowInDays=days)
        except Refused:  # so it is when the call was sent twice on its way
            if self._secrets.live(where) is not None:
                raise

    def glance(self, name: Name) -> str:
        """Which version is AWSCURRENT, whose value cannot change; empty when there is none.

        Raises:
            NotOurs: The secret does not carry credmgr's mark.
        """
        shelf = self._secrets.live(self._where(name))
        return (shelf.holder(CURRENT) or "") if shelf is not None else ""

    def current(self, name: Name) -> UUID | None:
        """The version that is AWSCURRENT, from one description. May be repeated.

        Raises:
            NotOurs: The secret does not carry credmgr's mark.
        """
        shelf = self._secrets.live(self._where(name))
        return shelf.current if shelf is not None else None

    def check(self) -> None:
        """Prove that AWS knows who we are and lets us describe a secret. May be repeated.

        Raises:
            BackendError: It does not; the message says what to mend.
        """
        if self._clients.identity is not None:
            with suppress(BackendUnavailable):  # a closed network may have no way to it
                self._calls.ask(self._clients.identity.get_caller_identity)
        self._secrets.look(f"{self._options.prefix}{PROBE}")

    @property
    def ahead(self) -> timedelta | None:
        """How far AWS's clock was ahead of ours at its last answer."""
        return self._server.ahead

    def permissions(self, names: Sequence[Name]) -> Sequence[Permission]:
        """What IAM says, where it may be asked; else what harmless calls show.

        Raises:
            BackendError: AWS cannot be asked at all.
        """
        where = [self._where(name) for name in names] or [f"{self._options.prefix}{PROBE}"]
        return permissions_of(self._calls, self._clients, self._options, where)

    def close(self) -> None:
        """Let go of connections; may be repeated."""
        self._clients.close()
        self._wire.close()

    def _where(self, name: Name) -> str:
        where = f"{self._options.prefix}{name}"
        if len(where) > LIMITS.name_length:
            raise LimitExceeded(f"the name is longer than {LIMITS.name_length} characters in AWS")
        return where

    def _require_mark(self, where: str, arn: str) -> None:
        """Ask for the tags once: the ARN of a secret that was made anew is another one."""
        if arn not in self._ours:
            self._secrets.live(where)
            self._ours.add(arn)

    def _found(self, where: str, **which: str) -> Any | None:
        try:
            return self._calls.ask(self._aws.get_secret_value, SecretId=where, **which)
        except SecretNotFound:
            return None
        except Refused:
            if self._secrets.live(where) is None:
                return None
            raise

    def _clear(self, where: str) -> None:
        shelf = self._secrets.live(where)
        for label in (PREVIOUS, PENDING):
            holder = shelf.holder(label) if shelf is not None else None
            if holder is not None:
                self._take_off(where, label, holder)

    def _put(self, where: str, version: UUID, text: str) -> None:
        try:
            self._calls.ask(
                self._aws.put_secret_value,
                SecretId=where,
                ClientRequestToken=str(version),
                SecretString=text,
                VersionStages=[PENDING],
            )
        except Conflict:
            what = f"version {version} of {where} exists already with another value"
        else:
            self._pace.wrote(where)
            return
        raise Conflict(what)

    def _switch(self, where: str, shelf: Shelf, version: UUID) -> None:
        """Move AWSCURRENT from where the shelf has it; lost against somebody else is `Conflict`."""
        try:
            self._move(where, CURRENT, shelf.holder(CURRENT), shelf.spelled(version))
        except Refused:
            now = self._secrets.live(where)
            holder = now.holder(CURRENT) if now is not None else None
            if holder == shelf.holder(CURRENT):
                raise
        else:
            return
        if holder != shelf.spelled(version):  # else it was sent twice on its way
            current = now.current if now is not None else None
            raise Conflict(f"{where} has the current version {current}, not {shelf.current}")

    def _unstage(self, where: str, shelf: Shelf, version: UUID) -> None:
        """Take AWSPENDING off a version that is current; AWS leaves it there."""
        if PENDING in shelf.labels_of(version):
            self._take_off(where, PENDING, shelf.spelled(version))

    def _take_off(self, where: str, label: str, version_id: str) -> None:
        try:
            self._move(where, label, version_id, None)
        except Refused:
            now = self._secrets.live(where)
            if now is not None and label in now.labels.get(version_id, ()):
                raise
            # else it is not there: somebody was faster

    def _move(self, where: str, label: str, source: str | None, target: str | None) -> None:
        which: dict[str, Any] = {"RemoveFromVersionId": source, "MoveToVersionId": target}
        self._calls.ask(
            self._aws.update_secret_version_stage,
            SecretId=where,
            VersionStage=label,
            **{option: version_id for option, version_id in which.items() if version_id},
        )


def _same(held: str | None, text: str) -> bool:
    return held is not None and hmac.compare_digest(held.encode(), text.encode())
