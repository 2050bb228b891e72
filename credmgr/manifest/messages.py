"""pydantic's complaints → ours: one sentence, the place in the file, the likely fix."""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from types import NoneType
from typing import Annotated, Any, Final, TypeAlias, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from credmgr.errors import Problem
from credmgr.manifest.forms import REFUSED, nearest
from credmgr.manifest.leaks import names_a_secret, shown
from credmgr.manifest.scalars import NOTHING
from credmgr.manifest.tree import Plain, Trail, Tree

_Said: TypeAlias = tuple[str, str | None]

_EXPECTED: Final = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dataclass_type": "a mapping",
    "path_type": "a path",
}
_QUOTED: Final = re.compile(r"'([^']*)'")


def problems(
    errors: Iterable[ErrorDetails], tree: Tree, at: Trail, model: Any, besides: Iterable[str] = ()
) -> Iterator[Problem]:
    """Each complaint as a problem at its place.

    Args:
        errors: What pydantic says of the value at `at`.
        tree: The manifest.
        at: Where the checked value stands.
        model: The type that it was checked against.
        besides: Keys of its topmost mapping that are not the type's.
    """
    for error in errors:
        trail = (*at, *error["loc"])
        kind = error["type"]
        if kind in {"extra_forbidden", "unexpected_keyword_argument"}:
            parent = error["loc"][:-1]
            known = [*_known(model, parent), *(besides if not parent else ())]
            yield unknown_key(tree, trail, known)
        elif kind == "missing":
            yield _missing(error, tree, at, model)
        else:
            written = _written(tree, trail)
            yield tree.at(written).problem(*_said(error, tree, written))


def unknown_key(tree: Tree, trail: Trail, known: Iterable[str]) -> Problem:
    """The key at the end of `trail` is none of `known`."""
    key = str(trail[-1])
    name = shown(key, "")
    fix = nearest(key, known) if name else None
    return tree.key(trail).problem(f"unknown key {name}".rstrip(), fix)


def _written(tree: Tree, trail: Trail) -> Trail:
    """`trail` up to the last step that is in the file; pydantic adds names of its own."""
    while trail and not tree.knows(trail):
        trail = trail[:-1]
    return trail


def _missing(error: ErrorDetails, tree: Tree, at: Trail, model: Any) -> Problem:
    *around, key = error["loc"]
    example = _known(model, tuple(around)).get(str(key), "…")
    return tree.key((*at, *around)).problem(f"missing key `{key}`", f"add `{key}: {example}`")


def _said(error: ErrorDetails, tree: Tree, trail: Trail) -> _Said:
    kind = error["type"]
    plain = tree.plain.get(trail)
    if plain and names_a_secret(trail):
        plain = Plain("", plain.meaning)
    context: Mapping[str, Any] = error.get("ctx", {})
    if kind == REFUSED:
        return context["what"], context["fix"] or None
    if kind in _EXPECTED:
        return _wrong_type(_EXPECTED[kind], plain, error["input"])
    if kind in {"enum", "literal_error"}:
        return _not_in_list(context, plain, error["input"])
    return _bounds(kind, context) or (_plainly(error["msg"]), None)


def _wrong_type(expected: str, plain: Plain | None, value: Any) -> _Said:
    if plain and plain.meaning == NOTHING:
        return f"expected {expected}, found nothing", "give a value or take the key out"
    if plain and expected in {"text", "a path"}:
        written = shown(plain.text) if plain.text else "this value"
        fix = f'quote it: "{plain.text}"' if plain.text else "quote it"
        return f"expected {expected}, but YAML reads {written} as {plain.meaning}", fix
    return f"expected {expected}, found {_found(plain, value)}", None


def _found(plain: Plain | None, value: Any) -> str:
    if plain:
        return shown(plain.text, plain.meaning) if plain.text else plain.meaning
    match value:
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case _:
            return "text"


def _not_in_list(context: Mapping[str, Any], plain: Plain | None, value: Any) -> _Said:
    choices = _QUOTED.findall(str(context["expected"]))
    listed = ", ".join(f"`{choice}`" for choice in choices)
    if isinstance(value, str):
        return f"{shown(value)} is not one of {listed}", nearest(value, choices)
    return f"expected one of {listed}, found {_found(plain, value)}", None


def _bounds(kind: str, context: Mapping[str, Any]) -> _Said | None:
    match kind:
        case "greater_than_equal":
            return f"must be at least {context['ge']:g}", None
        case "less_than_equal":
            return f"must be at most {context['le']:g}", None
        case "string_too_short" | "too_short":
            return "must not be empty", None
        case "string_too_long":
            return f"must not be longer than {context['max_length']} characters", None
        case _:
            return None


def _plainly(message: str) -> str:
    text = message.removeprefix("Input ").removeprefix("Value error, ")
    return text[:1].lower() + text[1:]


def _known(model: Any, trail: Trail) -> dict[str, str]:
    """The keys of the mapping that stands at `trail` below a value of type `model`.

    Each with an example value, `…` where there is none.
    """
    here = _bare(model)
    for step in trail:
        fields = _fields(here)
        if step in fields:
            here = _bare(fields[str(step)])
        elif get_args(here):
            here = _bare(get_args(here)[0 if isinstance(step, int) else -1])
    examples = _examples(here)
    return {key: examples.get(key, "…") for key in _fields(here)}


def _bare(annotation: Any) -> Any:
    """The type inside `Annotated` and `… | None`."""
    args = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return _bare(args[0])
    inside = [part for part in args if part is not NoneType]
    return _bare(inside[0]) if len(inside) == 1 < len(args) else annotation


def _fields(model: Any) -> dict[str, Any]:
    if isinstance(model, type) and issubclass(model, BaseModel):
        return {name: field.annotation for name, field in model.model_fields.items()}
    if dataclasses.is_dataclass(model):
        hints = get_type_hints(model, include_extras=True)
        return {field.name: hints[field.name] for field in dataclasses.fields(model) if field.init}
    return {}


def _examples(model: Any) -> dict[str, str]:
    if isinstance(model, type) and issubclass(model, BaseModel):
        fields = model.model_fields.items()
        return {name: str(field.examples[0]) for name, field in fields if field.examples}
    return {}
