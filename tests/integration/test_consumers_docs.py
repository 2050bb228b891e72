"""docs/consumers.md: every block of it gives a consumer what it says."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from credmgr.manifest.loading import load
from credmgr.model.token import TokenForm
from tests.integration.api_world import World, serving
from tests.integration.upstream import node

PAGE: Final = (Path(__file__).parents[2] / "docs" / "consumers.md").read_text()
ALL: Final = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
BLOCKS: Final = [(language, text) for language, text in ALL if language != "yaml"]
NAMES: Final = [f"{number}-{language}" for number, (language, _) in enumerate(BLOCKS, 1)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with serving(tmp_path_factory.mktemp("page")) as running:
        yield running


def command(language: str, text: str, folder: Path) -> list[str]:
    if language == "bash":
        return ["/bin/bash", "-euo", "pipefail", "-c", text]
    file = folder / ("block.mjs" if language == "javascript" else "block.py")
    file.write_text(text)
    return [node() if language == "javascript" else sys.executable, str(file)]


@pytest.mark.parametrize(("language", "text"), BLOCKS, ids=NAMES)
def test_a_block_gets_a_token(world: World, tmp_path: Path, language: str, text: str) -> None:
    bearer = tmp_path / "bearer"
    bearer.write_text(world.bearers["both"])
    over = {"CREDMGR_URL": f"http://127.0.0.1:{world.port}", "CREDMGR_TOKEN_FILE": str(bearer)}
    if "CREDMGR_SOCKET" in text:
        over = {"CREDMGR_SOCKET": str(world.app.manifest.api.socket)}
    done = subprocess.run(  # noqa: S603 (the page's blocks)
        command(language, text, tmp_path),
        env={"PATH": os.environ["PATH"], **over},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"access_token\"|Authorization: Bearer \S{20}", done.stdout), done.stdout


def test_the_page_has_a_block_for_each_way() -> None:
    assert [language for language, _ in ALL] == ["bash", "bash", "python", "javascript", "yaml"]


def test_its_manifest_keeps_a_token_in_a_file(tmp_path: Path) -> None:
    manifest = tmp_path / "credmgr.yaml"
    manifest.write_text(ALL[-1][1])

    ((place,),) = load(manifest).tokens.values()

    assert place.form is TokenForm.JSON
    assert place.scopes == frozenset({"cases:read"})
