"""What public names ask of their arguments before anything is computed: kinds, keys and shapes.

Each check raises in the name of the public object and says what it got, what it expects and what to
write instead. They look at types and shapes alone, on the host, so they cost nothing in a program
that is compiled.
"""

import contextlib
import dataclasses
import functools
import inspect
import math
import typing
from collections.abc import Callable, Iterable, Iterator
from numbers import Real
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from mfgen._near import near


def of_kind(owner: str, name: str, value: object, kind: type, fix: str) -> None:
    """Raises a `TypeError` unless `value` is an instance of `kind`."""
    if isinstance(value, kind):
        return
    if isinstance(value, type):
        raise TypeError(
            f"`{owner}` got the class `{value.__name__}` as {name}, expected an instance of "
            f"`{kind.__name__}`: {fix}."
        )
    raise TypeError(
        f"`{owner}` got {name} of type `{type(value).__name__}`, expected "
        f"{_article(kind.__name__)} `{kind.__name__}`: {fix}."
    )


def of_kinds(part: object, **kinds: tuple[type, str]) -> None:
    """Raises a `TypeError` unless the fields of a part of the library are of their kinds.

    Arguments:
        part: whose fields are looked at; errors are in the name of its class.
        kinds: for each field, the kind and what to pass.
    """
    for name, (kind, fix) in kinds.items():
        of_kind(type(part).__name__, name, getattr(part, name), kind, fix)


def declared(part: object) -> None:
    """Raises unless the fields of a part of the library are of the kinds that its class declares.

    Looked at are fields that are parts of the library themselves, choices and truth values; numbers
    and functions are the class's own matter.

    Raises:
        TypeError, ValueError: in the name of its class, for the first field of another kind.
    """
    for name, kinds, fix in _declared(type(part)):
        value = getattr(part, name)
        if isinstance(value, kinds):
            continue
        kind = next(kind for kind in kinds if kind is not type(None))
        of_kind(type(part).__name__, name, value, kind, fix)
    one_of(part, **_choices(type(part)))


@functools.cache
def _declared(owner: type) -> tuple[tuple[str, tuple[type, ...], str], ...]:
    """The fields of a class that are parts of the library or truth values: kinds, and the fix."""
    found = []
    for name, hint in _hints(owner).items():
        kinds = typing.get_args(hint) or (hint,)
        parts = [kind for kind in kinds if inspect.isclass(kind) and issubclass(kind, eqx.Module)]
        if kinds == (bool,):
            found.append((name, (bool, np.bool_), "pass True or False"))
        elif parts and set(kinds) <= {*parts, type(None)}:
            found.append((name, kinds, "pass one, made by a call of its class"))
    return tuple(found)


@functools.cache
def _choices(owner: type) -> dict[str, tuple[str, ...]]:
    """The fields of a class that are one of several words."""
    hints = _hints(owner).items()
    return {n: typing.get_args(hint) for n, hint in hints if typing.get_origin(hint) is Literal}


def _hints(owner: type) -> dict[str, Any]:
    """What the fields of a class are declared to be, as far as that is known when it runs."""
    fields = {field.name for field in dataclasses.fields(owner)}
    try:
        hints = typing.get_type_hints(owner)
    except Exception:  # annotations of a user's class may be any text
        return {}
    return {name: hint for name, hint in hints.items() if name in fields}


def one_of(part: object, **choices: tuple[str, ...]) -> None:
    """Raises a `ValueError` unless the fields of a part of the library are among their choices."""
    for name, allowed in choices.items():
        if getattr(part, name) not in allowed:
            raise ValueError(
                f"`{type(part).__name__}` got {name} = {getattr(part, name)!r}, expected one of "
                f'{allowed}: pass "{allowed[0]}".'
            )


def a_function(owner: str, name: str, value: object, takes: str) -> None:
    """Raises a `TypeError` unless `value` can be called."""
    if not callable(value) or isinstance(value, type):
        raise TypeError(
            f"`{owner}` got {name} of type `{type(value).__name__}`, expected a function: pass "
            f"one of {takes}."
        )


def a_number(owner: str, name: str, value: Any, fix: str = "") -> None:
    """Raises a `ValueError` unless `value` is one real number, or an array that holds one."""
    shape = np.shape(value) if isinstance(value, list | tuple) else getattr(value, "shape", ())
    advice = fix or f"pass {name}=1.0"
    if shape != ():
        raise ValueError(
            f"`{owner}` got {name} of shape {list(shape)}, expected a number: {advice}."
        )
    if not isinstance(value, Real | Tracer | jax.Array | np.ndarray):
        raise ValueError(
            f"`{owner}` got {name} of type `{type(value).__name__}`, expected a number: {advice}."
        )


def numbers(part: object, *names: str) -> None:
    """Raises a `ValueError` unless the fields of a part of the library are numbers, or absent."""
    for name in names:
        if getattr(part, name) is not None:
            a_number(type(part).__name__, name, getattr(part, name))


def between(owner: str, least: float | int, most: float | int, **values: Any) -> None:
    """Raises a `ValueError` for numbers outside of a range; absent ones pass.

    Names of options, such as `--steps`, are told as they are written on a command line.
    """
    for name, value in values.items():
        if value is not None and not least <= value <= most:
            got = f"{name} {value}" if name.startswith("-") else f"{name} = {value}"
            kind = "a whole number" if isinstance(value, int) else "a number"
            limits = f"from {least:.15g} to {most:.15g}"
            limits = f"of at least {least:.15g}" if most == math.inf else limits
            raise ValueError(f"`{owner}` got {got}, expected {kind} {limits}: correct it.")


def options(owner: str, constructor: Callable, given: Iterable[str]) -> None:
    """Raises a `TypeError` for options that a constructor does not have, with the nearest name."""
    known = inspect.signature(constructor).parameters
    for name in given:
        if name in known:
            continue
        fix = near(name, known, "leave it out.")
        raise TypeError(
            f"`{owner}` got the option {name}, expected those of `{constructor.__name__}`: {fix}"
        )


def a_finite_number(owner: str, name: str, value: Any) -> None:
    """As `a_number`, and a `ValueError` for nan and infinity; what is traced passes."""
    a_number(owner, name, value)
    if not isinstance(value, Tracer) and not math.isfinite(value):
        raise ValueError(f"`{owner}` got {name} = {value}, expected a finite number.")


def a_key(owner: str, key: object) -> None:
    """Raises a `TypeError` unless `key` is one random key, of the new or the old style."""
    if isinstance(key, jax.Array):
        new = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
        if (new and key.ndim == 0) or (key.dtype == jnp.uint32 and key.ndim == 1):
            return
        got = f"an array of shape {key.shape} and type {key.dtype}"
    else:
        got = repr(key) if isinstance(key, (int, type(None))) else f"a `{type(key).__name__}`"
    raise TypeError(f"`{owner}` got key = {got}, expected one random key: pass jax.random.key(0).")


def scalar_valued(owner: str, name: str, function: Callable, *arguments: Any) -> None:
    """Raises a `TypeError` if the function is known to return anything but one real number.

    A function that cannot be evaluated at shapes alone is left to where it is used.
    """
    try:
        found = jax.eval_shape(lambda *taken: Boxed(function(*taken)), *arguments)
    except Exception:
        return
    _refuse_output(owner, name, found.value)


class Unfit(ValueError):
    """Something that cannot be evaluated at a point of the shape it got."""


@contextlib.contextmanager
def evaluated(owner: str, what: str, x: Any) -> Iterator[None]:
    """Says in the name of `owner` that something cannot be evaluated at x, where the body fails."""
    try:
        yield
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        if str(error).startswith("`"):
            raise
        raise Unfit(
            f"`{owner}` got {what} that cannot be evaluated at a point of shape {jnp.shape(x)} "
            f"({reason(error)}), expected one for points of this shape: pass one of the same game, "
            "or correct its function."
        ) from error


def reason(error: BaseException) -> str:
    """The first line of what an exception says; its kind where it says nothing."""
    lines = str(error).splitlines()
    return lines[0] if lines and lines[0] else f"it raises {type(error).__name__}"


def shortened(value: object, most: int = 40) -> str:
    """A value as it is written, without what is too long for an error."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= most else f"{text[:most]}..."


def listed(values: Iterable[object], most: int = 8) -> str:
    """Some values in a list, the first ones where there are many."""
    held = list(values)
    shown = [shortened(repr(value)) for value in held[:most]]
    more = [f"... {len(held) - most} more"] if len(held) > most else []
    return f"[{', '.join(shown + more)}]"


@jax.tree_util.register_pytree_node_class
class Boxed:
    """Any result at all, as a tree of arrays."""

    def __init__(self, value: Any):
        self.value = value

    def tree_flatten(self):
        return (self.value,), None

    @classmethod
    def tree_unflatten(cls, _, children):
        return cls(*children)


def _refuse_output(owner: str, name: str, found: Any) -> None:
    got = f"a `{type(found).__name__}`"
    if hasattr(found, "shape"):
        if found.shape == () and jnp.issubdtype(found.dtype, jnp.floating):
            return
        got = f"an array of shape {found.shape}"
        if found.shape == ():
            got = f"a number of type {found.dtype}"
    raise TypeError(
        f"`{owner}` got {name} that returns {got}, expected one real number, of shape (): return "
        "a scalar, such as 0.5 * v @ v."
    )


def _article(name: str) -> str:
    return "an" if name[0] in "AEIO" or name == "MFG" else "a"
