"""No secret shows itself anywhere, in a whole session at DEBUG."""

import socket
from pathlib import Path

from credmgr.model.names import Name
from credmgr.testing.canaries import leaks
from tests.acceptance.installation import CLIENT, KEY, PARTNER, Installation, Said

WRONG = "cf_sand_wrong" + "z" * 30
LOOKING = (
    "check",
    "plan",
    "list",
    "status",
    f"show {KEY}",
    f"show {CLIENT} --json",
    f"history {KEY}",
    "log export",
    "doctor",
    "drift",
    "distribute",
    "backends",
    "findings",
    f"policy explain {KEY}",
    "notify test log",
    "audit --format html --fail-on critical",
    "audit --format sarif --fail-on critical",
)
FINDING = ("scan .",)
"""It finds what the files hold that are private by their mode."""


def process(pid: int, what: str) -> str:
    return Path(f"/proc/{pid}/{what}").read_bytes().decode(errors="replace")


def test_no_secret_is_in_any_output_log_file_or_process(home: Installation) -> None:
    home.write(overlap="1s")
    home.environ["CREDMGR_LOG_LEVEL"] = "debug"
    said = [home.run("apply", "--yes")]
    secrets = {home.box.admin_token.reveal(), WRONG}

    def keep(*names: str) -> None:
        secrets.update(home.run("get", name).out for name in names)

    with home.background("run") as daemon:
        daemon.wait_for("first secret in place", times=2)
        keep(KEY, CLIENT)
        made = home.new_key()
        secrets.add(made["value"])
        said.append(home.run("import", PARTNER, "--secret-id", made["id"], given=made["value"]))
        said.append(home.run("rotate", KEY, "--wait"))
        said.append(home.run("revoke", CLIENT, "--leaked", "--yes"))
        keep(KEY, CLIENT)
        said.append(home.run("import", PARTNER, given=WRONG, code=1))
        secrets.update({home.run("token", CLIENT).out, home.run("token", CLIENT).out})
        said += looked(home)
        metered = metrics(home.folder / "run/credmgr.sock")
        shown = [process(daemon.process.pid, what) for what in ("cmdline", "environ")]
        database = [path.read_bytes() for path in home.folder.glob("state.db*")]
        assert daemon.stop() == 0

    database += [path.read_bytes() for path in home.folder.glob("**/*") if wanted(path)]
    everything = "\n".join(
        [*shown, metered, daemon.out.read_text(), daemon.err.read_text()]
        + [one.out + one.err for one in said]
        + [content.decode("latin-1") for content in database]
    )
    assert everything.count("it ran") == 2
    assert "credmgr_rotations" in metered
    assert len(secrets) == 8
    assert Name(KEY) in everything
    assert not [secret[:9] for secret in secrets if secret and (secret in everything)]
    assert not [secret[:9] for secret in secrets if leaks(secret[9:], everything)]


def looked(home: Installation) -> list[Said]:
    """What everything says that looks, or hands on."""
    ran = [f"exec {KEY} -- echo it ran", f"exec {CLIENT} --token -- echo it ran"]
    said = [home.run(*command.split()) for command in (*ran, *LOOKING)]
    said += [home.run(*command.split(), code=1) for command in FINDING]
    return [*said, home.run("rekey", "--data")]


def metrics(api: Path) -> str:
    """What an operator is told by the API; who owns the socket is one."""
    with socket.socket(socket.AF_UNIX) as peer, peer.makefile("rb") as answer:
        peer.connect(str(api))
        peer.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return answer.read().decode()


def wanted(path: Path) -> bool:
    """Everything in the installation but the keys and the sandbox's token."""
    return path.is_file() and path.name not in {"master.key", "sandbox.token"}
