"""Rule packs: YAML files to active rules, with every mistake at its line."""

from credmgr.packs.loading import Rulebook, load_packs

__all__ = ["Rulebook", "load_packs"]
