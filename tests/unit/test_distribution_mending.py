"""A copy that somebody changed is written over in one step: its readers always find something."""

from types import SimpleNamespace
from typing import Any, Final
from uuid import uuid4

from credmgr.distribution.writing import Pen
from credmgr.model.credential import Place
from credmgr.model.names import Name
from credmgr.model.secret import Fingerprinter, Secret
from credmgr.testing.memory_sink import MemorySink

PAPER: Final = Name("paper")
PLACE: Final = Place(PAPER, Name("team/key"))


class Watched(MemorySink):
    """Notes each moment at which nothing is there."""

    def __init__(self) -> None:
        super().__init__()
        self.absent = 0

    def remove(self, name: Name) -> None:
        self.absent += 1
        super().remove(name)


def test_a_changed_copy_in_a_sink_is_never_absent_while_it_is_mended() -> None:
    sink, version = Watched(), uuid4()
    outside: Any = SimpleNamespace(sinks={PAPER: sink}, backends={})
    pen = Pen(outside, Fingerprinter(bytes(32)))
    sink.write(PLACE.name, Secret("another"), uuid4())
    sink.tamper(PLACE.name, Secret("theirs"))

    pen.mend(PLACE, Secret("ours"), version)

    state = sink.inspect(PLACE.name)
    assert (state.version, state.intact, sink.absent) == (version, True, 0)
