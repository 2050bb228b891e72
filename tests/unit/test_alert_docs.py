"""What docs/alerts.md shows to the people who receive webhooks does what it says."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from credmgr.manifest import load
from credmgr.model.secret import Secret
from credmgr.notifiers.signing import signature

PAGE = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text()
SECRET, BODY = "s" * 32, b'{"id":"m-1"}'
AT = datetime(2026, 1, 1, tzinfo=UTC)
HEADER = signature(Secret(SECRET), AT, BODY)


@pytest.fixture(scope="module")
def check() -> Any:
    (source,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(source, names)  # noqa: S102 (our own page)
    return names["is_from_credmgr"]


def test_the_receivers_check_takes_what_we_sign(check: Any) -> None:
    assert check(SECRET, HEADER, BODY, AT.timestamp())
    assert not check(SECRET, HEADER, BODY)


@pytest.mark.parametrize(
    ("secret", "header", "body", "late"),
    [
        ("t" * 32, HEADER, BODY, 0),
        (SECRET, HEADER, BODY + b" ", 0),
        (SECRET, HEADER, BODY, 301),
        (SECRET, HEADER, BODY, -301),
        (SECRET, HEADER.replace("t=1", "t=2"), BODY, 0),
        (SECRET, HEADER[:-1], BODY, 0),
        (SECRET, "v1=é", BODY, 0),
        (SECRET, "", BODY, 0),
    ],
)
def test_and_nothing_else(check: Any, secret: str, header: str, body: bytes, late: int) -> None:
    assert not check(secret, header, body, (AT + timedelta(seconds=late)).timestamp())


@pytest.mark.parametrize("number", range(len(re.findall("```yaml\n", PAGE))))
def test_every_example_of_a_manifest_loads(tmp_path: Path, number: int) -> None:
    path = tmp_path / "credmgr.yaml"
    path.write_text(re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[number])
    assert load(path).alerts.routes
