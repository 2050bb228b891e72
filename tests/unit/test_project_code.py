"""How the code is written: sizes, and where everything may be caught (CONTRIBUTING.md)."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
SOURCES: Final = sorted((ROOT / "credmgr").rglob("*.py"))
FILE_LINES: Final = 400
FUNCTION_LINES: Final = 50
USUAL_LINES: Final = 25
USUAL_SHARE: Final = 0.9
EDGES: Final = {
    "credmgr/api/front.py": "a request's end: it is logged, and answered with 500",
    "credmgr/broker/flights.py": "a thread that mints: it is logged, those who wait are told",
    "credmgr/cli/exits.py": "a command's end: a bug is told as one line, its traceback at debug",
    "credmgr/client/source.py": "a thread that fetches: those who wait are raised what came",
    "credmgr/daemon.py": "a timer or one credential's turn: it is logged, and the others go on",
    "credmgr/plugins/loading.py": "a third party's import may raise anything; it gets a name",
}
"""The outermost edges, where anything may be caught, each with why."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(source: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, Function):
            yield node


def length(function: Function) -> int:
    """Lines of a function without its docstring."""
    told = function.body[0] if ast.get_docstring(function) is not None else None
    docs = (told.end_lineno or 0) - told.lineno + 1 if told is not None else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docs


def in_words(source: Path) -> str:
    return source.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("source", SOURCES, ids=in_words)
def test_a_file_is_short_enough_to_be_read_whole(source: Path) -> None:
    assert len(source.read_text().splitlines()) <= FILE_LINES


@pytest.mark.parametrize("source", SOURCES, ids=in_words)
def test_a_function_is_short_enough_to_be_seen_whole(source: Path) -> None:
    assert {f.name: length(f) for f in functions(source) if length(f) > FUNCTION_LINES} == {}


def test_nine_functions_of_ten_are_short() -> None:
    lengths = [length(function) for source in SOURCES for function in functions(source)]
    assert sum(lines <= USUAL_LINES for lines in lengths) >= USUAL_SHARE * len(lengths)


def catches(handler: ast.ExceptHandler, name: str) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(isinstance(kind, ast.Name) and kind.id == name for kind in kinds)


def handlers(source: Path) -> list[ast.ExceptHandler]:
    tree = ast.parse(source.read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler)]


@pytest.mark.parametrize("source", SOURCES, ids=in_words)
def test_anything_is_caught_at_the_edges_only(source: Path) -> None:
    wide = [handler.lineno for handler in handlers(source) if catches(handler, "Exception")]
    assert not wide or in_words(source) in EDGES


def test_no_edge_is_listed_that_is_none() -> None:
    for name in EDGES:
        assert any(catches(handler, "Exception") for handler in handlers(ROOT / name)), name


@pytest.mark.parametrize("source", SOURCES, ids=in_words)
def test_what_catches_even_an_interrupt_passes_it_on(source: Path) -> None:
    for handler in handlers(source):
        if handler.type is None or catches(handler, "BaseException"):
            last = handler.body[-1]
            assert isinstance(last, ast.Raise), handler.lineno
            assert last.exc is None, handler.lineno


@pytest.mark.parametrize("source", SOURCES, ids=in_words)
def test_no_module_is_called_what_says_nothing(source: Path) -> None:
    assert source.stem not in {"utils", "util", "common", "helpers", "misc", "manager"}


@pytest.mark.parametrize("source", SOURCES, ids=in_words)
def test_a_module_opens_with_a_sentence(source: Path) -> None:
    assert ast.get_docstring(ast.parse(source.read_text()))
