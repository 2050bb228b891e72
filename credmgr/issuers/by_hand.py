"""Secrets that a person makes and revokes: the same in every issuer that cannot do it itself."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import Formatter

from credmgr.errors import IssuerRefused, OperatorNeeded
from credmgr.model.credential import Credential
from credmgr.plugins.backend import Mistake
from credmgr.plugins.issuer import Issued, Listed


@dataclass(frozen=True, slots=True)
class Steps:
    """What a person does for one credential.

    Attributes:
        create: To make a secret.
        revoke: To revoke one.
        words: What stands for each placeholder besides `{label}`.
    """

    create: Sequence[str]
    revoke: Sequence[str]
    words: Mapping[str, str]


class MadeByHand:
    """The half of an issuer that asks a person.

    The id of a secret is the name that the person gave it in the dashboard, which is its label.
    """

    __slots__ = ()

    @abstractmethod
    def steps(self, credential: Credential) -> Steps:
        """What the person does."""

    def create(self, credential: Credential, label: str) -> Issued:
        """Ask a person to make a secret named `label`.

        Raises:
            OperatorNeeded: Always; the steps end with `credmgr import`.
        """
        steps = self.steps(credential)
        raise OperatorNeeded(
            f"a person has to create a secret for {credential.name}, named {label}",
            steps=(
                *_filled(steps.create, steps.words, label),
                f"Then run: credmgr import {credential.name}",
            ),
        )

    def list(self, credential: Credential) -> Sequence[Listed]:
        """Nothing: a dashboard cannot be asked."""
        del credential
        return ()

    def disable(self, credential: Credential, secret_id: str) -> None:
        """Refuse: dashboards are not assumed to have a reversible way.

        Raises:
            IssuerRefused: Always, as `traits.disables` says.
        """
        raise IssuerRefused(f"{credential.name}: {secret_id} can be revoked but not disabled")

    def revoke(self, credential: Credential, secret_id: str) -> None:
        """Ask a person to revoke the secret that is named `secret_id` in the dashboard.

        Raises:
            OperatorNeeded: Always; the steps end with `credmgr resolve --revoked`.
        """
        steps = self.steps(credential)
        raise OperatorNeeded(
            f"a person has to revoke the secret of {credential.name} named {secret_id}",
            steps=(
                *_filled(steps.revoke, steps.words, secret_id),
                f"Then run: credmgr resolve {credential.name} --revoked",
            ),
        )


def words_of(credential: Credential) -> dict[str, str]:
    """What stands for the placeholders that every such issuer knows."""
    return {
        "name": credential.name,
        "client_id": credential.client_id or "",
        "scopes": " ".join(sorted(credential.scopes)) or "those that the owner names",
    }


def step_mistakes(
    option: str, steps: Sequence[str], placeholders: Sequence[str]
) -> Iterator[Mistake]:
    """What is wrong with an option that holds steps, which may use `placeholders`."""
    used: set[str] = set()
    for number, step in enumerate(steps):
        place = f"{option}.{number}"
        try:
            fields = [part[1:] for part in Formatter().parse(step) if part[1] is not None]
        except ValueError:
            yield Mistake(place, "a brace is not closed", "write {{ and }} for plain braces")
            continue
        for name, spec, conversion in fields:
            used.add(str(name))
            if name not in placeholders or spec or conversion:
                known = ", ".join(f"{{{known}}}" for known in placeholders)
                yield Mistake(place, "a placeholder is unknown", f"there are {known}")
    if steps and "label" not in used:
        yield Mistake(option, f"{option} never names the secret", "use {label} in a step")


def _filled(steps: Sequence[str], words: Mapping[str, str], label: str) -> Iterator[str]:
    return (step.format_map({"label": label, **words}) for step in steps)
