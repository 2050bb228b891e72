"""The built-in sinks against the one contract."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from credmgr.model.names import Name
from credmgr.plugins.loading import SINKS, load
from credmgr.plugins.sink import Sink
from credmgr.sinks.command import CommandOptions
from credmgr.sinks.file import FileOptions
from credmgr.sinks.kubernetes import KubernetesOptions
from credmgr.sinks.rendering import Form
from credmgr.testing import SinkContract
from credmgr.testing.sink_contract import Meddle, Plant, Reopen, Stamp, There
from tests.sink_world import a_context


class TestFile(SinkContract):
    factory = load(SINKS, "file")
    options: Any = FileOptions("out")

    @pytest.fixture
    def file(self, tmp_path: Path) -> Callable[[Name], Path]:
        return lambda name: tmp_path / "out" / name

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Reopen:
        return lambda: self.factory.open(self.options, a_context(tmp_path))

    @pytest.fixture
    def sink(self, reopen: Reopen) -> Iterator[Sink]:
        session = reopen()
        yield session
        session.close()

    def value_in(self, content: bytes) -> str:
        return content.decode()

    @pytest.fixture
    def there(self, file: Callable[[Name], Path]) -> There:
        def look(name: Name) -> str | None:
            return self.value_in(file(name).read_bytes()) if file(name).exists() else None

        return look

    @pytest.fixture
    def stamp(self, file: Callable[[Name], Path]) -> Stamp:
        def written(name: Name) -> object:
            found = file(name).stat()
            return found.st_ino, found.st_mtime_ns

        return written

    @pytest.fixture
    def tamper(self, file: Callable[[Name], Path]) -> Meddle:
        def change(name: Name) -> None:
            file(name).write_text("changed")

        return change

    @pytest.fixture
    def vanish(self, file: Callable[[Name], Path]) -> Meddle:
        return lambda name: file(name).unlink()

    @pytest.fixture
    def foreign(self, file: Callable[[Name], Path]) -> Plant:
        def plant(name: Name) -> Callable[[], object]:
            for folder in (file(name).parent.parent, file(name).parent):
                folder.mkdir(exist_ok=True, mode=0o700)
            file(name).write_text("notes of somebody else\n")
            return file(name).read_bytes

        return plant


class TestJsonFile(TestFile):
    options = FileOptions("out", file="{{ name }}.json", form=Form.JSON, key="token", mode="0640")

    @pytest.fixture
    def file(self, tmp_path: Path) -> Callable[[Name], Path]:
        return lambda name: tmp_path / "out" / f"{name}.json"

    def value_in(self, content: bytes) -> str:
        return str(json.loads(content)["token"])


class TestKubernetesManifest(TestFile):
    factory = load(SINKS, "kubernetes")
    options = KubernetesOptions("out")

    @pytest.fixture
    def file(self, tmp_path: Path) -> Callable[[Name], Path]:
        return lambda name: tmp_path / "out" / f"{name}.yaml"

    def value_in(self, content: bytes) -> str:
        return base64.b64decode(yaml.safe_load(content)["data"]["value"]).decode()


HOOK = r"""
set -eu
file="$2/$(printf %s "$CREDMGR_NAME" | tr / +)"
case "$1" in
write)
    cat > "$file.new"
    mv "$file.new" "$file"
    echo "$CREDMGR_VERSION $(cksum < "$file")" > "$file.version"
    ;;
remove) rm -f "$file" "$file.version" ;;
inspect)
    if [ -e "$file.version" ]; then
        read -r version was < "$file.version"
        if [ -e "$file" ] && [ "$(cksum < "$file")" = "$was" ]; then state=; else state=changed; fi
        echo "$version $state"
    fi
    ;;
esac
"""


class TestCommand(SinkContract):
    factory = load(SINKS, "command")
    looks_back = False

    @pytest.fixture
    def options(self, tmp_path: Path) -> CommandOptions:
        def hook(what: str) -> tuple[str, ...]:
            return ("/bin/sh", "-c", HOOK, "hook", what, str(tmp_path / "out"))

        (tmp_path / "out").mkdir()
        inspect = hook("inspect") if self.looks_back else ()
        return CommandOptions(write=hook("write"), inspect=inspect, remove=hook("remove"))

    @pytest.fixture
    def reopen(self, options: CommandOptions, tmp_path: Path) -> Reopen:
        return lambda: self.factory.open(options, a_context(tmp_path))

    @pytest.fixture
    def sink(self, reopen: Reopen) -> Sink:
        return reopen()

    @pytest.fixture
    def there(self, tmp_path: Path) -> There:
        def look(name: Name) -> str | None:
            file = tmp_path / "out" / name.replace("/", "+")
            return file.read_bytes().decode() if file.exists() else None

        return look

    @pytest.fixture
    def tamper(self, tmp_path: Path) -> Meddle:
        def change(name: Name) -> None:
            (tmp_path / "out" / name.replace("/", "+")).write_text("changed")

        return change

    @pytest.fixture
    def vanish(self, tmp_path: Path) -> Meddle:
        return lambda name: (tmp_path / "out" / name.replace("/", "+")).unlink()


class TestCommandThatLooksBack(TestCommand):
    looks_back = True

    @pytest.fixture
    def stamp(self, tmp_path: Path) -> Stamp:
        return lambda name: (tmp_path / "out" / name.replace("/", "+")).stat().st_ino
