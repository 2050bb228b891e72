"""Plugins are found by entry point, and a broken one is named."""

import sys
from pathlib import Path

import pytest

from credmgr.errors import PluginError
from credmgr.plugins.loading import BACKENDS, ISSUERS, NOTIFIERS, available, load


def distribution(folder: Path, name: str, group: str, plugin: str, target: str) -> None:
    """What an installed distribution leaves behind."""
    info = folder / f"{name}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{plugin} = {target}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path


def test_the_built_in_plugins_are_found_as_any_others() -> None:
    assert "local" in available(BACKENDS)
    assert {"caseforge", "manual"} <= set(available(ISSUERS))
    assert type(load(NOTIFIERS, "log")).__name__ == "LogNotifierFactory"


def test_a_missing_one_is_named_with_those_that_there_are() -> None:
    with pytest.raises(PluginError, match="no plugin 'vualt'") as caught:
        load(BACKENDS, "vualt")
    assert "local" in str(caught.value.hint)


def test_one_that_does_not_import_is_named_with_the_reason(site: Path) -> None:
    distribution(site, "broken", BACKENDS, "broken", "a_module_that_is_not_there:Factory")
    with pytest.raises(PluginError, match=r"'broken'.*a_module_that_is_not_there") as caught:
        load(BACKENDS, "broken")
    assert caught.value.hint == "mend, update or uninstall broken"
    assert load(BACKENDS, "local")


def test_one_that_ends_the_process_when_it_is_imported_does_not(site: Path) -> None:
    (site / "a_module_that_gives_up.py").write_text("raise SystemExit('no licence')\n")
    distribution(site, "broken", BACKENDS, "broken", "a_module_that_gives_up:Factory")
    with pytest.raises(PluginError, match=r"'broken'.*SystemExit: no licence"):
        load(BACKENDS, "broken")


def test_two_that_claim_one_name_are_refused_and_the_others_load(site: Path) -> None:
    distribution(site, "first", BACKENDS, "twin", "a:b")
    distribution(site, "second", BACKENDS, "twin", "c:d")
    assert len(available(BACKENDS)["twin"]) == 2
    with pytest.raises(PluginError, match="claimed by first, second") as caught:
        load(BACKENDS, "twin")
    assert caught.value.hint == "uninstall one of them"
    assert load(BACKENDS, "local")
