"""Build the sdist and the wheel, and check what a person who installs them would meet."""

import email
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from packaging.metadata import Metadata

ROOT = Path(__file__).parents[1]
IN_SDIST = (
    "Makefile",
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
    "pyproject.toml",
    "tests/conftest.py",
)
IN_WHEEL = ("credmgr/py.typed", "credmgr/store/migrations/env.py", "credmgr/cli/__init__.py")
FOREIGN = ("tests/", ".venv", "__pycache__", ".run/", ".env", ".key")
PROBE = """
from importlib.metadata import entry_points, version
import credmgr
assert credmgr.__version__ == version("credmgr"), (credmgr.__version__, version("credmgr"))
for group in ("credmgr.backends", "credmgr.issuers", "credmgr.notifiers"):
    assert [point.load() for point in entry_points(group=group)], group
"""


def main() -> None:
    """Build both, then look at each."""
    with tempfile.TemporaryDirectory(prefix="credmgr-dist-") as folder:
        made = Path(folder)
        run(sys.executable, "-m", "hatchling", "build", "-d", str(made))
        wheel, sdist = next(made.glob("*.whl")), next(made.glob("*.tar.gz"))
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
            metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
            described(archive.read(metadata))
        holds(wheel.name, names, IN_WHEEL, FOREIGN)
        with tarfile.open(sdist) as archive:
            inside = [name.partition("/")[2] for name in archive.getnames()]
        holds(sdist.name, inside, IN_SDIST, FOREIGN[1:])
        installed(wheel, made / "site")
    sys.stdout.write(
        f"{sdist.name} and {wheel.name}: metadata, content and entry points are right\n"
    )


def described(raw: bytes) -> None:
    """The metadata is valid, and the long description is the README."""
    metadata = Metadata.from_email(raw, validate=True)
    body = email.message_from_bytes(raw).get_payload()
    if metadata.description_content_type != "text/markdown" or not str(body).startswith(
        "# credmgr"
    ):
        sys.exit("the long description is not README.md")
    if metadata.license_expression != "Apache-2.0":
        sys.exit("the licence is not declared")


def holds(
    archive: str, names: Iterable[str], wanted: Iterable[str], unwanted: Iterable[str]
) -> None:
    """An archive has what it should and nothing that it should not."""
    inside = set(names)
    if missing := [name for name in wanted if name not in inside]:
        sys.exit(f"{archive} lacks {', '.join(missing)}")
    if foreign := sorted(n for n in inside if any(part in n for part in unwanted)):
        sys.exit(f"{archive} should not hold {', '.join(foreign[:5])}")


def installed(wheel: Path, site: Path) -> None:
    """The wheel, installed without the source tree, imports and finds its plugins."""
    pip = ("pip", "install", "--quiet", "--no-deps", "--no-input", "--disable-pip-version-check")
    run(sys.executable, "-m", *pip, "--target", str(site), str(wheel))
    run(sys.executable, "-P", "-c", PROBE, PYTHONPATH=str(site))


def run(*command: str, **environ: str) -> None:
    """Run a command; its failure is ours."""
    folder = ROOT if "hatchling" in command else Path(tempfile.gettempdir())
    done = subprocess.run(  # noqa: S603 (ours)
        command,
        cwd=folder,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(command[:4])} failed:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    main()
