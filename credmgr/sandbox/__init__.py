"""CaseForge in a box: authorization server, API, and a management API with faults on demand."""

from credmgr.sandbox.accounts import SEEDED_CLIENT_ID, Application
from credmgr.sandbox.catalogue import ALL_SCOPES, SCOPES, CredentialKind, Environment
from credmgr.sandbox.config import DEFAULT_HOST, DEFAULT_PORT, SandboxConfig
from credmgr.sandbox.faults import Effect, Fault, When
from credmgr.sandbox.issued import Issued, Status
from credmgr.sandbox.log import Entry, EntryKind, Who
from credmgr.sandbox.server import RunningSandbox, serve

__all__ = [
    "ALL_SCOPES",
    "DEFAULT_HOST",
    "DEFAULT_PORT",
    "SCOPES",
    "SEEDED_CLIENT_ID",
    "Application",
    "CredentialKind",
    "Effect",
    "Entry",
    "EntryKind",
    "Environment",
    "Fault",
    "Issued",
    "RunningSandbox",
    "SandboxConfig",
    "Status",
    "When",
    "Who",
    "serve",
]
