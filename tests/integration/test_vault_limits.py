"""The longest that a backend takes, on a real OpenBao with integrated storage."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from credmgr.backends.vault import VaultBackendFactory
from credmgr.backends.vault.documents import MOST_FIELDS
from credmgr.backends.vault.options import CONSTANT_BYTES, MOST_CONSTANTS
from credmgr.model.names import Name
from credmgr.testing.backend_moves import promoted
from tests.integration.openbao import POLICY, Bao, approle_options, context_of, raft_server


@pytest.fixture(scope="module")
def bao() -> Iterator[Bao]:
    with raft_server() as server:
        server.policy("credmgr", POLICY.read_text())
        yield server


@pytest.fixture
def name() -> Name:
    return Name(f"limits/{uuid4().hex}")


@pytest.mark.parametrize("worst", ["\0", "<", "\u2028"])
def test_the_longest_value_fits_among_the_most_constants(
    bao: Bao, tmp_path: Path, name: Name, worst: str
) -> None:
    """JSON makes six bytes of each of these, in the request or where it is stored."""
    size = len(worst.encode())
    names = [f"{number:02}".ljust(128, "a") for number in range(MOST_CONSTANTS)]
    room = CONSTANT_BYTES - MOST_CONSTANTS * 128
    constants = dict.fromkeys(names, "") | {names[0]: worst * (room // size)}
    role_id, secret_id = bao.role("credmgr")
    options = approle_options(bao, role_id, constants=constants)
    assert list(VaultBackendFactory().validate(options)) == []
    backend = VaultBackendFactory().open(options, context_of(tmp_path, secret_id=secret_id))
    value = worst * (65_536 // size)
    promoted(backend, name, value)
    assert backend.read(name).secret.reveal() == value
    backend.close()


@pytest.mark.parametrize("layout", [{}, {"layout": "fields"}, {"template": "Bearer {{ secret }}"}])
def test_a_check_tries_a_value_of_the_layout(
    bao: Bao, tmp_path: Path, layout: dict[str, Any]
) -> None:
    role_id, secret_id = bao.role("credmgr")
    backend = VaultBackendFactory().open(
        approle_options(bao, role_id, **layout), context_of(tmp_path, secret_id=secret_id)
    )
    backend.check()
    backend.close()


def test_the_most_fields_are_taken(bao: Bao, tmp_path: Path, name: Name) -> None:
    """OpenBao refuses a request with more than 1,000 strings."""
    value = json.dumps({f"{n:03}": "x" for n in range(MOST_FIELDS)}, separators=(",", ":"))
    role_id, secret_id = bao.role("credmgr")
    backend = VaultBackendFactory().open(
        approle_options(bao, role_id, layout="fields"), context_of(tmp_path, secret_id=secret_id)
    )
    promoted(backend, name, value)
    assert backend.read(name).secret.reveal() == value
    backend.close()
