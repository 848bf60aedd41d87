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

import jax
import jax.numpy as jnp

from mfgen._check import shortened
from mfgen._near import near
from mfgen._types import Key
from mfgen.lab._imports import Imports
from mfgen.lab._minimal import EMPTY, opened, usual
from mfgen.lab._names import (
    accepts_functions,
    alternatives,
    choices,
    classes,
    fits,
    is_array,
    is_float,
    is_plain,
    item,
    lookup,
    origin,
    said,
    signature,
    unfit,
)
from mfgen.lab._refusals import refuse_field, tried

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
        case dict() if is_plain(kind) or dict in map(origin, alternatives(kind)):
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
        raise unfit(path, got[:80], kind, near(str(value), choices(kind), "correct it."))
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
        default = usual(parameter)
        taken[name] = build(value, kind, f"{path}.{name}", given.inside(place), default)
    for name, parameter in parameters.items():
        if name in taken or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        if name == "key" and given.key is not None:
            taken[name] = given.key
        elif usual(parameter) is EMPTY:
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


def _called(table: Mapping[str, Any], kind: Any, path: str, given: Given, default: Any) -> Any:
    maker, fields = opened(table, kind, path, given.imports, default)
    if maker is None:
        raise ValueError(
            f"`{path}.type` is missing, expected {said(kind)}: add `type = ...` to the table."
        )
    return call(maker, fields, path, given)


def _several(values: list[Any], kind: Any, path: str, given: Given) -> Any:
    """A tuple, an array, numbers as they are, or a sum."""
    whole = next((part for part in alternatives(kind) if origin(part) is tuple), None)
    if whole is None and any(is_array(part) for part in alternatives(kind)):
        try:
            return jnp.asarray(values, float)
        except (TypeError, ValueError) as error:
            advice = "write numbers, or rows of as many numbers each."
            raise unfit(path, shortened(values), kind, advice) from error
    adds = whole is None and any(hasattr(one, "__add__") for one in classes(kind))
    adds = adds and not accepts_functions(kind)
    inner = kind if adds else Any if whole is None else item(whole)
    members = enumerate(values, start=1)
    parts = [build(v, inner, f"{path}[{i - 1}]", given.inside(i)) for i, v in members]
    if adds and not parts:
        raise unfit(path, "[]", kind, "name one.")
    return functools.reduce(operator.add, parts) if adds else tuple(parts)


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
            raise unfit(path, repr(value), kind, advice) from error
        if inspect.isclass(found) or not accepts_functions(kind):
            return call(found, {}, path, given)
        return found
    known = [*choices(kind), *(name for name in given.names if name != value)]
    advice = near(value, choices(kind) if is_plain(kind) else known, "correct it.")
    raise unfit(path, f"{value!r:.80}", kind, advice)


def _number(value: Any, kind: Any, given: Given, default: Any) -> Any:
    """A number; where an array is required, that number in each dimension of the run."""
    if type(value) not in (int, float):
        return value
    dim, parts = given.arguments.get("dim"), list(alternatives(kind))
    shapes = [part.dim_str for part in parts if is_array(part)]
    if default is EMPTY and dim and "dim" in shapes:
        return jnp.full(dim, float(value))
    return float(value) if is_float(kind) else value
