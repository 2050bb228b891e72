"""What every secrets backend must do, as a pytest class to subclass.

    class TestMine(BackendContract):
        factory = MyBackendFactory()

        @pytest.fixture
        def backend(self, tmp_path):
            session = self.factory.open(MyOptions(...), context)
            yield session
            session.close()

Each check uses names of its own, so `backend` may be a session with a server that lives longer.
"""

import secrets
from typing import Any, ClassVar

import pytest

from credmgr.model.names import Name
from credmgr.plugins.backend import BackendFactory
from credmgr.testing.backend_extremes import ExtremeChecks
from credmgr.testing.backend_faults import FaultChecks
from credmgr.testing.backend_life import LifeChecks
from credmgr.testing.backend_moves import Plant, Reopen
from credmgr.testing.backend_options import OptionalChecks


class BackendContract(LifeChecks, ExtremeChecks, OptionalChecks, FaultChecks):
    """Subclass it, set `factory`, give the fixture `backend`; override what else applies.

    Attributes:
        factory: The factory whose capabilities and limits the sessions must honour.
    """

    factory: ClassVar[BackendFactory]

    @pytest.fixture
    def backend(self) -> Any:
        """An open session with a store; may yield it, to close it afterwards."""
        raise NotImplementedError("give the fixture `backend`: an open session")

    @pytest.fixture
    def reopen(self) -> Reopen | None:
        """What opens a second session with the same store; None when there cannot be one."""
        return None

    @pytest.fixture
    def foreign(self) -> Plant | None:
        """What plants an object without our mark under a name, and gives what looks at it."""
        return None

    @pytest.fixture
    def name(self) -> Name:
        """A name that nobody has used."""
        return Name(f"contract/{secrets.token_hex(6)}")
