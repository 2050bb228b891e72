"""The sink `command`: a program of yours takes each copy on its standard input."""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Lock
from typing import Final
from uuid import UUID

from credmgr.errors import BackendUnavailable, ConfigError
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.plugins.backend import Mistake
from credmgr.plugins.context import DEADLINE, PluginContext
from credmgr.plugins.sink import SinkState
from credmgr.sinks.programs import Ended, run, runnable
from credmgr.sinks.redaction import redacted
from credmgr.sinks.rendering import LIMITS, text_of

LONGEST_TIMEOUT: Final = timedelta(minutes=10)
_STATE: Final = re.compile(
    r"\s*([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(\s+changed)?\s*", re.ASCII
)
_HIGHEST_EXIT: Final = 255


@dataclass(frozen=True, slots=True)
class CommandOptions:
    """What to run. Each is a list: the program, then its arguments; no shell reads it.

    Attributes:
        write: Run with the value on standard input, and nothing after it.
        inspect: Run to ask what is there: it prints nothing, the version, or the version and
            `changed`. Without it, every write is made.
        remove: Run to take a copy away. Without it, nothing is.
        timeout: How long each may take before it is ended, with what it started.
        retry_exit: The exit status that means `not now, try again`.
    """

    write: tuple[str, ...]
    inspect: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    timeout: timedelta = DEADLINE
    retry_exit: int = os.EX_TEMPFAIL


class CommandSinkFactory:
    """Makes sinks of programs."""

    options = CommandOptions
    limits = LIMITS

    def validate(self, options: CommandOptions) -> Iterable[Mistake]:
        """What the types alone cannot say."""
        if not options.write:
            yield Mistake("write", "write names no program", "write [/usr/local/bin/hand-over]")
        for option in ("write", "inspect", "remove"):
            yield from _argument_mistakes(option, getattr(options, option))
        if not timedelta() < options.timeout <= LONGEST_TIMEOUT:
            yield Mistake("timeout", "timeout is not above 0 and at most 10m")
        if not 0 < options.retry_exit <= _HIGHEST_EXIT:
            yield Mistake("retry_exit", "retry_exit is no exit status above 0", "write 75")

    def open(self, options: CommandOptions, context: PluginContext) -> "CommandSink":
        """A session; nothing is run yet."""
        return CommandSink(options, context.home)


class CommandSink:
    """Runs a program for each write. Thread-safe: one runs at a time."""

    def __init__(self, options: CommandOptions, home: Path) -> None:
        self._options, self._home = options, home
        self._lock = Lock()

    def write(self, name: Name, secret: Secret, version: UUID) -> None:
        """Hand `secret` over. With `inspect`, what is there already is not written again.

        Raises:
            LimitExceeded: The value is too long.
            BackendUnavailable: The program asked for a later try, or took too long.
            ConfigError: It failed, or cannot be run.
        """
        value = text_of(secret)
        with self._lock:
            if self._state(name) != SinkState(version, intact=True):
                self._good("write", self._run(self._options.write, name, version, value), value)

    def inspect(self, name: Name) -> SinkState | None:
        """What the program says is there; None without one. May be repeated."""
        with self._lock:
            return self._state(name)

    def remove(self, name: Name) -> None:
        """Let the program take the copy away; nothing happens without one."""
        if self._options.remove:
            with self._lock:
                self._good("remove", self._run(self._options.remove, name))

    def check(self) -> None:
        """Prove that the programs are there. May be repeated.

        Raises:
            ConfigError: One is not, or may not be run.
        """
        for argv in (self._options.write, self._options.inspect, self._options.remove):
            if argv and not runnable(argv[0], self._home):
                raise ConfigError(
                    f"{argv[0]!a} is no program that may be run", hint="write its whole path"
                )

    def close(self) -> None:
        """Nothing is kept open. May be repeated."""

    def _state(self, name: Name) -> SinkState | None:
        if not self._options.inspect:
            return None
        ended = self._run(self._options.inspect, name)
        self._good("inspect", ended)
        said = _STATE.fullmatch(ended.output)
        if said is None and ended.output.strip():
            raise ConfigError(
                "what the program `inspect` prints is no version",
                hint="print nothing, the version, or the version and `changed`",
            )
        return SinkState(UUID(said[1]), not said[2]) if said else SinkState(None, intact=False)

    def _run(
        self, argv: tuple[str, ...], name: Name, version: UUID | None = None, value: str = ""
    ) -> Ended:
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": os.environ.get("LANG", "C.UTF-8"),
            "CREDMGR_NAME": name,
            **({"CREDMGR_VERSION": str(version)} if version else {}),
        }
        return run(argv, value.encode(), environment, self._home, self._options.timeout)

    def _good(self, what: str, ended: Ended, value: str = "") -> None:
        """Make sure that a program did its work.

        Raises:
            BackendUnavailable: It asked for a later try, was ended, or took too long.
            ConfigError: It failed.
        """
        if ended.status == 0:
            return
        said = redacted(ended.output, value)
        tail = f"; it said: {said}" if said else ""
        if ended.status is None:
            raise BackendUnavailable(
                f"the program `{what}` took over {self._options.timeout}{tail}"
            )
        if ended.status < 0:
            raise BackendUnavailable(f"the program `{what}` got signal {-ended.status}{tail}")
        if ended.status == self._options.retry_exit:
            raise BackendUnavailable(f"the program `{what}` asks for a later try{tail}")
        raise ConfigError(f"the program `{what}` ended with status {ended.status}{tail}")


def _argument_mistakes(option: str, argv: tuple[str, ...]) -> Iterator[Mistake]:
    if any("\0" in argument for argument in argv) or (argv and not argv[0]):
        yield Mistake(option, f"{option} is no list of a program and its arguments")
