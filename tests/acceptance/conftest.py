"""A sandbox and an installation for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from credmgr.cli import home as homes
from credmgr.sandbox import RunningSandbox, SandboxConfig
from tests.acceptance.installation import Installation


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Installation]:
    """An installation as `init` makes it; nothing is applied yet."""
    folder = tmp_path / "home"
    config = SandboxConfig(port=0, admin_token_file=tmp_path / "sandbox.token")
    with RunningSandbox(config) as box:
        made = Installation(folder, box)
        homes.make(folder, homes.starter(homes.MANIFEST))
        (folder / "sandbox.token").write_text(box.admin_token.reveal())
        (folder / "sandbox.token").chmod(0o600)
        made.write()
        yield made


@pytest.fixture
def grown(home: Installation) -> Installation:
    """An installation whose credentials have their first secrets."""
    home.grow()
    return home
