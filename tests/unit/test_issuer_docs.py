"""What docs/issuers.md shows works as it stands."""

import re
from pathlib import Path

import pytest

from credmgr.issuers import manual, oauth2
from credmgr.issuers.caseforge import CaseForgeCredentialOptions, CaseForgeOptions
from credmgr.issuers.manual import ManualOptions
from credmgr.issuers.oauth2 import OAuth2CredentialOptions, OAuth2Options
from credmgr.manifest import load
from credmgr.model.names import Name

PAGE = (Path(__file__).parents[2] / "docs" / "issuers.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
HEAD = """\
version: 1
state:
  master_key: file:master.key
backends:
  local:
    plugin: local
"""


@pytest.mark.parametrize("block", BLOCKS, ids=["caseforge", "manual", "oauth2"])
def test_every_example_is_a_manifest(block: str, tmp_path: Path) -> None:
    path = tmp_path / "credmgr.yaml"
    path.write_text(HEAD + block)
    manifest = load(path)
    assert manifest.credentials
    for issuer in manifest.issuers.values():
        assert not list(issuer.factory.validate(issuer.options))
        assert issuer.factory.traits(issuer.options).propagation


def test_a_mistake_in_an_option_has_its_place(tmp_path: Path) -> None:
    path = tmp_path / "credmgr.yaml"
    path.write_text(HEAD + BLOCKS[0].replace("http://127.0.0.1", "http://cf.example"))
    with pytest.raises(Exception, match=r"credmgr.yaml:10:10: url would send secrets unencrypted"):
        load(path)


def test_a_credentials_options_reach_the_issuer(tmp_path: Path) -> None:
    path = tmp_path / "credmgr.yaml"
    path.write_text(HEAD + BLOCKS[0])
    credential = load(path).credentials[Name("caseforge/ci")]
    assert CaseForgeCredentialOptions(**credential.options).key_name == "ci"  # type: ignore[arg-type]


def test_every_option_and_placeholder_is_told() -> None:
    for options in (
        CaseForgeOptions,
        CaseForgeCredentialOptions,
        ManualOptions,
        OAuth2Options,
        OAuth2CredentialOptions,
    ):
        for name in options.__dataclass_fields__:
            assert f"`{name}`" in PAGE
    for name in (*manual.PLACEHOLDERS, *oauth2.PLACEHOLDERS):
        assert f"`{{{name}}}`" in PAGE
