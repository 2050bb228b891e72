"""What the tests of sinks have in common: a context with real keys."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from credmgr.keyring import Keyring
from credmgr.manifest.references import References
from credmgr.model.clock import SystemClock
from credmgr.plugins.context import PluginContext

MASTER = bytes(range(32))


def a_context(home: Path, deadline: timedelta = timedelta(seconds=30)) -> PluginContext:
    file = home / "keyring.json"
    keys = Keyring.open(file, MASTER) if file.exists() else Keyring.create(file, MASTER)
    context = PluginContext("sink", home, SystemClock(), keys, References(home, {}), workers=32)
    return replace(context, deadline=deadline)
