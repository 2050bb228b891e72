"""References followed, and what keeps them from being followed."""

import os
from pathlib import Path

import pytest

from credmgr.errors import ConfigError
from credmgr.manifest import References
from credmgr.manifest.references import MAX_BYTES
from credmgr.model.secret import Secret
from credmgr.plugins import context

VALUE = "hunter2-hunter2"


def write(path: Path, content: bytes = VALUE.encode(), mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def refused(references: References, reference: str) -> tuple[str, str | None]:
    with pytest.raises(ConfigError) as caught:
        references.resolve(reference)
    error: BaseException | None = caught.value
    while error is not None:
        assert VALUE not in repr(error)
        error = error.__cause__ or error.__context__
    return caught.value.message, caught.value.hint


def test_it_is_what_plugins_expect(tmp_path: Path) -> None:
    references: context.References = References(tmp_path)

    write(tmp_path / "token")

    assert references.resolve("file:token") == Secret(VALUE)


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"abc", "abc"),
        (b"abc\n", "abc"),
        (b"abc\r\n", "abc"),
        (b"abc\n\n", "abc\n"),
        (b" abc ", " abc "),
        ("ä€".encode(), "ä€"),
    ],
)
def test_one_trailing_line_end_is_cut_and_nothing_else(
    tmp_path: Path, content: bytes, value: str
) -> None:
    write(tmp_path / "token", content)

    assert References(tmp_path).resolve("file:token").reveal() == value


def test_a_path_may_be_absolute_or_lead_through_folders(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    file = write(tmp_path / "a" / "token", mode=0o400)

    assert References(tmp_path).resolve("file:a/token") == Secret(VALUE)
    assert References(Path("/")).resolve(f"file:{file}") == Secret(VALUE)


def test_an_environment_variable_is_read(tmp_path: Path) -> None:
    assert References(tmp_path, {"TOKEN": VALUE}).resolve("env:TOKEN") == Secret(VALUE)


def test_the_environment_is_that_of_the_process_unless_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_TOKEN", VALUE)

    assert References(tmp_path).resolve("env:SOME_TOKEN") == Secret(VALUE)


@pytest.mark.parametrize("environ", [{}, {"TOKEN": ""}])
def test_a_variable_that_is_not_set_is_refused(tmp_path: Path, environ: dict[str, str]) -> None:
    said = refused(References(tmp_path, environ), "env:TOKEN")

    assert said == ("env:TOKEN: the environment variable is not set, or empty", None)


def test_a_systemd_credential_is_read_though_its_acl_shows_as_group_bits(tmp_path: Path) -> None:
    write(tmp_path / "master.key", VALUE.encode() + b"\n", 0o440)
    references = References(Path("/nowhere"), {"CREDENTIALS_DIRECTORY": str(tmp_path)})

    assert references.resolve("systemd-credential:master.key") == Secret(VALUE)


def test_a_systemd_credential_without_systemd_is_refused(tmp_path: Path) -> None:
    said = refused(References(tmp_path, {}), "systemd-credential:master.key")

    assert said == (
        "systemd-credential:master.key: systemd has handed over no credentials",
        "write LoadCredential=master.key:/path into the unit, or use file:PATH",
    )


@pytest.mark.parametrize(
    "reference",
    [
        VALUE,
        "",
        "file:",
        "env:",
        "env:A-B",
        "vault:x",
        "systemd-credential:../x",
        "systemd-credential:..",
        "file:a\nb",
        "env:A\n",
    ],
)
def test_what_is_no_reference_is_refused_without_echo(tmp_path: Path, reference: str) -> None:
    assert refused(References(tmp_path, {}), reference) == (
        "this is not a reference to a secret",
        "write file:PATH, env:NAME or systemd-credential:NAME",
    )


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644])
def test_a_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    file = write(tmp_path / "token", mode=mode)

    assert refused(References(tmp_path), "file:token") == (
        f"{file}: others can read or write it (mode {mode:04o})",
        f"chmod 600 {file}",
    )


@pytest.mark.parametrize("mode", [0o444, 0o460, 0o464])
def test_a_systemd_credential_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    write(tmp_path / "token", mode=mode)
    references = References(tmp_path, {"CREDENTIALS_DIRECTORY": str(tmp_path)})

    assert "others can read or write it" in refused(references, "systemd-credential:token")[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "token")
    os.chown(file, 12345, -1)

    assert refused(References(tmp_path), "file:token") == (
        f"{file}: belongs to user 12345",
        "it must belong to user 0 or root",
    )


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "token")
    link = tmp_path / "link"
    link.symlink_to("token")

    assert refused(References(tmp_path), "file:link") == (
        f"{link}: is a symbolic link",
        "name the file that it leads to",
    )


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (Path.exists, "no such file or directory"),
        (Path.mkdir, "is a directory"),
        (os.mkfifo, "is not a regular file"),
        (lambda path: write(path, b"x" * (MAX_BYTES + 1)), "larger than 64 KiB"),
    ],
)
def test_what_is_no_small_file_is_refused(tmp_path: Path, make: object, what: str) -> None:
    assert callable(make)
    make(tmp_path / "token")

    assert what in refused(References(tmp_path), "file:token")[0]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "the file is empty"),
        (b"\n", "the file is empty"),
        (VALUE.encode() + b"\xff", "the file is not UTF-8 text"),
        (VALUE.encode() + b"\0", "the file holds a NUL byte, so it is not a text"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes, what: str) -> None:
    write(tmp_path / "token", content)

    assert refused(References(tmp_path), "file:token") == (f"file:token: {what}", None)
