"""A plugin's options: plain data → the plugin's own dataclass."""

import dataclasses
import operator
from dataclasses import MISSING
from datetime import timedelta
from functools import cache, reduce
from types import UnionType
from typing import Annotated, Any, Final, Union, cast, get_args, get_origin, get_type_hints

from pydantic import (
    AfterValidator,
    ConfigDict,
    StrictBool,
    StrictFloat,
    StrictInt,
    TypeAdapter,
    ValidationError,
)

from credmgr.errors import Problem
from credmgr.manifest import messages
from credmgr.manifest.forms import ReferenceText, Span, refuse
from credmgr.manifest.leaks import shown
from credmgr.manifest.tree import Trail, Tree
from credmgr.plugins.context import Reference

# pydantic alone would take "1" for 1 and `yes` for True.
_STRICT: Final[dict[Any, Any]] = {
    bool: StrictBool,
    float: StrictFloat,
    int: StrictInt,
    timedelta: Span,
}


def bind(
    options: Any, data: dict[str, Any], tree: Tree, at: Trail, besides: tuple[str, ...] = ()
) -> tuple[Any, list[Problem]]:
    """An instance of the dataclass `options` made of `data`, or what is wrong with it.

    Args:
        options: The plugin's dataclass.
        data: Its fields as the manifest gives them.
        tree: The manifest.
        at: Where `data` stands in it.
        besides: Keys of the same mapping that are not the plugin's.

    Returns:
        The instance and no problems, or None and some.
    """
    try:
        return adapter(options).validate_python(data), []
    except ValidationError as error:
        return None, list(messages.problems(error.errors(), tree, at, options, besides))


@cache
def adapter(options: Any) -> TypeAdapter[Any]:
    """What makes a plugin's dataclass of plain data, and describes it as JSON Schema."""
    return TypeAdapter(_strict(options))


@cache
def _strict(options: Any) -> Any:
    """The type of a twin of a dataclass, checked as the manifest is, that becomes the dataclass."""
    hints = get_type_hints(options, include_extras=True)
    fields = [
        (field.name, adapted(hints[field.name]), _same_default(field))
        for field in dataclasses.fields(options)
        if field.init
    ]
    config = {"__pydantic_config__": ConfigDict(extra="forbid", arbitrary_types_allowed=True)}
    twin = dataclasses.make_dataclass(options.__name__, fields, kw_only=True, namespace=config)
    twin.__doc__ = options.__doc__

    def become(checked: Any) -> Any:
        given = {field.name: getattr(checked, field.name) for field in dataclasses.fields(checked)}
        try:
            return options(**given)
        except (TypeError, ValueError) as error:  # what a dataclass's own __post_init__ refuses
            reason = shown(str(error), "").strip("`")
            raise refuse("the plugin refuses these options", reason) from None

    return Annotated[twin, AfterValidator(become)]


def _same_default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return dataclasses.field(default_factory=field.default_factory)
    if field.default is not MISSING:
        return dataclasses.field(default=field.default)
    return dataclasses.field()


def adapted(annotation: Any) -> Any:
    """An option's type as the manifest reads it: strict, durations and references as text."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        if any(isinstance(mark, Reference) for mark in args[1:]):
            return ReferenceText if args[0] is str else ReferenceText | None
        return Annotated[(adapted(args[0]), *args[1:])]
    if origin in {Union, UnionType}:
        return reduce(operator.or_, [adapted(part) for part in args])
    if origin is not None and args:
        return origin[tuple(part if part is ... else adapted(part) for part in args)]
    if dataclasses.is_dataclass(annotation):
        return _strict(cast("Any", annotation))
    return _STRICT.get(annotation, annotation) if isinstance(annotation, type) else annotation
