"""The options of a Vault backend, from YAML on; what an entry looks like; what errors come to."""

import json
import re
import socket
import ssl
import subprocess
import sys
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import yaml
from urllib3.exceptions import (
    ConnectTimeoutError,
    EmptyPoolError,
    HTTPError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

from credmgr.backends.vault import VaultBackendFactory, VaultOptions
from credmgr.backends.vault.documents import Layout
from credmgr.backends.vault.factory import LIMITS
from credmgr.backends.vault.faults import translated
from credmgr.backends.vault.opening import transport_of
from credmgr.backends.vault.options import (
    CONSTANT_BYTES,
    AppRoleSignIn,
    CertSignIn,
    JwtSignIn,
    KubernetesSignIn,
    TokenSignIn,
)
from credmgr.backends.vault.transport import Transport
from credmgr.errors import BackendUnavailable, ConfigError, LimitExceeded
from credmgr.manifest.binding import adapter
from credmgr.model.secret import Secret
from credmgr.testing.canaries import leaks, new_canary
from tests.issuer_world import a_context

TOKEN = TokenSignIn("env:t")
HERE: Any = None
PAGE = (Path(__file__).parents[2] / "docs/backends/vault.md").read_text()


def mistaken(**settings: Any) -> list[str]:
    options = VaultOptions(**{"address": "https://vault.test", "token": TOKEN, **settings})
    return [mistake.option for mistake in VaultBackendFactory().validate(options)]


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"template": "Bearer {{ secret }}", "constants": {"user": "app"}}, []),
        ({"template": "no place"}, ["template"]),
        ({"constants": {"value": "x"}}, ["constants"]),
        ({"constants": {"credmgr_version": "x"}}, ["constants"]),
        ({"constants": {"a b": "x"}}, ["constants"]),
        ({"constants": {f"a{number}": "" for number in range(64)}}, []),
        ({"constants": {f"a{number}": "" for number in range(65)}}, ["constants"]),
        ({"constants": {"ab": "é" * 8_191}}, []),
        ({"constants": {"abc": "é" * 8_191}}, ["constants"]),
        ({"constants": {"a": "\ud800"}}, []),
        ({"layout": "fields", "template": "{{ secret }}"}, ["template"]),
        ({"layout": "fields", "constants": {"user": "app"}}, ["constants"]),
    ],
)
def test_a_template_and_constants_belong_to_one_field(
    settings: dict[str, Any], wrong: list[str]
) -> None:
    assert mistaken(**settings) == wrong


@pytest.mark.parametrize(
    "address",
    [
        "https://vault.test",
        "https://vault.test:8200/",
        "HTTPS://VAULT.TEST",
        "http://127.0.0.1:8200",
        "http://[::1]:8200",
        "http://localhost",
    ],
)
def test_an_address_is_https_or_loopback(address: str) -> None:
    assert mistaken(address=address) == []


@pytest.mark.parametrize(
    "address",
    [
        "",
        "vault.test",
        "ftp://vault.test",
        "http://vault.test",
        "http://localhost.test",
        "https://u:p@vault.test",
        "https://vault.test/v1",
        "https://vault.test?a=b",
        "https://vault.test#a",
        "https://vault.test:0",
        "https://vault.test:x",
        "https://vault.test\n",
        "https://[::1",
    ],
)
def test_another_address_is_refused(address: str) -> None:
    assert mistaken(address=address) == ["address"]


@pytest.mark.parametrize("option", ["mount", "prefix", "namespace"])
@pytest.mark.parametrize(
    "path", ["/a", "a//b", "a/../b", "..", ".", "a/", "a b", "%2e%2e", "é", "a?b", "a#b", "a\n"]
)
def test_a_path_that_the_server_could_read_otherwise_is_refused(option: str, path: str) -> None:
    expected = [] if (option, path) == ("namespace", "a/") else [option]
    assert mistaken(**{option: path}) == expected


def test_paths_may_have_segments_and_prefix_and_namespace_may_be_empty() -> None:
    assert mistaken(mount="team/kv-2", prefix="a/b.c/d_e", namespace="org/team/") == []
    assert mistaken(prefix="", namespace="") == []
    assert mistaken(mount="") == ["mount"]


def test_exactly_one_way_to_sign_in_is_needed() -> None:
    assert mistaken(token=None) == [""]
    assert mistaken(jwt=JwtSignIn("r", "env:j")) == [""]
    assert mistaken(token=None, jwt=JwtSignIn("r", "env:j", "../x")) == ["mount"]


def test_without_a_way_in_no_session_opens() -> None:
    with pytest.raises(ConfigError, match="exactly one way to sign in"):
        VaultBackendFactory().open(VaultOptions("http://localhost:1"), a_context())


@pytest.mark.parametrize("seconds", [-1, 0, 91])
def test_a_timeout_out_of_bounds_is_refused(seconds: int) -> None:
    assert mistaken(timeout=timedelta(seconds=seconds)) == ["timeout"]
    assert mistaken(timeout=timedelta(seconds=90)) == []


@pytest.mark.parametrize("seconds", [None, 0.5, 9, 90])
def test_the_timeout_of_the_operator_is_the_one_that_counts(seconds: float | None) -> None:
    timeout = timedelta(seconds=seconds) if seconds else None
    context = a_context(deadline=timedelta(seconds=10))
    options = VaultOptions("https://vault.test", token=TOKEN, timeout=timeout)
    bounded: list[float] = []

    class Noted(Transport):
        def __init__(self, *settings: Any) -> None:
            super().__init__(*settings)
            bounded.append(settings[2])

    transport_of(options, context, Noted).close()
    assert bounded == [seconds or 10]


def test_a_field_must_not_be_the_one_of_the_version() -> None:
    assert mistaken(field="credmgr_version") == ["field"]
    assert mistaken(field="") == ["field"]


def test_a_certificate_is_not_shown_without_tls() -> None:
    options = {"address": "http://localhost", "token": None, "cert": CertSignIn("c", "k")}
    assert mistaken(**options) == ["cert"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("token: {token: 'file:t', wrapped: true}", {"token": TokenSignIn("file:t", wrapped=True)}),
        (
            "approle: {role_id: r, secret_id: 'env:S'}",
            {"approle": AppRoleSignIn("r", "env:S")},
        ),
        ("kubernetes: {role: r}", {"kubernetes": KubernetesSignIn("r")}),
        ("jwt: {role: r, jwt: 'file:j', mount: m}", {"jwt": JwtSignIn("r", "file:j", "m")}),
        ("cert: {certificate: c, key: k}", {"cert": CertSignIn("c", "k")}),
    ],
)
def test_a_manifest_binds_each_way_to_sign_in(text: str, expected: dict[str, Any]) -> None:
    data = yaml.safe_load(f"address: https://vault.test\ntimeout: 5s\nlayout: fields\n{text}")
    timeout = timedelta(seconds=5)
    bound = adapter(VaultOptions).validate_python(data)
    assert bound == VaultOptions("https://vault.test", timeout=timeout, layout="fields", **expected)
    assert len(bound.sign_ins) == 1


@pytest.mark.parametrize(
    "text", ["token: {token: s.plain}", "token: {token: 'env:T', x: 1}", "layout: raw", "x: 1"]
)
def test_a_manifest_refuses_plain_secrets_and_unknown_options(text: str) -> None:
    with pytest.raises(ValueError, match="validation error"):
        adapter(VaultOptions).validate_python(yaml.safe_load(f"address: https://a.test\n{text}"))


# --- entries


@pytest.mark.parametrize("value", ['{"a":"1"}', '{"a":"é\\n","b":"\\""}', '{"":""}'])
def test_fields_come_back_to_the_letter(value: str) -> None:
    layout, version = Layout("fields"), uuid4()
    document = layout.document(Secret(value), version)
    assert all(isinstance(text, str) for text in document.values())
    mixed = json.loads(json.dumps(dict(reversed(document.items()))))
    assert layout.value(mixed) == Secret(value)
    assert layout.version(mixed) == version


@pytest.mark.parametrize(
    "value",
    [
        "plain",
        "7",
        "{}",
        "[]",
        '{"a":1}',
        '{"a": "1"}',
        '{"b":"1","a":"2"}',
        '{"a":"1","a":"2"}',
        '{"a":"\\u00e9"}',
        '{"credmgr_version":"x"}',
        "[" * 100_000,
    ],
)
def test_what_fields_cannot_tell_back_is_refused_and_not_shown(value: str) -> None:
    with pytest.raises(LimitExceeded) as caught:
        Layout("fields").document(Secret(value), uuid4())
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize("document", [{}, {"value": ""}, {"value": 7}, {"other": "x"}])
def test_an_entry_without_the_field_holds_no_value(document: dict[str, Any]) -> None:
    assert Layout().value(document) is None


@pytest.mark.parametrize("document", [{"credmgr_version": str(UUID(int=1))}, {"a": 7}])
def test_an_entry_without_fields_of_strings_holds_no_value(document: dict[str, Any]) -> None:
    assert Layout("fields").value(document) is None


@pytest.mark.parametrize("found", [None, 7, "", "x", ["x"]])
def test_what_has_no_id_of_ours_is_not_ours(found: Any) -> None:
    assert Layout.version({"value": "x", "credmgr_version": found}) is None


@pytest.mark.parametrize("worst", ["\0", "<", "\u2028"])
def test_the_longest_value_among_the_most_constants_fits_every_storage(worst: str) -> None:
    size = len(worst.encode())
    names = [f"{number:02}".ljust(128, "a") for number in range(64)]
    room = CONSTANT_BYTES - 64 * 128
    constants = dict.fromkeys(names, "") | {names[0]: worst * (room // size)}
    assert mistaken(constants=constants) == []
    layout = Layout(constants=constants)
    document = layout.document(Secret(worst * (LIMITS.value_bytes // size)), uuid4())
    stored = json.dumps(document).replace("<", "\\u003c")  # as Go's encoder writes it
    assert len(stored) < 512 * 1024 - 1024, "what Consul takes, less what the server adds"


def test_no_more_fields_than_a_server_reads() -> None:
    def value(count: int) -> Secret:
        fields = {f"{number:03}": "" for number in range(count)}
        return Secret(json.dumps(fields, separators=(",", ":")))

    Layout("fields").document(value(256), uuid4())
    with pytest.raises(LimitExceeded, match="257 fields; at most 256"):
        Layout("fields").document(value(257), uuid4())


# --- the page


def test_the_example_of_the_page_has_no_mistakes() -> None:
    [block] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    given = yaml.safe_load(block)["backends"]["vault"]
    assert given.pop("plugin") == "vault"
    options = adapter(VaultOptions).validate_python(given)
    assert list(VaultBackendFactory().validate(options)) == []


def test_every_option_is_on_the_page() -> None:
    ways = (TokenSignIn, AppRoleSignIn, KubernetesSignIn, JwtSignIn, CertSignIn)
    rows = dict(re.findall(r"^\| `(\w+)` \|(.*)$", PAGE, re.MULTILINE))
    assert {option.name for option in fields(VaultOptions)} - rows.keys() == set()
    for option, way in zip(("token", "approle", "kubernetes", "jwt", "cert"), ways, strict=True):
        inner = {field.name for field in fields(way)}
        assert {name for name in inner if f"`{name}`" not in rows[option]} == set()


# --- errors


def caused(error: HTTPError, cause: BaseException) -> HTTPError:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (EmptyPoolError(HERE, "x"), "every connection was busy"),
        (ReadTimeoutError(HERE, "u", "x"), "no whole answer within the deadline"),
        (SSLError(ssl.SSLError(1, "wrong version")), "TLS failed"),
        (SSLError(), "TLS failed"),
        (caused(ConnectTimeoutError("x"), TimeoutError()), "it did not open in time"),
        (caused(ConnectTimeoutError("x"), socket.gaierror(-2, "x")), "the name does not resolve"),
        (caused(ConnectTimeoutError("x"), OSError(99_999, "x")), "error 99999"),
        (ProtocolError("x"), "the connection broke"),
    ],
)
def test_each_failure_of_the_network_has_its_sentence(error: HTTPError, message: str) -> None:
    with pytest.raises(BackendUnavailable, match=f"^a call: .*{message}"), translated("a call", ""):
        raise error


def test_what_the_network_quotes_is_not_shown() -> None:
    canary = new_canary()
    with pytest.raises(BackendUnavailable) as caught, translated("a call", ""):
        raise ProtocolError(canary, ValueError(canary))
    assert not leaks(canary, str(caught.value))


# --- hvac, an extra


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    return done.stdout.strip()


def test_the_plugin_describes_itself_without_hvac() -> None:
    code = "import sys, credmgr.backends.vault as v; v.VaultBackendFactory()"
    assert run(f"{code}; print({{'hvac', 'requests', 'urllib3'}} & sys.modules.keys())") == "set()"


def test_without_hvac_the_extra_is_named() -> None:
    code = """
import sys
sys.modules["hvac"] = None  # as if it were not installed
from credmgr.backends.vault import VaultBackendFactory, VaultOptions
from credmgr.errors import ConfigError
try:
    VaultBackendFactory().open(VaultOptions("https://a.test"), None)
except ConfigError as error:
    print(error, error.hint, sep=": ")
"""
    assert run(code) == "the backend vault needs hvac: pip install 'credmgr[vault]'"
