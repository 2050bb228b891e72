"""What a plugin author tests with: contracts to pass, fakes, an injected clock.

The fakes need nothing but credmgr; the contracts need pytest, and it is imported only for them.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from credmgr.testing.clock import FakeClock
from credmgr.testing.memory_backend import MemoryBackend, MemoryBackendFactory
from credmgr.testing.memory_issuer import MemoryIssuer

if TYPE_CHECKING:
    from credmgr.testing.backend_contract import BackendContract
    from credmgr.testing.issuer_contract import IssuerContract, ManualIssuerContract
    from credmgr.testing.notifier_contract import Channel, NotifierContract, Received
    from credmgr.testing.sink_contract import SinkContract

__all__ = [
    "BackendContract",
    "Channel",
    "FakeClock",
    "IssuerContract",
    "ManualIssuerContract",
    "MemoryBackend",
    "MemoryBackendFactory",
    "MemoryIssuer",
    "NotifierContract",
    "Received",
    "SinkContract",
]
_CONTRACTS: Final = {
    "BackendContract": "backend_contract",
    "Channel": "notifier_contract",
    "IssuerContract": "issuer_contract",
    "ManualIssuerContract": "issuer_contract",
    "NotifierContract": "notifier_contract",
    "Received": "notifier_contract",
    "SinkContract": "sink_contract",
}
_WITH_ASSERTS: Final = (
    "backend_life",
    "backend_extremes",
    "backend_faults",
    "backend_moves",
    "issuer_contract",
    "notifier_contract",
    "sink_contract",
)


def __getattr__(name: str) -> Any:
    if name not in _CONTRACTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import pytest  # noqa: PLC0415 (only who runs a contract needs it)

    modules = (f"{__name__}.{module}" for module in _WITH_ASSERTS)
    pytest.register_assert_rewrite(*(module for module in modules if module not in sys.modules))
    return getattr(import_module(f"{__name__}.{_CONTRACTS[name]}"), name)
