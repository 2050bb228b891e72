"""No secret shows itself anywhere, in a whole session at DEBUG."""

from pathlib import Path

from credmgr.model.names import Name
from credmgr.testing.canaries import leaks
from tests.acceptance.installation import CLIENT, KEY, PARTNER, Installation

WRONG = "cf_sand_wrong" + "z" * 30


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
        imported = ("import", PARTNER, "--secret-id", made["id"])
        said.append(home.run(*imported, given=made["value"]))
        said.append(home.run("rotate", KEY, "--wait"))
        keep(KEY)
        said.append(home.run("revoke", CLIENT, "--leaked", "--yes"))
        keep(CLIENT)
        said.append(home.run("import", PARTNER, given=WRONG, code=1))
        looking = ("status", f"show {KEY}", f"history {KEY}", "log export", "doctor")
        said += [home.run(*command.split()) for command in looking]
        said.append(home.run("rekey", "--data"))
        running = process(daemon.process.pid, "cmdline") + process(daemon.process.pid, "environ")
        database = [path.read_bytes() for path in home.folder.glob("state.db*")]
        assert daemon.stop() == 0

    database += [path.read_bytes() for path in home.folder.glob("**/*") if wanted(path)]
    everything = "\n".join(
        [running, daemon.out.read_text(), daemon.err.read_text()]
        + [one.out + one.err for one in said]
        + [content.decode("latin-1") for content in database]
    )
    assert len(secrets) == 7
    assert Name(KEY) in everything
    assert not [secret[:9] for secret in secrets if secret and (secret in everything)]
    assert not [secret[:9] for secret in secrets if leaks(secret[9:], everything)]


def wanted(path: Path) -> bool:
    """Everything in the installation but the keys and the sandbox's token."""
    return path.is_file() and path.name not in {"master.key", "sandbox.token"}
