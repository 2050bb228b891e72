"""credmgr's suite installs this first, and then runs its tests: test_tutorial_plugin.py."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("credmgr_sqlite") else ["tests"]
