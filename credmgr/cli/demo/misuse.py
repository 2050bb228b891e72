"""The chapter of the demo in which a credential breaks three rules, and is mended."""

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Final

from credmgr.cli.demo.children import DAEMON_LOG
from credmgr.manifest import load
from credmgr.model.names import Name
from credmgr.model.rotation import State
from credmgr.rotation.runbook import Runbook

if TYPE_CHECKING:
    from credmgr.cli.demo.story import Story

IMPORT: Final = Name("caseforge/import-key")
BROKEN: Final = {
    "key too old": f"demo.max-age/{IMPORT}",
    "scope too broad": f"caseforge.many-scopes/{IMPORT}",
    "API key in production": f"caseforge.api-key-in-production/{IMPORT}",
}
PACK: Final = f"""\
pack: demo
title: Ages of seconds, for who cannot wait for months
only: {{names: ["{IMPORT}"]}}
rules:
  - {{rule: max-age, source: the demo, parameters: {{limit: 5s}}}}
"""
WITHOUT: Final = "policies: [default, caseforge]"
WITH: Final = "policies: [default, caseforge, demo-pack.yaml]"
ENTRY: Final = """
  {name}:
    kind: api-key
    issuer: caseforge
    owner: imports-team
    environment: {environment}
    scopes: [{scopes}]
    rotation: {{manual: true}}
"""
BROAD: Final = '"cases:read", "cases:write", "subjects:read", "alerts:read", "transactions:read"'


def three_findings(story: "Story") -> None:
    """Rules find, the owner hears of it, an operator mends, and the findings end by themselves."""
    story.chapter("Three findings")
    manifest = story.app.manifest.home / "credmgr.yaml"
    before = manifest.read_text()
    (manifest.parent / "demo-pack.yaml").write_text(PACK)
    ruled = before.replace(WITHOUT, WITH)
    bad = ENTRY.format(name=IMPORT, environment="production", scopes=BROAD)
    story.tell(f"somebody declares {IMPORT}: an API key in production, with five scopes")
    _applied(story, manifest, ruled + bad)
    story.follow(story.await_value(lambda: story.newest(IMPORT), f"{IMPORT} gets a secret"))
    story.await_true(lambda: set(BROKEN.values()) <= _open(story), "three rules are broken")
    for finding in story.app.store.ledger.findings(open_only=True):
        if finding.key in BROKEN.values():
            story.tell(f"{finding.severity}: {finding.text}")
    log = manifest.parent / DAEMON_LOG
    story.await_true(lambda: _told(log) >= set(BROKEN.values()), "the owner is told")
    story.expect(
        _told(log) >= set(BROKEN.values()), "the channel `log` has told imports-team of each"
    )

    good = ENTRY.format(name=IMPORT, environment="development", scopes='"cases:read"')
    story.tell("it is moved to development with the one scope that it needs, and rotated")
    _applied(story, manifest, ruled + good)
    row = story.follow(Runbook(story.app.engine).rotate(IMPORT), until=State.OVERLAP)
    story.app.sweep().tick()
    ended = [story.app.store.ledger.findings_of(key)[-1] for key in BROKEN.values()]
    story.expect(all(one.resolved_at for one in ended), f"resolved: {', '.join(BROKEN)}")
    story.await_true(lambda: _told(log, ended=True) >= set(BROKEN.values()), "the ends are told")
    story.expect(_told(log, ended=True) >= set(BROKEN.values()), "and told that each has ended")
    story.follow(row)
    _applied(story, manifest, before)
    story.follow(Runbook(story.app.engine).retire(IMPORT))


def _applied(story: "Story", manifest: Path, text: str) -> None:
    """Write the manifest, apply it, and have the daemon read it again."""
    manifest.write_text(text)
    story.app.adopt(load(manifest))
    story.app.apply(story.app.plan())
    story.daemon.send_signal(signal.SIGHUP)


def _open(story: "Story") -> set[str]:
    """The findings that are open, looked at now."""
    story.app.sweep().tick()
    return {one.key for one in story.app.store.ledger.findings(open_only=True)}


def _told(log: Path, *, ended: bool = False) -> set[str]:
    """Of which findings the log channel has told that they are open, or that they ended."""
    said = f'"resolved": {str(ended).lower()}'
    lines = [line for line in log.read_text().splitlines() if '"notifier": "log"' in line]
    return {key for key in BROKEN.values() for line in lines if key in line and said in line}
