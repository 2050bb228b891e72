"""What `credmgr import` takes for a secret."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from credmgr.cli.import_ import _given
from credmgr.errors import UsageError

KEY = ec.generate_private_key(ec.SECP256R1())
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def given(folder: Path, text: str) -> str:
    path = folder / "secret"
    path.write_bytes(text.encode())
    return _given("partner/payouts", path)


@pytest.mark.parametrize("text", [PEM, PEM.replace("\n", "\r\n")], ids=["LF", "CRLF"])
def test_a_private_key_keeps_its_lines(tmp_path: Path, text: str) -> None:
    assert given(tmp_path, text).splitlines() == PEM.splitlines()


@pytest.mark.parametrize(
    "text",
    [
        "one\ntwo\n",
        "\n",
        f"x{PEM}",
        f"{PEM}trailing",
        PEM.replace("\n", "\n\x00", 1),
        "-----BEGIN PRIVATE KEY-----\nAAAA\n",
    ],
    ids=["lines", "blank", "before", "behind", "NUL", "no end"],
)
def test_whatever_else_has_lines_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        given(tmp_path, text)
    assert "AAAA" not in str(caught.value)


def test_one_line_end_behind_a_secret_is_cut_off(tmp_path: Path) -> None:
    assert given(tmp_path, "s3cret\r\n") == "s3cret"
