"""The page about Key Vault, and the role that we ship, say what is so."""

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

from credmgr.backends.azure_key_vault import AzureAuth, AzureBackendFactory, AzureOptions

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/backends/azure.md").read_text()


def test_the_example_has_no_mistakes() -> None:
    [block] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    [given] = yaml.safe_load(block)["backends"].values()
    assert given.pop("plugin") == "azure"
    options = TypeAdapter(AzureOptions).validate_python(given)
    assert list(AzureBackendFactory().validate(options)) == []


def test_every_option_is_on_the_page() -> None:
    names = {field.name for field in fields(AzureOptions)} - {"auth"}
    names |= {f"auth.{field.name}" for field in fields(AzureAuth)}
    assert {name for name in names if f"`{name}" not in PAGE} == set()


def test_the_role_may_not_do_what_cannot_be_undone() -> None:
    path = ROOT / "policies/backends/azure-role.json"
    role: dict[str, Any] = json.loads(path.read_text())
    assert re.search(rf"\]\(\.\./\.\./{path.relative_to(ROOT)}\)", PAGE)
    assert role["Actions"] == []
    actions = role["DataActions"]
    assert actions == sorted(actions)
    assert not [action for action in actions if "*" in action or "purge" in action]
