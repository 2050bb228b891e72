"""The options of an AWS Secrets Manager backend, and what is wrong with them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Final

from credmgr.model.names import MAX_NAME_LENGTH
from credmgr.plugins.backend import Limits, Mistake
from credmgr.plugins.context import Reference
from credmgr.plugins.templates import mistake_in
from credmgr.plugins.urls import url_mistakes

LIMITS: Final = Limits(value_bytes=65_536, name_length=512)
"""https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html"""
LONGEST_TIMEOUT: Final = timedelta(seconds=90)
LONGEST_PREFIX: Final = LIMITS.name_length - MAX_NAME_LENGTH
MARK: Final = "credmgr:managed-by"
"""The tag that every secret of ours carries."""
MARKED: Final = "credmgr"
"""Its value, which policies/backends/aws-iam.json asks for."""
_MOST_TAGS: Final = 50  # AWS's limit for one resource, our mark included
_SHORTEST_WINDOW: Final = timedelta(days=7)  # DeleteSecret, RecoveryWindowInDays
_LONGEST_WINDOW: Final = timedelta(days=30)
_SHORTEST_ROLE: Final = timedelta(minutes=30)
"""AWS takes 15 minutes, but botocore renews 15 minutes ahead: that would be with every call."""
_LONGEST_ROLE: Final = timedelta(hours=12)  # AssumeRole, DurationSeconds
_NAME: Final = re.compile(r"[A-Za-z0-9/_+=.@-]*")  # CreateSecret, Name
_REGION: Final = re.compile(r"(?:[a-z]+-)+[0-9]+")  # the service model's RegionType
_ROLE: Final = re.compile(r"arn:[a-z-]+:iam::[0-9]{12}:role/[\w+=,.@/-]{1,512}", re.ASCII)
_SESSION: Final = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)  # AssumeRole, RoleSessionName
_EXTERNAL_ID: Final = re.compile(r"[\w+=,.@:/-]{2,1224}", re.ASCII)  # AssumeRole, ExternalId
_TAG: Final = re.compile(r"[\w +=.:/@-]*")
_TAG_KEY_LENGTH: Final = 128  # the service model's TagKeyType
_TAG_VALUE_LENGTH: Final = 256  # TagValueType


class ValueForm(StrEnum):
    """What a native reader finds as the secret's string."""

    RAW = "raw"
    JSON = "json"
    TEMPLATE = "template"


@dataclass(frozen=True, slots=True)
class AssumeRole:
    """A role to take on, from whatever the sign-in without it is.

    Attributes:
        role_arn: The role.
        external_id: What the role's owner demands to be told, as text; AWS does not count it as
            a secret.
        external_id_from: The same as a reference.
        session_name: How the session is called in CloudTrail.
        duration: How long one session lasts; a new one begins ahead of its end.
    """

    role_arn: str
    external_id: str | None = None
    external_id_from: Annotated[str | None, Reference()] = None
    session_name: str = "credmgr"
    duration: timedelta = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class AwsOptions:
    """Where the secrets are, how to sign in, and how they are kept.

    Attributes:
        region: The AWS region; None takes AWS_REGION or the profile's.
        endpoint_url: Another address of Secrets Manager, as a VPC endpoint has.
        sts_endpoint_url: Another address of the token service; with an `endpoint_url` and without
            this, `check` does not ask who it is.
        iam_endpoint_url: Another address of IAM, which `doctor` asks what is permitted; likewise.
        ca_bundle: PEM file of the authorities to trust instead of the system's, relative to
            credmgr's home.
        profile: A profile of the AWS configuration files.
        access_key_id: A key to sign in with, instead of the default chain.
        secret_access_key: Reference to the secret part of that key.
        assume_role: A role to take on.
        kms_key_id: The KMS key that encrypts new secrets; None means `aws/secretsmanager`.
        tags: Further tags for new secrets.
        replica_regions: Regions that every secret is replicated to.
        replica_kms_key_ids: The KMS key of each such region that encrypts the replica there; a
            region without one takes its own `aws/secretsmanager`, whatever `kms_key_id` is.
        prefix: What stands before each name in AWS.
        fips: Use the endpoints validated for FIPS 140.
        dualstack: Use the endpoints that answer over IPv6 as well.
        recovery_window: How long a deleted secret can be restored; 7 to 30 whole days.
        value: Whether the string is the secret itself, a JSON document around it, or `template`.
        json_key: The key under which a JSON document has the secret.
        template: The text around the secret, for `value: template`; `{{ secret }}` stands for it,
            `{{ secret | json }}` for it as a JSON string.
        adopt: Take over a secret without credmgr's mark when something is staged in it; it gets
            the mark, and what it held stays as a version.
        timeout: The longest that one call may take in all, signing in included, shorter or longer
            than credmgr's own deadline; None is that.
    """

    region: str | None = None
    endpoint_url: str | None = None
    sts_endpoint_url: str | None = None
    iam_endpoint_url: str | None = None
    ca_bundle: str | None = None
    profile: str | None = None
    access_key_id: str | None = None
    secret_access_key: Annotated[str | None, Reference()] = None
    assume_role: AssumeRole | None = None
    kms_key_id: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    replica_regions: tuple[str, ...] = ()
    replica_kms_key_ids: dict[str, str] = field(default_factory=dict)
    prefix: str = ""
    fips: bool = False
    dualstack: bool = False
    recovery_window: timedelta = timedelta(days=30)
    value: ValueForm = ValueForm.RAW
    json_key: str = "value"
    template: str = ""
    adopt: bool = False
    timeout: timedelta | None = None

    def deadline(self, usual: timedelta) -> timedelta:
        """The longest that one call may take; what the operator says counts, shorter or longer."""
        return self.timeout or usual


def mistakes(options: AwsOptions) -> Iterator[Mistake]:
    """What the types alone cannot say."""
    yield from _places(options)
    yield from _replicas(options)
    yield from _sign_in(options)
    yield from _keeping(options)
    yield from _tags(options.tags)
    if options.assume_role is not None:
        yield from _role(options.assume_role)
    if options.timeout is not None and not timedelta() < options.timeout <= LONGEST_TIMEOUT:
        yield Mistake("timeout", f"timeout is not above 0 and at most {LONGEST_TIMEOUT}")


def _places(options: AwsOptions) -> Iterator[Mistake]:
    for option in ("endpoint_url", "sts_endpoint_url", "iam_endpoint_url"):
        url = getattr(options, option)
        if url is not None:
            yield from url_mistakes(option, url)
    if options.endpoint_url is not None and (options.fips or options.dualstack):
        yield Mistake("endpoint_url", "fips and dualstack choose the address, and so does this")
    regions = [("replica_regions", region) for region in options.replica_regions]
    if options.region is not None:
        regions.append(("region", options.region))
    for option, region in regions:
        if not _REGION.fullmatch(region):
            yield Mistake(option, f"{region[:40]!a} is no region", "write it like eu-central-1")


def _replicas(options: AwsOptions) -> Iterator[Mistake]:
    if options.region in options.replica_regions:
        yield Mistake("replica_regions", f"{options.region} is the secrets' own region")
    for region, key in options.replica_kms_key_ids.items():
        if region not in options.replica_regions or not key.strip():
            what = f"{region[:40]!a} is none of replica_regions, or its key is empty"
            yield Mistake("replica_kms_key_ids", what)


def _sign_in(options: AwsOptions) -> Iterator[Mistake]:
    if (options.access_key_id is None) != (options.secret_access_key is None):
        yield Mistake("secret_access_key", "access_key_id and secret_access_key come together")
    if options.access_key_id is not None and options.profile is not None:
        yield Mistake("profile", "there is an access_key_id already", "keep one of the two")


def _keeping(options: AwsOptions) -> Iterator[Mistake]:
    if not _NAME.fullmatch(options.prefix):
        yield Mistake("prefix", "prefix is not of letters, digits and /_+=.@- only")
    elif len(options.prefix) > LONGEST_PREFIX:
        yield Mistake("prefix", f"prefix is longer than {LONGEST_PREFIX} characters")
    window = options.recovery_window
    if not _SHORTEST_WINDOW <= window <= _LONGEST_WINDOW or window % timedelta(days=1):
        yield Mistake("recovery_window", "AWS keeps a deleted secret for 7 to 30 whole days")
    if options.kms_key_id is not None and not options.kms_key_id.strip():
        yield Mistake("kms_key_id", "kms_key_id is empty", "leave it out for AWS's own key")
    if not options.json_key:
        yield Mistake("json_key", "json_key is empty")
    if options.value is ValueForm.TEMPLATE and (wrong := mistake_in(options.template)):
        yield Mistake("template", wrong)
    if options.value is not ValueForm.TEMPLATE and options.template:
        yield Mistake("template", f"value is {options.value}", "write value: template")


def _tags(tags: Mapping[str, str]) -> Iterator[Mistake]:
    if len(tags) >= _MOST_TAGS:
        yield Mistake("tags", f"AWS takes {_MOST_TAGS} tags, and one of them is credmgr's mark")
    for key, value in tags.items():
        if key == MARK or key.lower().startswith("aws:"):
            yield Mistake("tags", f"the tag {key[:40]!a} is not yours to set")
        elif not key or len(key) > _TAG_KEY_LENGTH or len(value) > _TAG_VALUE_LENGTH:
            yield Mistake(
                "tags", "a tag has 1 to 128 characters before and at most 256 after the :"
            )
        elif not _TAG.fullmatch(key) or not _TAG.fullmatch(value):
            yield Mistake("tags", "a tag is not of letters, digits, spaces and +-=._:/@ only")


def _role(role: AssumeRole) -> Iterator[Mistake]:
    if not _ROLE.fullmatch(role.role_arn):
        yield Mistake("assume_role.role_arn", "this is no ARN of a role", "arn:aws:iam::…:role/…")
    if not _SESSION.fullmatch(role.session_name):
        yield Mistake("assume_role.session_name", "2 to 64 letters, digits and _+=,.@- are allowed")
    if not _SHORTEST_ROLE <= role.duration <= _LONGEST_ROLE:
        yield Mistake("assume_role.duration", "a session lasts 30 minutes to 12 hours")
    if role.external_id is not None and role.external_id_from is not None:
        yield Mistake("assume_role.external_id", "there are two external ids", "keep one")
    if role.external_id is not None and not _EXTERNAL_ID.fullmatch(role.external_id):
        yield Mistake("assume_role.external_id", "2 to 1224 letters, digits and _+=,.@:/- only")
