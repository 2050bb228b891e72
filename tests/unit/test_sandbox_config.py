"""What a sandbox may be told, and where its admin token comes from."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from credmgr.errors import ConfigError
from credmgr.model.secret import Secret
from credmgr.sandbox import DEFAULT_PORT, SandboxConfig
from credmgr.sandbox.config import load_admin_token


def test_the_defaults_are_those_of_the_documentation() -> None:
    config = SandboxConfig()

    assert (config.host, config.port, DEFAULT_PORT) == ("127.0.0.1", 8660, 8660)
    assert config.token_lifetime == timedelta(minutes=60)
    assert config.database == ":memory:"
    assert len(config.key_scopes) == 10


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"port": 65_536}, "port"),
        ({"port": -1}, "port"),
        ({"host": "0.0.0.0"}, "other machines"),  # noqa: S104
        ({"host": "192.168.1.5"}, "other machines"),
        ({"host": "example.org"}, "other machines"),
        ({"token_lifetime": timedelta()}, "one second"),
        ({"token_lifetime": timedelta(days=2)}, "one day"),
        ({"token_lifetime": timedelta(seconds=1.5)}, "whole seconds"),
        ({"key_scopes": ("cases:reed",)}, "no scope cases:reed"),
        ({"keep_log_entries": 0}, "log entry"),
    ],
)
def test_a_wrong_setting_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SandboxConfig(**wrong)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.2", "::1"])
def test_loopback_has_several_names(host: str) -> None:
    assert SandboxConfig(host=host).host == host


def test_other_machines_are_allowed_only_explicitly() -> None:
    config = SandboxConfig(host="0.0.0.0", allow_remote=True)  # noqa: S104

    assert config.allow_remote


def test_a_given_admin_token_wins() -> None:
    config = SandboxConfig(admin_token=Secret("given"), admin_token_file=Path("/nowhere"))

    assert load_admin_token(config) == Secret("given")


def test_without_any_a_new_admin_token_is_made_up_each_time() -> None:
    assert load_admin_token(SandboxConfig()) != load_admin_token(SandboxConfig())


def test_a_missing_token_file_is_made_private_and_read_from_then_on(tmp_path: Path) -> None:
    config = SandboxConfig(admin_token_file=tmp_path / "new" / "token")

    made = load_admin_token(config)

    assert (tmp_path / "new" / "token").stat().st_mode & 0o777 == 0o600
    assert load_admin_token(config) == made


def test_a_token_file_open_to_others_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("secret")
    path.chmod(0o640)

    with pytest.raises(ConfigError, match="open to other users") as caught:
        load_admin_token(SandboxConfig(admin_token_file=path))

    assert caught.value.hint == f"chmod 600 {path}"


@pytest.mark.parametrize("content", [b"", b" \n", b"a\x00b", "é".encode()])
def test_a_token_file_without_a_token_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    path.chmod(0o600)

    with pytest.raises(ConfigError, match="holds no token"):
        load_admin_token(SandboxConfig(admin_token_file=path))


def test_a_token_file_is_never_followed_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("secret")
    (tmp_path / "link").symlink_to(tmp_path / "real")

    with pytest.raises(ConfigError, match="cannot be read"):
        load_admin_token(SandboxConfig(admin_token_file=tmp_path / "link"))


def test_a_token_file_that_is_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)

    with pytest.raises(ConfigError):
        load_admin_token(SandboxConfig(admin_token_file=tmp_path / "pipe"))


def test_a_token_file_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(ConfigError, match="cannot be made"):
        load_admin_token(SandboxConfig(admin_token_file=tmp_path / "file" / "in" / "token"))
