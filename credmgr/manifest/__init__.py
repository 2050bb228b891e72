"""From `credmgr.yaml` to the model, with every error at its line; and what applying it changes."""

from credmgr.manifest.catalogue import InstalledPlugins, PluginCatalogue
from credmgr.manifest.loading import load
from credmgr.manifest.manifest import Configured, DaemonSettings, Manifest, StateSettings
from credmgr.manifest.references import References

__all__ = [
    "Configured",
    "DaemonSettings",
    "InstalledPlugins",
    "Manifest",
    "PluginCatalogue",
    "References",
    "StateSettings",
    "load",
]
