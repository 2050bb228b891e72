"""The published OpenAPI, under every check of schemathesis, from every kind of caller."""

import base64
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.integration.api_world import CLIENT, World, serving
from tests.integration.upstream import bare_environment

COMMAND: Final = Path(sys.executable).with_name("schemathesis")
ARGUMENTS: Final = ("run", "--checks", "all", "--warnings", "off", "--no-color")
EXAMPLES: Final = 15
"""For each operation, the same ones in every run."""
CALLERS: Final = ("both", "watcher", None)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with serving(tmp_path_factory.mktemp("openapi")) as made:
        yield made


def configuration(world: World, who: str | None) -> str:
    """What schemathesis is told: by file, since arguments are seen by everybody."""
    bearer = world.bearers[who] if who else ""
    basic = base64.b64encode(f"{who}:{bearer}".encode()).decode()
    lines = ["seed = 7", "continue-on-failure = true"]
    if who:
        lines.append(f'headers = {{ Authorization = "Bearer {bearer}" }}')
    lines += ["[parameters]", f'"path.credential" = "{CLIENT}"']
    # RFC 6749 §5.2 and RFC 8707 §2 have 400 for what the client may not have
    lines += ["[[operations]]", 'include-path = "/oauth/token"']
    lines += ['checks.positive_data_acceptance.expected-statuses = ["200", "400", "401"]']
    if who:
        lines += [f'headers = {{ Authorization = "Basic {basic}" }}']
    lines += ["[generation]", "deterministic = true", f"max-examples = {EXAMPLES}"]
    return "\n".join([*lines, ""])


@pytest.mark.parametrize("who", CALLERS)
def test_every_check_of_schemathesis_passes(world: World, tmp_path: Path, who: str | None) -> None:
    (tmp_path / "schemathesis.toml").write_text(configuration(world, who))
    done = subprocess.run(  # noqa: S603 (of the development group, without a shell)
        [COMMAND, *ARGUMENTS, f"{world.api.url}/openapi.json"],
        cwd=tmp_path,
        env=bare_environment(),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    tested = re.search(r"Tested: (\d+)", done.stdout)
    assert tested is not None
    assert int(tested[1]) == len(world.api.operations) - 1  # less the description itself


def test_the_document_has_every_route_and_nothing_of_the_installation(world: World) -> None:
    said = world.ask("GET", "/openapi.json")
    routes = {(one.path.replace(":path}", "}"), one.method) for one in world.api.operations}
    published = {
        (path, method.upper()) for path, found in said.json["paths"].items() for method in found
    }
    assert published == routes
    text = said.body.decode()
    assert "caseforge" not in text
    assert not [one for one in world.bearers.values() if one in text]
