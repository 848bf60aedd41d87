"""Documents of objects, and the shortest document of a meaning: without what is left to defaults.

Two documents of one meaning have one minimal form, with a type in every table, so that it is the
identity of a run, and a new field with a default changes none.
"""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from mfgen.lab._imports import Imports
from mfgen.lab._names import (
    alternatives,
    classes,
    fits,
    is_float,
    item,
    lookup,
    origin,
    public,
    signature,
)

EMPTY: Any = object()  # as a default: there is none


def write(value: Any) -> Any:
    """The document of an object, without fields that have their default.

    Raises:
        ValueError: for an object that no document can name, such as a lambda.
    """
    match value:
        case None | bool() | int() | float() | str():
            return value
        case list() | tuple():
            return [write(part) for part in value]
        case jax.Array() | np.ndarray() | np.generic():
            return np.asarray(value).tolist()
    if inspect.isfunction(value) or inspect.isclass(value):
        if "<" in value.__qualname__:
            raise ValueError(
                f"`{value.__qualname__}` has no name for a document, expected a function or class "
                "at the top of a module: define it there."
            )
        return public(value)
    return {"type": public(type(value)), **_fields_of(value)}


def minimal(value: Any, kind: Any, imports: Imports, default: Any = EMPTY) -> Any:
    """A document without what is left out by default, with a type in every table."""
    match value:
        case dict() if dict in map(origin, alternatives(kind)):
            return value
        case dict():
            maker, fields = opened(value, kind, "$", imports, default)
            if maker is None:
                return value
            name = value.get("type", public(maker))
            return {"type": name, **minimal_call(maker, fields, imports)}
        case list() | tuple():
            inner = item(kind) if tuple in map(origin, alternatives(kind)) else kind
            return [minimal(part, inner, imports) for part in value]
        case int() if type(value) is int and is_float(kind):
            return float(value)
        case str() if _is_class(value, kind, imports):
            return {"type": value}
    return value


def minimal_call(maker: Callable, fields: Mapping[str, Any], imports: Imports) -> dict[str, Any]:
    """The fields of a call that are not left to their defaults."""
    parameters, kept = signature(maker).parameters, {}
    for name, value in fields.items():
        parameter = parameters.get(name)
        if parameter is None:
            kept |= {} if name == "weight" and value == 1 else {name: value}
            continue
        found = minimal(value, parameter.annotation, imports, usual(parameter))
        if usual(parameter) is EMPTY or found != _default(parameter):
            kept[name] = found
    return kept


def usual(parameter: inspect.Parameter | None) -> Any:
    """The default of a parameter; `EMPTY` if it must be given."""
    if parameter is None or parameter.default is parameter.empty:
        return EMPTY
    return parameter.default


def _default(parameter: inspect.Parameter) -> Any:
    try:
        return write(parameter.default)
    except ValueError:
        return parameter.default


def opened(
    table: Mapping[str, Any], kind: Any, path: str, imports: Imports, default: Any
) -> tuple[Callable | None, dict[str, Any]]:
    """What a table calls, and with which fields: those of the default where it says no type."""
    fields = {name: value for name, value in table.items() if name != "type"}
    if "type" in table:
        return lookup(table["type"], kind, path, imports), fields
    if dataclasses.is_dataclass(default):
        return type(default), {**_fields_of(default), **fields}
    known = classes(kind)
    if len(known) == 1 and not known[0].__name__.startswith("Abstract"):
        return known[0], fields
    return None, fields


def _is_class(value: str, kind: Any, imports: Imports) -> bool:
    """Whether text names a class to be called."""
    if fits(value, kind) or ":" in value or not classes(kind):
        return False
    try:
        return inspect.isclass(lookup(value, kind, "$", imports))
    except ValueError:
        return False


def _fields_of(value: Any) -> dict[str, Any]:
    """What an object was made with, as far as it differs from the defaults.

    A class whose fields are not the parameters of its constructor says so by `arguments`.
    """
    own = value.arguments() if hasattr(type(value), "arguments") else vars(value)
    found = {}
    for name, parameter in signature(type(value)).parameters.items():
        if name not in own:
            raise ValueError(
                f"`{type(value).__name__}` does not keep {name}, expected what it was made with: "
                "give it a method `arguments`."
            )
        written = write(own[name])
        if usual(parameter) is EMPTY or written != _default(parameter):
            found[name] = written
    return found
