"""Whatever the bytes, the answer is a Manifest or a ManifestError."""

import contextlib
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from credmgr.errors import ManifestError
from credmgr.manifest import Manifest, load
from tests.manifest_world import FULL, GOOD, FakePlugins

ODD = [
    *rb"*a |&a |<<: |!!str |!|- |? |: |{|}|[|]|'|#|~|null|no|1e999|.nan|0x1F|12:30|../|%2e".split(
        b"|"
    ),
    *rb'"|"\ud800"|"\0"|99999999999999999999999|-0|2026-11-24|cf_live_8Jk2mQ|{}|[]|[[[[[[[['.split(
        b"|"
    ),
    *(b"---\n", b"...\n", b"| \n", b"> \n", b"%YAML 1.1\n", b"include: ['**']\n", b"9" * 400),
    *(
        b"\t",
        b"\r",
        b"\0",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\xc2\x85",
        b"\xe2\x80\xa8",
        b"\xf0\x9f\x98\x80",
    ),
]
WORDS = sorted(set(re.findall(rb"[A-Za-z_]+", FULL.encode())))

fuzzed = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def tried(folder: Path, raw: bytes) -> None:
    path = folder / "credmgr.yaml"
    path.write_bytes(raw)
    with contextlib.suppress(ManifestError):
        assert isinstance(load(path, FakePlugins()), Manifest)


@fuzzed
@given(raw=st.binary(max_size=400))
def test_random_bytes(tmp_path: Path, raw: bytes) -> None:
    tried(tmp_path, raw)


@fuzzed
@given(text=st.text(max_size=200))
def test_random_text(tmp_path: Path, text: str) -> None:
    tried(tmp_path, text.encode())


@fuzzed
@given(data=st.data(), base=st.sampled_from([GOOD, FULL]))
def test_a_manifest_with_pieces_cut_out_and_put_in(
    tmp_path: Path, data: st.DataObject, base: str
) -> None:
    raw = base.encode()
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(raw)))
        end = min(len(raw), start + data.draw(st.integers(0, 12)))
        piece = data.draw(st.sampled_from(ODD) | st.sampled_from(WORDS) | st.binary(max_size=4))
        raw = raw[:start] + piece + raw[end:]
    tried(tmp_path, raw)


@fuzzed
@given(data=st.data())
def test_a_manifest_with_one_value_of_another_type(tmp_path: Path, data: st.DataObject) -> None:
    values = list(re.finditer(r"(?<=[:\[,] )[^{}\[\],\n]+", FULL))
    value = data.draw(st.sampled_from(values))
    other = data.draw(
        st.sampled_from(["5", "x", "no", "{a: b}", "[a, 5]", "~", "''", "1.5", "[[]]"])
    )
    tried(tmp_path, (FULL[: value.start()] + other + FULL[value.end() :]).encode())


def test_the_alias_bomb_is_refused_at_its_first_anchor(tmp_path: Path) -> None:
    names = "abcdefghi"
    lines = [f"a: &a [{', '.join(['lol'] * 9)}]"]
    lines += [
        f"{name}: &{name} [{','.join(['*' + before] * 9)}]" for before, name in pairwise(names)
    ]
    bomb = "\n".join(lines)[:306]
    path = tmp_path / "credmgr.yaml"
    path.write_text(bomb)

    with pytest.raises(ManifestError) as caught:
        load(path, FakePlugins())

    assert str(caught.value.problems[0]) == (
        f"{path}:1:4: YAML anchors are refused; write the value out where it is needed"
    )


@pytest.mark.parametrize("deep", ["[" * 100_000, "{a: " * 100_000, "- " * 100_000, "? " * 100_000])
def test_deep_nesting_is_refused_without_recursion(tmp_path: Path, deep: str) -> None:
    path = tmp_path / "credmgr.yaml"
    path.write_text("x:\n  " + deep)

    with pytest.raises(ManifestError):
        load(path, FakePlugins())


def test_a_thousand_credentials_are_loaded(tmp_path: Path) -> None:
    many = "".join(
        f"  many/c{number}: {{kind: api-key, issuer: caseforge, owner: o, environment: test, "
        "store: local, targets: [other]}\n"
        for number in range(1000)
    )
    path = tmp_path / "credmgr.yaml"
    path.write_text(GOOD + many + "defaults: {rotation: {every: 90d, retry: {attempts: 3}}}\n")

    assert len(load(path, FakePlugins()).credentials) == 1001
