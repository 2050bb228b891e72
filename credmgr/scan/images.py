"""Container images: which layer a file is in, and whether a later one only hides it.

Two forms of the same thing: what `docker save` writes (`manifest.json`), and the OCI layout
(`index.json` and `blobs/`), in a folder or a tar. Commands of the history are not shown: they are a
favourite place for secrets, which are found in the configuration itself.
"""

import json
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO, Final

from credmgr.scan.archives import Remark

_LARGEST: Final = 1 << 24
_HIDES: Final = ".wh."
_HIDES_ALL: Final = ".wh..wh..opq"

Opens = Callable[[str], IO[bytes] | None]
"""Opens a file of the image by its name; None when there is none."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of an image.

    Attributes:
        number: From 1, the lowest first.
        of: How many there are.
        hidden: Files and folders that a later layer hides, with that layer's number.
    """

    number: int
    of: int
    hidden: Mapping[str, int]

    def remark(self, path: str) -> str:
        """What is to be said of a file in it."""
        said = f"layer {self.number} of {self.of}"
        names = (path, *(str(parent) for parent in PurePosixPath(path).parents))
        by = next((self.hidden[name] for name in names if name in self.hidden), None)
        return said if by is None else f"{said}; hidden by layer {by}, and still in the image"


def of_tar(stream: BinaryIO) -> Remark | None:
    """What to say of an image's members; None where a tar is no image. Goes back to the start."""
    try:
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            known = {member.name.removeprefix("./"): member for member in tar}
            if not known.keys() & {"manifest.json", "index.json"}:
                return None
            return _remark(lambda name: tar.extractfile(known[name]) if name in known else None)
    except (tarfile.TarError, OSError, EOFError):
        return None
    finally:
        stream.seek(0)


def of_folder(folder: Path) -> Remark | None:
    """The same for an OCI layout that lies open."""
    if not (folder / "oci-layout").is_file():
        return None

    def opens(name: str) -> IO[bytes] | None:
        path = folder / name
        return path.open("rb") if path.is_file() and not path.is_symlink() else None

    return _remark(opens)


def _remark(opens: Opens) -> Remark:
    layers = {name: layer for image in _images(opens) for name, layer in _layers(opens, image)}

    def remark(names: tuple[str, ...]) -> str:
        for depth, name in enumerate(names):
            if name in layers:
                return layers[name].remark("/".join(names[depth + 1 :]))
        return ""

    return remark


def _images(opens: Opens) -> Iterator[Sequence[str]]:
    """The layers of each image, the lowest first."""
    listed = _json(opens, "manifest.json")
    if isinstance(listed, list):
        for image in listed:
            yield _names(image, "Layers")
        return
    todo = [_json(opens, "index.json")]
    while todo:
        found = todo.pop()
        if not isinstance(found, dict):
            continue
        todo += [_json(opens, _blob(one)) for one in found.get("manifests", ())]
        if layers := found.get("layers"):
            yield [_blob(layer) for layer in layers]


def _names(image: Any, key: str) -> Sequence[str]:
    found = image.get(key) if isinstance(image, dict) else None
    return [str(name) for name in found or ()]


def _blob(descriptor: Any) -> str:
    digest = str(descriptor.get("digest", "")) if isinstance(descriptor, dict) else ""
    return f"blobs/{digest.replace(':', '/')}"


def _json(opens: Opens, name: str) -> Any:
    stream = opens(name)
    if stream is None:
        return None
    with stream:
        try:
            return json.loads(stream.read(_LARGEST))
        except ValueError:
            return None


def _layers(opens: Opens, names: Sequence[str]) -> Iterator[tuple[str, Layer]]:
    hidden: dict[str, int] = {}
    made = []
    for number, name in reversed(list(enumerate(names, 1))):
        made.append((name, Layer(number, len(names), dict(hidden))))
        hidden |= dict.fromkeys(_hides(opens, name), number)
    yield from reversed(made)


def _hides(opens: Opens, name: str) -> Iterator[str]:
    """What a layer hides of those below it, by its whiteouts (OCI image spec, layer.md)."""
    stream = opens(name)
    if stream is None:
        return
    with stream:
        try:
            with tarfile.open(fileobj=stream, mode="r|*") as tar:
                for member in tar:
                    path = PurePosixPath(member.name.removeprefix("./"))
                    if path.name == _HIDES_ALL:
                        yield str(path.parent)
                    elif path.name.startswith(_HIDES):
                        yield str(path.with_name(path.name.removeprefix(_HIDES)))
        except (tarfile.TarError, OSError, EOFError):
            return
