"""docs/plugins.md shows the tutorial plugin: all of it, as it is, and nothing else."""

import re
import textwrap
from itertools import chain
from pathlib import Path

import pytest

from credmgr.errors import BackendError
from credmgr.plugins.backend import Capability, SecretBackend
from credmgr.plugins.context import PluginContext
from credmgr.plugins.loading import BACKENDS, ISSUERS, NOTIFIERS

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "tests" / "plugin_sqlite"
PAGE = (ROOT / "docs" / "plugins.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)\n```$", PAGE, re.MULTILINE | re.DOTALL)
MODULE = "credmgr_sqlite/__init__.py"
FILES = {
    "pyproject.toml": "toml",
    MODULE: "python",
    "tests/test_contract.py": "python",
    "example/credmgr.yaml": "yaml",
}
REGION = re.compile(r"^ *# region: (\w+)\n(.*?)^ *# endregion$", re.MULTILINE | re.DOTALL)


def regions(file: str) -> list[tuple[str, str]]:
    """The regions of a file as the page shows them, in their order."""
    found = REGION.findall((SOURCE / file).read_text())
    return [(name, textwrap.dedent(text).strip("\n")) for name, text in found]


SHOWN = [(FILES[file], text) for file in FILES for _, text in regions(file)]


def test_every_block_is_a_region_of_the_source_and_every_region_is_shown_once() -> None:
    assert sorted(BLOCKS) == sorted(SHOWN)


def test_no_code_hides_in_a_block_of_another_form() -> None:
    assert PAGE.count("```") == 2 * len(BLOCKS)
    assert "~~~" not in PAGE
    assert not re.search(r"^ {4}\S", re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL), re.MULTILINE)


@pytest.mark.parametrize("file", [MODULE, "tests/test_contract.py"])
def test_the_regions_are_the_whole_file(file: str) -> None:
    left = REGION.sub("", (SOURCE / file).read_text()).strip()
    assert re.fullmatch(r'"""[^"]+"""', left), left


def test_the_module_is_shown_from_its_top_to_its_end() -> None:
    module = [text for _, text in regions(MODULE)]
    assert [text for _, text in BLOCKS if text in module] == module


def test_every_method_capability_and_part_of_the_context_is_told() -> None:
    methods = [name for name in vars(SecretBackend) if not name.startswith("_")]
    assert [name for name in methods if f"\n| `{name}` |" not in PAGE] == []
    assert [one.name for one in Capability if f"`{one.name}`" not in PAGE] == []
    assert [name for name in PluginContext.__slots__ if f"\n| `{name}` |" not in PAGE] == []
    assert [group for group in (BACKENDS, ISSUERS, NOTIFIERS) if f"`{group}`" not in PAGE] == []


def test_every_error_of_a_backend_is_told() -> None:
    direct = BackendError.__subclasses__()
    ours = {one.__name__ for one in direct if one.__module__ == BackendError.__module__}
    told = set(chain.from_iterable(re.findall(r"`(\w+)`", row) for row in PAGE.splitlines()))
    assert ours <= told
