"""The sink `kubernetes`: each copy is the manifest of a Secret, for `kubectl apply` or GitOps."""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from credmgr.errors import LimitExceeded
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.plugins.backend import Limits, Mistake
from credmgr.plugins.context import PluginContext
from credmgr.sinks.copies import FileCopies
from credmgr.sinks.file import access_of, file_copies, file_mistakes, mode_mistakes
from credmgr.sinks.rendering import LIMITS as FILE_LIMITS
from credmgr.sinks.rendering import Form, Rendering, filled, mistakes_in

LIMITS: Final = Limits(value_bytes=FILE_LIMITS.value_bytes, name_length=253)
"""A name is a DNS subdomain (kubernetes.io, "Object Names and IDs")."""
MARK: Final[Mapping[str, str]] = {"app.kubernetes.io/managed-by": "credmgr"}
OUR_NAME: Final = "credmgr/name"
OUR_VERSION: Final = "credmgr/version"
_LABEL_LENGTH: Final = 63
_DNS_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_WORD: Final = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?", re.ASCII)
_KEY: Final = re.compile(r"[-._A-Za-z0-9]{1,253}", re.ASCII)


@dataclass(frozen=True, slots=True)
class KubernetesOptions:
    """Where the manifests are, and what the Secret in each is called.

    Attributes:
        path: The folder that they are in; made if missing, not its parents.
        file: The path of each below it; `{{ name }}` is what the copy is called.
        secret: The Secret's name; `{{ name }}` is what the copy is called, a dot for each `/`.
        namespace: Its namespace; that of whoever applies it unless given.
        key: The key of its data that holds the value.
        type: Its type.
        labels: Further labels.
        annotations: Further annotations.
        template: The text around the value: `{{ secret }}`, as of the sink `file`.
        mode: The manifest's permission bits in octal, quoted.
        owner: The user it belongs to, by name or number; the one that runs credmgr unless given.
        group: The group it belongs to, by name or number; likewise.
        others_may_read: Allow a mode that lets every user of the machine read it.
        adopt: Write over a file that credmgr did not write, which is refused otherwise.
    """

    path: str
    file: str = "{{ name }}.yaml"
    secret: str = "{{ name }}"  # noqa: S105 (the name of one)
    namespace: str = ""
    key: str = "value"
    type: str = "Opaque"
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    template: str = ""
    mode: str = "0600"
    owner: str | int = ""
    group: str | int = ""
    others_may_read: bool = False
    adopt: bool = False

    @property
    def rendering(self) -> Rendering:
        """How a value becomes that of the key."""
        return Rendering(Form.TEMPLATE if self.template else Form.RAW, template=self.template)


class KubernetesSinkFactory:
    """Makes sinks of manifests."""

    options = KubernetesOptions
    limits = LIMITS

    def validate(self, options: KubernetesOptions) -> Iterable[Mistake]:
        """What the types alone cannot say."""
        yield from file_mistakes(options.path, options.file)
        yield from mode_mistakes(options.mode, others_may_read=options.others_may_read)
        yield from options.rendering.mistakes()
        yield from _object_mistakes(options)
        yield from _label_mistakes(options.labels)
        yield from _annotation_mistakes(options.annotations)

    def open(self, options: KubernetesOptions, context: PluginContext) -> FileCopies:
        """A session; nothing is touched yet.

        Raises:
            ConfigError: There is no such user or group.
        """
        access = access_of(options.mode, options.owner, options.group)
        render = SecretManifest(options)
        return file_copies(context, options.path, options.file, access, render, adopt=options.adopt)


class SecretManifest:
    """Renders the manifest of one Secret.

    The value is base64 under `data`, and every other word a JSON string, which YAML 1.1 and 1.2
    read alike: so nothing in them can be taken for a number, a boolean or another key.
    """

    def __init__(self, options: KubernetesOptions) -> None:
        self._options = options

    def __call__(self, name: Name, secret: Secret, version: UUID) -> bytes:
        """The whole manifest.

        Raises:
            LimitExceeded: The value is too long or no Unicode text, or no Secret can be called so.
        """
        options = self._options
        value = options.rendering(name, secret, version)
        annotations = {**options.annotations, OUR_NAME: name, OUR_VERSION: str(version)}
        lines = ['apiVersion: "v1"', 'kind: "Secret"', "metadata:"]
        lines.append(f"  name: {_word(object_name(options.secret, name))}")
        if options.namespace:
            lines.append(f"  namespace: {_word(options.namespace)}")
        lines += ["  labels:", *_entries({**options.labels, **MARK})]
        lines += ["  annotations:", *_entries(annotations)]
        lines += [f"type: {_word(options.type)}", "data:"]
        lines.append(f"  {_word(options.key)}: {_word(base64.b64encode(value).decode())}")
        return ("\n".join(lines) + "\n").encode()


def object_name(template: str, name: Name) -> str:
    """What the Secret is called: `caseforge/api-key` is `caseforge.api-key`; no two names meet.

    Raises:
        LimitExceeded: No Secret can be called so.
    """
    called = filled(template, {"name": name.replace("/", ".")})
    if len(called) > LIMITS.name_length or not _SUBDOMAIN.fullmatch(called):
        raise LimitExceeded(
            f"no Secret can be called {called}",
            hint="its parts end in a letter or digit, and it has at most 253 characters",
        )
    return called


def _object_mistakes(options: KubernetesOptions) -> Iterator[Mistake]:
    wrong = list(mistakes_in(options.secret, "name", ["name"])) if "{{" in options.secret else []
    yield from (Mistake("secret", what, fix) for what, fix in wrong)
    if not wrong and not _SUBDOMAIN.fullmatch(filled(options.secret, {"name": "name"})):
        fix = "write lower case letters, digits, dashes and dots"
        yield Mistake("secret", "no Secret can be called so", fix)
    if options.namespace and not _DNS_LABEL.fullmatch(options.namespace):
        yield Mistake("namespace", "this is no name of a namespace", "write one as payments-prod")
    if not _KEY.fullmatch(options.key) or options.key in {".", ".."}:
        fix = "write letters, digits, dashes, dots and underscores"
        yield Mistake("key", "this is no key of a Secret's data", fix)
    if not options.type or not options.type.isprintable():
        yield Mistake("type", "this is no type of a Secret", "leave it out, or write Opaque")


def _label_mistakes(labels: Mapping[str, str]) -> Iterator[Mistake]:
    for key, value in labels.items():
        yield from _key_mistakes("labels", key)
        if len(value) > _LABEL_LENGTH or not _WORD.fullmatch(value):
            fix = "write up to 63 letters, digits, dashes, dots and underscores"
            yield Mistake("labels", f"the value of {key!a} is none that a label has", fix)


def _annotation_mistakes(annotations: Mapping[str, str]) -> Iterator[Mistake]:
    for key, value in annotations.items():
        yield from _key_mistakes("annotations", key)
        if not value.replace("\n", "").isprintable():
            what = f"the value of {key!a} holds what cannot be printed"
            yield Mistake("annotations", what, "take it out")


def _key_mistakes(option: str, key: str) -> Iterator[Mistake]:
    prefix, slash, word = key.rpartition("/")
    fits = 0 < len(word) <= _LABEL_LENGTH and _WORD.fullmatch(word)
    if not fits or (slash and not _SUBDOMAIN.fullmatch(prefix)):
        yield Mistake(option, f"{key!a} is no key that Kubernetes takes", "write one as team/name")
    elif key in {*MARK, OUR_NAME, OUR_VERSION}:
        yield Mistake(option, f"{key!a} is credmgr's own", "choose another key")


def _entries(pairs: Mapping[str, str]) -> list[str]:
    return [f"    {_word(key)}: {_word(value)}" for key, value in pairs.items()]


def _word(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
