"""The public names of mfgen, as documents use them.

A name is looked for in `mfgen` itself, then in its public namespaces, the packages below it. Where
two things share a name, the one that fits its place is meant; `solvers.Grid` says which.
"""

import collections.abc
import functools
import inspect
import pkgutil
import textwrap
from collections.abc import Callable, Iterator
from importlib import import_module
from types import ModuleType, NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import jaxtyping
import numpy as np

from mfgen._near import near
from mfgen.lab._imports import Imports

_UNIONS = (Union, UnionType)
_OF_NUMBERS = (
    *("builtins", "typing", "collections.abc", "numpy", "jax", "jaxlib._jax", "mfgen._types"),
)
_CONTAINED = {
    "a number": ("a whole number",),
    "numbers": ("a number", "a whole number", "true or false"),
}
_LISTED = 300  # characters of names in an error


@functools.cache
def namespaces() -> tuple[ModuleType, ...]:
    """`mfgen`, and the packages below it."""
    root = import_module("mfgen")
    packages = [m.name for m in pkgutil.iter_modules(root.__path__) if m.ispkg]
    below = [import_module(f"mfgen.{name}") for name in packages if name != "lab"]
    return root, *below


def named(name: str) -> list[Any]:
    """All public things of that name, or of that name in a namespace, `solvers.Grid`."""
    *places, name = name.split(".")
    found = []
    for space in namespaces():
        if places and space.__name__.split(".")[1:] != places:
            continue
        if not name.startswith("_") and name in dir(space):
            found.append(getattr(space, name))
    return [thing for thing in found if callable(thing)]


def public(thing: Any) -> str:
    """The name of a class or function: the public one, or that of its module and itself."""
    name = thing.__name__
    if any(known is thing for known in named(name)):
        return name
    return f"{thing.__module__}:{thing.__qualname__}"


def everything() -> set[str]:
    """All public names, except those of abstract classes; nothing is imported for them."""
    names = {name for space in namespaces() for name in dir(space)}
    return {name for name in names if not name.startswith(("_", "Abstract"))}


def members(kind: Any) -> list[str]:
    """The public names of what fits a place, except abstract classes."""
    made = lambda name: any(makes(thing, kind, known=True) for thing in named(name))
    return sorted(filter(made, everything())) if classes(kind) else []


def lookup(name: str, kind: Any, path: str, imports: Imports) -> Any:
    """What a name stands for in its place.

    Raises:
        ValueError: if there is nothing of that name that fits, with the nearest one that does.
    """
    if ":" in name:
        try:
            return imports.load(name)
        except ValueError as error:
            raise ValueError(f"`{path}`: {error}") from error
    found = [] if name.startswith("Abstract") else named(name)
    fitting = [thing for thing in found if makes(thing, kind)]
    if fitting:
        return fitting[0]
    known = members(kind)
    names = textwrap.shorten(", ".join(known), _LISTED, placeholder=" ...")
    listed = f"choose one of {names}" if known else "see `mfgen list`"
    advice = near(name, known, f"{listed}, or `module:Name` for your own.")
    place, got = (path, f"`{name}`") if found else (f"{path}.type", f"{name!r:.80}")
    raise unfit(place, got, kind, advice)


def unfit(path: str, got: str, kind: Any, advice: str) -> ValueError:
    """The error of something in a place of another kind."""
    return ValueError(f"`{path}` got {got}, expected {said(kind)}: {advice}")


@functools.cache
def signature(maker: Callable) -> inspect.Signature:
    """The signature of a class or a function, its annotations as types where they can be read.

    A field whose converter takes anything is of the kind that it is converted to.
    """
    try:
        found = inspect.signature(maker, eval_str=True)
        kinds = get_type_hints(maker) if inspect.isclass(maker) else {}
    except NameError:  # an annotation that only a type checker can read
        return inspect.signature(maker)
    anything = (Any, inspect.Parameter.empty)
    parameters = [
        p.replace(annotation=kinds.get(p.name, p.annotation)) if p.annotation in anything else p
        for p in found.parameters.values()
    ]
    return found.replace(parameters=parameters)


def classes(kind: Any) -> list[type]:
    """The classes among what an annotation allows, except numbers, text and arrays."""
    if get_origin(kind) in _UNIONS:
        return [part for arg in get_args(kind) for part in classes(arg)]
    plain = inspect.isclass(kind) and get_origin(kind) is None and not is_array(kind)
    known = plain and kind.__module__ not in _OF_NUMBERS
    return [kind] if known and kind is not NoneType else []


def makes(maker: Callable, kind: Any, *, known: bool = False) -> bool:
    """Whether a class or a function gives something of a kind, as far as its annotations say."""
    wanted = classes(kind)
    if not wanted or accepts_functions(kind):
        return not known
    if inspect.isclass(maker):
        return any(issubclass(maker, one) for one in wanted)
    returned = signature(maker).return_annotation
    made = classes(returned)
    if not made:
        return not known and (is_array(returned) or returned is inspect.Signature.empty)
    return any(issubclass(one, other) for one in made for other in wanted)


def alternatives(kind: Any) -> Iterator[Any]:
    """What a union allows, one by one."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) in _UNIONS:
        for part in get_args(kind):
            yield from alternatives(part)
    else:
        yield kind


def is_array(kind: Any) -> bool:
    """Whether an annotation is that of an array."""
    return inspect.isclass(kind) and issubclass(kind, jaxtyping.AbstractArray)


def is_plain(kind: Any) -> bool:
    """Whether an annotation allows numbers, text, truth values and lists alone."""
    plain = (bool, int, str, tuple, NoneType, np.integer, Literal)
    kinds = [get_origin(part) or part for part in alternatives(kind)]
    return all(part in plain or is_one(part) for part in kinds)


def is_one(kind: Any) -> bool:
    """Whether an annotation is that of one real number."""
    return kind is float or (is_array(kind) and not kind.dim_str)


def is_float(kind: Any) -> bool:
    """Whether whole numbers in a place of this kind are real ones."""
    parts = list(alternatives(kind))
    return float in parts and int not in parts


def origin(kind: Any) -> Any:
    """A kind without what it holds: `tuple` of a tuple of numbers."""
    return getattr(kind, "__origin__", kind)


def accepts_functions(kind: Any) -> bool:
    """Whether an annotation allows any function."""
    called = collections.abc.Callable
    return any(get_origin(part) is called or part is called for part in alternatives(kind))


def fits(value: Any, kind: Any) -> bool:
    """Whether a value is of a kind, as far as the annotation says."""
    return any(_fits(value, part) for part in alternatives(kind))


def _fits(value: Any, kind: Any) -> bool:
    origin = get_origin(kind)
    if kind in (Any, inspect.Parameter.empty) or not (origin or inspect.isclass(kind)):
        return True
    if origin is Literal:
        return value in get_args(kind)
    if type(value) in (str, bool):
        return kind is type(value)
    if kind is float or is_array(kind):
        known = type(value) in (int, float)
        return known or (hasattr(value, "shape") and (not is_one(kind) or value.shape == ()))
    if accepts_functions(kind):
        return callable(value)
    if origin is tuple and type(value) is tuple:
        return all(fits(part, item(kind)) for part in value)
    return isinstance(value, origin or kind)


def choices(kind: Any) -> list[str]:
    """The words that an annotation allows."""
    words = (part for part in alternatives(kind) if get_origin(part) is Literal)
    return [str(value) for part in words for value in get_args(part)]


def item(kind: Any) -> Any:
    """The kind of the members of a tuple."""
    inner = [arg for arg in get_args(kind) if arg is not Ellipsis]
    return inner[0] if inner else Any


def said(kind: Any) -> str:
    """A kind in words."""
    words = dict.fromkeys(_said(part) for part in alternatives(kind) if part is not NoneType)
    for broad, narrow in _CONTAINED.items():
        if broad in words:
            words = {word: None for word in words if word not in narrow}
    return " or ".join(words) or "a value"


def _said(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(f'"{value}"' for value in get_args(kind))
    if accepts_functions(kind):
        return "a function"
    plain = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}
    plain |= {np.integer: "a whole number", tuple: "a list", complex: "a number"}
    if kind in plain:
        return plain[kind]
    if is_array(kind):
        return "numbers" if kind.dim_str else "a number"
    if not classes(kind):
        return "numbers" if inspect.isclass(kind) else "a list" if get_origin(kind) else "a value"
    return f"an `{kind.__name__}`" if kind.__name__[0] in "AEIO" else f"a `{kind.__name__}`"
