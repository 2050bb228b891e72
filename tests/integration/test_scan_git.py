"""A repository is scanned in every commit, and git is made to run nothing."""

import base64
import os
import subprocess
from pathlib import Path

import pytest

from credmgr.errors import UsageError
from credmgr.model.version import VersionStatus
from credmgr.scan import git
from credmgr.scan.git import MESSAGE
from credmgr.scan.pieces import Notices
from credmgr.scan.scanning import Asked, Found, Scan
from tests.scan_world import live_key, matching, version

LIVE, OLD, OTHER = live_key(), live_key(), live_key()
WHO = {
    "GIT_AUTHOR_NAME": "A. Author",
    "GIT_AUTHOR_EMAIL": "a@example.test",
    "GIT_COMMITTER_NAME": "C. Committer",
    "GIT_COMMITTER_EMAIL": "c@example.test",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}


def run(repo: Path, *arguments: str, day: int = 1) -> str:
    when = {"GIT_AUTHOR_DATE": f"2026-11-{day:02}T10:00:00+00:00"}
    environ = {"PATH": os.environ["PATH"], "HOME": str(repo), **WHO, **when}
    environ["GIT_COMMITTER_DATE"] = environ["GIT_AUTHOR_DATE"]
    done = subprocess.run(  # noqa: S603 (our own arguments)
        ["/usr/bin/git", "-C", str(repo), *arguments],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def commit(repo: Path, message: str, day: int, **files: str) -> str:
    for name, text in files.items():
        path = repo / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    run(repo, "add", "-A")
    run(repo, "commit", "-q", "-m", message, day=day)
    return run(repo, "rev-parse", "HEAD")


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    folder.mkdir()
    run(folder, "init", "-q", "-b", "main")
    return folder


def scanned(*paths: Path, staged: bool = False) -> tuple[list[Found], list[str]]:
    scan = Scan(Asked(paths, staged=staged))
    make = matching(LIVE, OTHER, versions=[version(OLD, VersionStatus.REVOKED)])
    return list(scan.run(make)), scan.notices.all()


def test_secrets_planted_in_three_commits_are_found_with_commit_date_path_and_line(
    repo: Path,
) -> None:
    first = commit(repo, "one", 1, config=f"a\nb\nkey = {LIVE}\n")
    second = commit(repo, "two", 2, deploy__app=base64.b64encode(f"u:{OTHER}".encode()).decode())
    third = commit(repo, "three", 3, config="a\nb\n", src__old=f"x = '{OLD}'\n")
    (repo / "src" / "old").unlink()
    commit(repo, "clean", 4)

    found, notices = scanned(repo)
    told = {
        one.where.commit.id: (one.where.path, one.line, one.match.rule, one.where.commit.at.day)
        for one in found
        if one.where.commit
    }
    assert told == {
        first: (f"{repo}/config", 3, "managed-secret", 1),
        third: (f"{repo}/src/old", 1, "revoked-secret", 3),
    }
    [on_disk] = [one for one in found if one.where.commit is None]
    assert on_disk.where.path == f"{repo}/deploy/app"
    [earlier] = on_disk.also
    assert earlier.where.commit
    assert (earlier.where.commit.id, earlier.where.commit.author) == (second, "A. Author")
    assert notices == []


def test_branches_stashes_tags_merges_and_messages_are_looked_at(repo: Path) -> None:
    commit(repo, "base", 1, a="1")
    run(repo, "checkout", "-q", "-b", "side")
    commit(repo, f"the key is {OLD}", 2, side="1")
    run(repo, "checkout", "-q", "main")
    commit(repo, "main goes on", 3, main="1")
    run(repo, "merge", "-q", "--no-commit", "side")
    commit(repo, "an evil merge", 4, a=f"key={LIVE}")
    (repo / "a").write_text(OTHER)
    run(repo, "stash", "-q")

    found, _ = scanned(repo)
    assert {one.where.path.removeprefix(f"{repo}/") for one in found} == {MESSAGE, "a"}
    assert len(found) == 3


def test_a_bare_repository_is_looked_at(repo: Path, tmp_path: Path) -> None:
    commit(repo, "one", 1, config=f"key={LIVE}")
    run(repo, "clone", "-q", "--bare", str(repo), str(tmp_path / "bare.git"))
    [found], _ = scanned(tmp_path / "bare.git")
    assert found.where.path.endswith("bare.git/config")


def test_an_empty_repository_has_no_history(repo: Path) -> None:
    assert scanned(repo) == ([], [])


def test_only_what_is_staged_is_looked_at_before_a_commit(repo: Path) -> None:
    (repo / "staged").write_text(f"key={LIVE}")
    run(repo, "add", "-A")
    (repo / "staged").write_text("clean")
    (repo / "not-staged").write_text(f"key={OTHER}")
    for _ in range(2):  # before the first commit, and after one
        [found], _ = scanned(repo, staged=True)
        assert found.where.path == "staged"
        run(repo, "commit", "-q", "-m", "it went through")
        (repo / "staged").write_text(f"again={LIVE}")
        run(repo, "add", "staged")


def test_what_is_ignored_is_so_in_the_history_too(repo: Path) -> None:
    commit(repo, "one", 1, tests__key=f"key={LIVE}")
    (repo / ".credmgrignore").write_text("tests\n")
    assert scanned(repo)[0] == []


def test_a_large_content_is_told_and_left_out(repo: Path) -> None:
    commit(repo, "one", 1, a="x" * 100, b="y")
    notices = Notices()
    seen = [p.stream.read(1000) for p in git.history(repo, "", notices, largest=50)]
    assert seen == [b"one\n", b"y"]
    assert notices.said == ["a: in the history, larger than 0 MiB"]


def test_a_repository_cannot_make_git_run_something(repo: Path, tmp_path: Path) -> None:
    commit(repo, "one", 1, a="1")
    trap, sprung = tmp_path / "trap.sh", tmp_path / "sprung"
    trap.write_text(f"#!/bin/sh\ntouch {sprung}\n")
    trap.chmod(0o700)
    for name in ("core.fsmonitor", "diff.external", "core.pager", "core.sshCommand"):
        run(repo, "config", name, str(trap))
    run(repo, "config", "diff.x.textconv", str(trap))
    (repo / ".gitattributes").write_text("* diff=x\n")
    (repo / "a").write_text("2")
    scanned(repo)
    scanned(repo, staged=True)
    assert not sprung.exists()


def test_a_broken_repository_is_a_mistake_with_a_way_out(repo: Path) -> None:
    commit(repo, "one", 1, a="1")
    (repo / ".git" / "HEAD").write_text("nonsense")
    with pytest.raises(UsageError, match="git") as caught:
        scanned(repo)
    assert caught.value.hint


def test_staged_needs_a_repository(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="git rev-parse"):
        scanned(tmp_path, staged=True)
