"""Documents and objects: a table `{ type = "Name", field = ... }` is the call `Name(field=...)`.

Names are the public names of mfgen, or `my_module:MyCost` for the user's own; fields, kinds and
defaults are those of the signature, so that whatever can be called can be written down:

    { type = "Kinetic", weight = 2.0 }            Kinetic(weight=2.0)
    "Kinetic"                                     Kinetic()
    { steps = 8 }                                 the default of its place, with that field changed
    { type = "KL", target = "data", weight = 3 }  3 * KL(data): sums and multiples, as in Python
    [{ type = "KL", ... }, { type = "Entropy" }]  KL(...) + Entropy()

"data", "reference" and other names stand for what a run gives, as do the parameters `game`, `data`,
`dim` and `key` of functions that make models. Errors begin with the path of what is wrong, and end
with the words of the class itself.
"""

import functools
import inspect
import operator
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mfgen._check import shortened
from mfgen._types import Key
from mfgen.lab._imports import Imports
from mfgen.lab._names import (
    accepts_functions,
    alternatives,
    choices,
    classes,
    fits,
    is_array,
    is_plain,
    item,
    lookup,
    public,
    said,
    signature,
)
from mfgen.lab._refusals import refuse_field, tried
from mfgen.lab._words import near

EMPTY: Any = type("Empty", (), {"__repr__": lambda self: "nothing"})()
_LARGEST = 2**31 - 1  # whole numbers have 32 bits on the device


class Given(NamedTuple):
    """What a run gives to the objects of its document.

    Attributes:
        names: what a name stands for, the first of several that fits its place; or the reason why
            it stands for nothing.
        arguments: of functions, by the name of the parameter.
        key: random key; parts have keys of their own.
        imports: loads code of the user's own.
    """

    names: Mapping[str, tuple[Any, ...] | str] = {}
    arguments: Mapping[str, Any] = {}
    key: Key | None = None
    imports: Imports = Imports()

    def inside(self, place: int) -> "Given":
        """What is given to the part at a place among others."""
        return self._replace(key=None if self.key is None else jax.random.fold_in(self.key, place))


NOTHING = Given()


def build(
    value: Any, kind: Any = Any, path: str = "$", given: Given = NOTHING, default: Any = EMPTY
) -> Any:
    """The object that a value of a document stands for.

    Arguments:
        value: a table, list, text, number or truth value.
        kind: the annotation of its place.
        path: where it stands, for errors.
        given: what the run gives.
        default: of its place.

    Raises:
        ValueError: one line, with the path.
    """
    match value:
        case dict() if is_plain(kind) or dict in map(_origin, alternatives(kind)):
            made = value
        case dict():
            made = _called(value, kind, path, given, default)
        case list() | tuple():
            made = _several(list(value), kind, path, given)
        case str():
            made = _text(value, kind, path, given)
        case _:
            made = _number(value, kind, given, default)
    if not fits(made, kind):
        got = "a table" if made is value else f"a `{type(made).__name__}`"
        got = got if type(value) is dict else repr(value)
        advice = near(str(value), choices(kind), "correct it.")
        raise ValueError(f"`{path}` got {got[:80]}, expected {said(kind)}: {advice}")
    if type(made) is int and abs(made) > _LARGEST:
        raise ValueError(
            f"`{path}` got {made}, expected a whole number of at most {_LARGEST}: lower it."
        )
    return made


def call(
    maker: Callable,
    fields: Mapping[str, Any],
    path: str = "$",
    given: Given = NOTHING,
) -> Any:
    """What a class or a function gives for the fields of a table.

    Raises:
        ValueError: one line, with the path.
    """
    by_run = getattr(maker, "by_run", ())  # fields that no document gives
    parameters = {n: p for n, p in signature(maker).parameters.items() if n not in by_run}
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    scale = None if "weight" in parameters or open_ended else fields.get("weight")
    fields = {name: value for name, value in fields.items() if name != "weight" or scale is None}
    arguments, place = given.arguments, 0
    taken: dict[str, Any] = {}
    for name, value in fields.items():
        if name == "key" or (name not in parameters and not open_ended):
            refuse_field(name, path, maker, set(parameters), fields)
        parameter = parameters.get(name)
        place += type(value) in (dict, str)
        kind = parameter.annotation if parameter else Any
        default = _usual(parameter)
        taken[name] = build(value, kind, f"{path}.{name}", given.inside(place), default)
    for name, parameter in parameters.items():
        if name in taken or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        if name == "key" and given.key is not None:
            taken[name] = given.key
        elif _usual(parameter) is EMPTY:
            if name not in arguments:
                raise ValueError(
                    f"`{path}.{name}` is missing, expected {said(parameter.annotation)}: add "
                    f"`{name} = ...` to `{maker.__name__}`."
                )
            taken[name] = arguments[name]
    made = tried(lambda: maker(**taken), path, maker, fields)
    if scale is None:
        return made
    if not hasattr(made, "__rmul__"):
        advice = near("weight", parameters, "remove it.")
        raise ValueError(f"`{path}.weight` is no field of `{maker.__name__}`: {advice}")
    scale = build(scale, float, f"{path}.weight")
    return tried(lambda: scale * made, path, maker, {"weight": scale})


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
    """A document without what is left out by default, with a type in every table.

    Two documents of one meaning have one minimal form, and a new field with a default changes none.
    """
    match value:
        case dict() if dict in map(_origin, alternatives(kind)):
            return value
        case dict():
            maker, fields = _opened(value, kind, "$", imports, default)
            if maker is None:
                return value
            return {
                "type": value.get("type", public(maker)),
                **minimal_call(maker, fields, imports),
            }
        case list() | tuple():
            inner = item(kind) if tuple in map(_origin, alternatives(kind)) else kind
            return [minimal(part, inner, imports) for part in value]
        case int() if type(value) is int and _is_float(kind):
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
        found = minimal(value, parameter.annotation, imports, _usual(parameter))
        if _usual(parameter) is EMPTY or found != _default(parameter):
            kept[name] = found
    return kept


def _usual(parameter: inspect.Parameter | None) -> Any:
    """The default of a parameter; `EMPTY` if it must be given."""
    if parameter is None or parameter.default is parameter.empty:
        return EMPTY
    return parameter.default


def _default(parameter: inspect.Parameter) -> Any:
    try:
        return write(parameter.default)
    except ValueError:
        return parameter.default


def _opened(
    table: Mapping[str, Any], kind: Any, path: str, imports: Imports, default: Any
) -> tuple[Callable | None, dict[str, Any]]:
    """What a table calls, and with which fields: those of the default where it says no type."""
    fields = {name: value for name, value in table.items() if name != "type"}
    if "type" in table:
        return lookup(table["type"], kind, path, imports), fields
    if isinstance(default, eqx.Module):
        return type(default), {**_fields_of(default), **fields}
    known = classes(kind)
    if len(known) == 1 and not known[0].__name__.startswith("Abstract"):
        return known[0], fields
    return None, fields


def _called(table: Mapping[str, Any], kind: Any, path: str, given: Given, default: Any) -> Any:
    maker, fields = _opened(table, kind, path, given.imports, default)
    if maker is None:
        raise ValueError(
            f"`{path}.type` is missing, expected {said(kind)}: add `type = ...` to the table."
        )
    return call(maker, fields, path, given)


def _several(values: list[Any], kind: Any, path: str, given: Given) -> Any:
    """A tuple, an array, numbers as they are, or a sum."""
    origins = [_origin(part) for part in alternatives(kind)]
    if tuple in origins:
        whole = next(part for part in alternatives(kind) if _origin(part) is tuple)
        parts = enumerate(values)
        return tuple(build(v, item(whole), f"{path}[{i}]", given.inside(i + 1)) for i, v in parts)
    if any(is_array(part) for part in alternatives(kind)):
        try:
            return jnp.asarray(values, float)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"`{path}` got {shortened(values)}, expected {said(kind)}: write numbers, or rows "
                "of as many numbers each."
            ) from error
    if any(hasattr(one, "__add__") for one in classes(kind)) and not accepts_functions(kind):
        parts = [build(v, kind, f"{path}[{i}]", given.inside(i + 1)) for i, v in enumerate(values)]
        if not parts:
            raise ValueError(f"`{path}` got [], expected {said(kind)}: name one.")
        return functools.reduce(operator.add, parts)
    return tuple(build(v, Any, f"{path}[{i}]", given.inside(i + 1)) for i, v in enumerate(values))


def _text(value: str, kind: Any, path: str, given: Given) -> Any:
    """What a name stands for, if it is one: what the run gives, a class, a function."""
    stands = given.names.get(value, ())
    if type(stands) is str:
        raise ValueError(f"`{path}` got {value!r}, {stands}")
    for thing in stands:
        if fits(thing, kind):
            return thing
    function = ":" in value and accepts_functions(kind)
    if fits(value, kind) and not function:
        return value
    wanted = classes(kind)
    if ":" in value or (wanted and value not in given.names):
        try:
            found = lookup(value, kind, path, given.imports)
        except ValueError as error:
            advice = near(value, given.names, "")
            if not advice or ":" in value:
                raise
            raise ValueError(f"`{path}` got {value!r}, expected {said(kind)}: {advice}") from error
        if inspect.isclass(found) or not accepts_functions(kind):
            return call(found, {}, path, given)
        return found
    known = [*choices(kind), *(name for name in given.names if name != value)]
    advice = near(value, choices(kind) if is_plain(kind) else known, "correct it.")
    raise ValueError(f"`{path}` got {value!r:.80}, expected {said(kind)}: {advice}")


def _number(value: Any, kind: Any, given: Given, default: Any) -> Any:
    """A number; where an array is required, that number in each dimension of the run."""
    if type(value) not in (int, float):
        return value
    dim, parts = given.arguments.get("dim"), list(alternatives(kind))
    shapes = [part.dim_str for part in parts if is_array(part)]
    if default is EMPTY and dim and "dim" in shapes:
        return jnp.full(dim, float(value))
    return float(value) if _is_float(kind) else value


def _is_float(kind: Any) -> bool:
    parts = list(alternatives(kind))
    return float in parts and int not in parts


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
        if _usual(parameter) is EMPTY or written != _default(parameter):
            found[name] = written
    return found


def _origin(kind: Any) -> Any:
    return getattr(kind, "__origin__", kind)
