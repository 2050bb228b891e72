"""Files, archives, images and what is let stand: bounded, and told where it ends."""

import bz2
import gzip
import io
import json
import lzma
import os
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from credmgr.errors import UsageError
from credmgr.scan.allowing import Baseline, beside
from credmgr.scan.archives import Unpacker
from credmgr.scan.files import Ignored
from credmgr.scan.pieces import BLOCK, Notices, Piece, Where, blocks
from credmgr.scan.scanning import Asked, Found, Scan
from tests.scan_world import live_key, matching

KEY = live_key()
TEXT = f"first line\nkey = '{KEY}'\n".encode()


def tarred(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def zipped(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return out.getvalue()


def scanned(*paths: Path) -> tuple[list[Found], list[str]]:
    scan = Scan(Asked(paths, history=False))
    return list(scan.run(matching(KEY))), scan.notices.all()


PACKED = {
    "tar": tarred({"etc/app.conf": TEXT}),
    "tar in gzip": gzip.compress(tarred({"etc/app.conf": TEXT})),
    "zip": zipped({"etc/app.conf": TEXT}),
    "gzip": gzip.compress(TEXT),
    "bzip2": bz2.compress(TEXT),
    "xz": lzma.compress(TEXT),
    "zip in tar in gzip in zip": zipped(
        {"a.tgz": gzip.compress(tarred({"b.zip": zipped({"etc/app.conf": TEXT})}))}
    ),
}


@pytest.mark.parametrize("form", PACKED)
def test_a_secret_is_found_in_an_archive(tmp_path: Path, form: str) -> None:
    file = tmp_path / "file.bin"
    file.write_bytes(PACKED[form])
    [found], notices = scanned(file)
    assert found.line == 2
    assert notices == []
    assert found.where.text.endswith(
        "etc/app.conf" if "tar" in form or "zip" in form[:3] else "bin"
    )


def layered(*, oci: bool) -> dict[str, bytes]:
    """An image of two layers, of which the upper hides the file with the secret."""
    lower = gzip.compress(tarred({"app/.env": TEXT})) if oci else tarred({"app/.env": TEXT})
    upper = tarred({"app/.wh..env": b""})
    config = json.dumps({"config": {"Env": ["PATH=/bin", f"KEY={KEY}"]}}).encode()
    if not oci:
        told = [{"Config": "c.json", "Layers": ["1/layer.tar", "2/layer.tar"]}]
        return {
            "1/layer.tar": lower,
            "2/layer.tar": upper,
            "c.json": config,
            "manifest.json": json.dumps(told).encode(),
        }
    manifest = {"layers": [{"digest": "sha256:1"}, {"digest": "sha256:2"}]}
    return {
        "oci-layout": b"{}",
        "index.json": json.dumps({"manifests": [{"digest": "sha256:m"}]}).encode(),
        "blobs/sha256/m": json.dumps(manifest).encode(),
        "blobs/sha256/c": config,
        "blobs/sha256/1": lower,
        "blobs/sha256/2": upper,
    }


@pytest.mark.parametrize("oci", [False, True], ids=["docker", "oci"])
@pytest.mark.parametrize("packed", [False, True], ids=["folder", "tar"])
def test_an_image_is_told_with_its_layers(tmp_path: Path, *, oci: bool, packed: bool) -> None:
    files, place = layered(oci=oci), tmp_path / "image"
    if packed:
        place.write_bytes(tarred(files))
    else:
        for name, data in files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(data)
    found, _ = scanned(place)
    hidden = [one for one in found if one.where.text.endswith("app/.env")]
    assert len(found) == 2, "in the layer, and in the configuration's environment"
    if packed or oci:
        assert hidden[0].where.note == "layer 1 of 2; hidden by layer 2, and still in the image"


def test_a_tar_that_only_looks_like_an_image_is_a_tar(tmp_path: Path) -> None:
    for number, manifest in enumerate((b"not json", b'{"a": 1}', b'[1, {"Layers": ["gone"]}]')):
        file = tmp_path / f"{number}.tar"
        file.write_bytes(tarred({"manifest.json": manifest, "x": TEXT}))
        found, _ = scanned(file)
        assert [one.where.inside for one in found] == [("x",)]


BROKEN = {
    "cut gzip": (gzip.compress(os.urandom(5000))[:2000], "a broken gzip"),
    "cut tar": (tarred({"a": b"x" * 5000})[:2000], "a broken tar"),
    "no zip": (b"PK\x03\x04 is all of it", "a broken zip"),
    "Zstandard": (b"\x28\xb5\x2f\xfd....", "Zstandard"),
}


@pytest.mark.parametrize("form", BROKEN)
def test_what_does_not_open_is_told(tmp_path: Path, form: str) -> None:
    data, said = BROKEN[form]
    (tmp_path / "a.bin").write_bytes(data)
    (tmp_path / "b.txt").write_bytes(TEXT)
    found, [notice] = scanned(tmp_path)
    assert said in notice
    assert len(found) == 1, "the others are looked at all the same"


def test_a_bomb_is_let_out_to_a_bound_only() -> None:
    notices = Notices()
    bomb = gzip.compress(gzip.compress(b"\0" * (8 << 20)))
    unpacker = Unpacker(4 << 20, notices)
    size = sum(len(one.data) for one in unpacker.blocks(Piece(Where("b"), io.BytesIO(bomb))))
    assert size <= 5 << 20
    assert notices.said == ["b: more than 4 MiB unpacked"]


def test_archives_are_opened_to_a_depth_only() -> None:
    data, notices = TEXT, Notices()
    for _ in range(8):
        data = gzip.compress(data)
    list(Unpacker(1 << 20, notices).blocks(Piece(Where("deep"), io.BytesIO(data))))
    assert "deep" in notices.said[0]


def test_nothing_is_cut_in_two_between_blocks(tmp_path: Path) -> None:
    file = tmp_path / "big.txt"
    file.write_bytes(b"x\n" * ((BLOCK - 20) // 2) + TEXT + b"y\n" * BLOCK + TEXT)
    [found], _ = scanned(file)
    lines = file.read_bytes().splitlines()
    assert [one.line for one in (found, *found.also)] == [
        number for number, line in enumerate(lines, 1) if KEY.encode() in line
    ]


def test_a_slow_stream_gives_the_same_blocks() -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, 1000))

    data = os.urandom(3 * BLOCK // 2)
    whole = list(blocks(Piece(Where("x"), io.BytesIO(data))))
    assert list(blocks(Piece(Where("x"), Slow(data)))) == whole


def test_links_pipes_and_closed_folders_are_told_and_not_entered(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_bytes(TEXT)
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(outside)
    os.mkfifo(root / "pipe")
    found, notices = scanned(root)
    assert found == []
    assert notices == [f"{root}: 1 symbolic link not followed"]
    _, [notice] = scanned(root / "link")
    assert notice.startswith(str(root / "link"))


def test_what_does_not_exist_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        scanned(tmp_path / "nothing")


def test_a_binary_file_has_no_lines(tmp_path: Path) -> None:
    (tmp_path / "a.pyc").write_bytes(b"\0\1\2\n" + TEXT)
    [found], _ = scanned(tmp_path)
    assert found.line == 0


def test_an_ignore_file_leaves_out_names_folders_and_paths(tmp_path: Path) -> None:
    for name in ("a.pem", "deep/b.pem", "vendor/x/y.txt", "src/keep.txt", "src/drop.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(TEXT)
    (tmp_path / ".credmgrignore").write_text("# test keys\n*.pem\n\nvendor/\n/src/drop.txt\n")
    found, _ = scanned(tmp_path)
    assert [one.where.path for one in found] == [str(tmp_path / "src/keep.txt")]
    assert "a/b" not in Ignored([])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            "key = 'x'  # credmgr:allow a test key that logs in nowhere",
            "a test key that logs in nowhere",
        ),
        ("key = 'x' /* credmgr:allow: old */", "old"),
        ("key = 'x'  # credmgr:allow", ""),
    ],
)
def test_a_line_allows_itself_with_a_reason(line: str, reason: str) -> None:
    data = f"before\n{line}\nafter".encode()
    allowed = beside(data, data.index(b"x'"))
    assert allowed is not None
    assert allowed.reason == reason
    assert beside(data, 0) is None


def test_a_baseline_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    file, new = tmp_path / "baseline.json", Baseline.new()
    entry = ("rule", "a.py", "0011")
    assert new.write(file, [entry, entry]) == 1
    assert Baseline.read(file) == Baseline(new.salt, frozenset({entry}))


@pytest.mark.parametrize("text", ["", "[]", '{"version": 1}', '{"version": 9}', None])
def test_what_is_no_baseline_is_told(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "baseline.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UsageError, match=r"baseline\.json"):
        Baseline.read(file)
    with pytest.raises(UsageError, match="cannot be written"):
        Baseline.new().write(tmp_path / "no" / "folder", [])


@pytest.mark.slow
def test_two_processes_find_what_one_finds(tmp_path: Path) -> None:
    for number in range(6):
        (tmp_path / f"{number}.txt").write_bytes(b"a line of text\n" * number * 9000 + TEXT)
    scan, make = Scan(Asked((tmp_path,), history=False)), matching(KEY)
    alone = scan.run(make)
    assert len(alone) == 6
    assert scan.run(make, workers=2, alone=1) == alone
