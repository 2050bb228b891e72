"""Which version has which staging label, and which stage that makes it; pure.

    AWSCURRENT     current; on the placeholder while nothing is
    AWSPENDING     next, unless the same version is current: then a promotion was cut short
    AWSPREVIOUS    previous, unless it is the placeholder

AWS puts AWSCURRENT on a secret's first version whatever labels are asked for (PutSecretValue,
CreateSecret), and never lets go of it. So the first version of every secret is a placeholder, the
same for all: nobody who reads natively sees a value that is only staged.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self
from uuid import UUID, uuid5

from credmgr.backends.aws_secrets_manager.options import MARK, MARKED
from credmgr.model.version import Stage

CURRENT: Final = "AWSCURRENT"
PENDING: Final = "AWSPENDING"
PREVIOUS: Final = "AWSPREVIOUS"
LABELS: Final[Mapping[Stage, str]] = {
    Stage.CURRENT: CURRENT,
    Stage.NEXT: PENDING,
    Stage.PREVIOUS: PREVIOUS,
}
PLACEHOLDER: Final = UUID("63726564-6d67-4000-8000-656d70747900")
"""The version id of the placeholder, in every secret."""
PLACEHOLDER_TEXT: Final = "credmgr: no secret is current under this name"
PLACEHOLDER_LABEL: Final = "credmgr-placeholder"
MOST_LABELS: Final = 20
"""Of all versions of a secret together (the user guide's page of quotas)."""
OWN_LABELS: Final = frozenset({CURRENT, PENDING, PREVIOUS, PLACEHOLDER_LABEL})
"""What a secret of ours needs room for."""
_FOREIGN_IDS: Final = UUID("63726564-6d67-4000-8000-6f7468657200")


def version_of(version_id: str) -> UUID:
    """Our id for a version of AWS's: the same, or one derived where others wrote no UUID."""
    try:
        return UUID(version_id)
    except ValueError:
        return uuid5(_FOREIGN_IDS, version_id)


def stage_of(version: UUID, labels: Iterable[str]) -> Stage | None:
    """The stage of a version with these labels."""
    held = frozenset(labels)
    if version == PLACEHOLDER:
        return None
    return next((stage for stage, label in LABELS.items() if label in held), None)


@dataclass(frozen=True, slots=True)
class Shelf:
    """A secret of AWS without its values.

    Attributes:
        arn: Ends in six random characters, so that a secret made anew has another.
        ours: Whether it carries our mark, with its value.
        deleted: Whether it is scheduled for deletion.
        labels: Each labelled version, in AWS's spelling, with its labels.
        replicas: The regions that it is replicated to.
    """

    arn: str
    ours: bool
    deleted: bool
    labels: Mapping[str, frozenset[str]]
    replicas: frozenset[str]

    @classmethod
    def described(cls, answer: Any) -> Self:
        """What an answer of DescribeSecret says."""
        stages = answer.get("VersionIdsToStages") or {}
        return cls(
            arn=answer["ARN"],
            ours={"Key": MARK, "Value": MARKED} in (answer.get("Tags") or ()),
            deleted=answer.get("DeletedDate") is not None,
            labels={version_id: frozenset(held) for version_id, held in stages.items() if held},
            replicas=frozenset(each["Region"] for each in answer.get("ReplicationStatus") or ()),
        )

    def holder(self, label: str) -> str | None:
        """The version that has a label, in AWS's spelling."""
        return next((each for each, held in self.labels.items() if label in held), None)

    def spelled(self, version: UUID) -> str:
        """A version in AWS's spelling."""
        return next((each for each in self.labels if version_of(each) == version), str(version))

    def labels_of(self, version: UUID) -> frozenset[str]:
        """The labels of a version."""
        return self.labels.get(self.spelled(version), frozenset())

    def stage_of(self, version: UUID) -> Stage | None:
        """The stage of a version."""
        return stage_of(version, self.labels_of(version))

    @property
    def foreign_labels(self) -> frozenset[str]:
        """The labels that are of somebody else's making."""
        return frozenset[str]().union(*self.labels.values()) - OWN_LABELS

    @property
    def current(self) -> UUID | None:
        """The version that is current; None while that is the placeholder."""
        holder = self.holder(CURRENT)
        version = version_of(holder) if holder else None
        return None if version == PLACEHOLDER else version
