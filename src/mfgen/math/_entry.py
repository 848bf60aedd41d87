"""Validation of arrays: any container of numbers as floats of the same value.

    `real`      any container -> floats on the host, or one line that says what is wrong with it
    `floating`  the same for parameters, as JAX arrays of one floating type
    `point`     one point of a space of known dimension
    `rows`      a non-empty matrix of finite numbers, one row for each point
    `single`    points in the working precision, if it can tell them apart

Half precision, integers, booleans, foreign byte orders, lists, and frames (anything with
`__array__` or `to_numpy`) become floats of the same value. Masked values, text, objects, complex
numbers, dates and records are refused. Floats of 32 bits resolve x to steps of |x| 2^-23: values
far from zero, such as UNIX times, lose their last digits when they are cast, and points that were
different become one. `single` compares the step with the deviation of each feature.

An array that JAX traces passes as it is: its type and shape are known, its values are not.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool

from mfgen import _check

# Steps of the working precision that a deviation has at least, as where the mean of the points is
# 2e5 deviations from zero or less: rounding adds a part 1e-4 to a variance then.
STEPS = 32
_EXACT = 2**24  # whole numbers up to here are floats of 32 bits


def real(values: Any, said: str) -> Any:
    """The values as floats of 32 or 64 bits on the host; traced ones as they are.

    Arguments:
        values: numbers in any container.
        said: how an error begins, such as "`data` has".

    Raises:
        ValueError: for masked, complex or ragged values, text, dates, objects and records.
    """
    if isinstance(values, Tracer):
        return values
    array = _read(values, said)
    if isinstance(array, Tracer):
        return array
    kind, dtype = array.dtype.kind, array.dtype
    if kind in "iub" or jnp.issubdtype(dtype, np.integer):
        small = kind == "b" or dtype.itemsize < 4 or _largest(array) <= _EXACT
        return array.astype(np.float32 if small else np.float64)
    if not jnp.issubdtype(dtype, np.floating):
        raise ValueError(
            f"{said} dtype {dtype}, expected real numbers: convert it with `.astype(float)` and "
            "leave out columns of text or objects."
        )
    wanted = np.float32 if dtype.itemsize <= 4 else np.float64
    return array.astype(wanted, copy=False)


def given(values: Any, said: str) -> Any:
    """As `real`, but arrays of JAX stay where they are."""
    if not isinstance(values, jax.Array):
        return real(values, said)
    if jnp.issubdtype(values.dtype, jnp.floating):
        return values if values.dtype.itemsize >= 4 else values.astype(np.float32)
    return real(values, said) if not isinstance(values, Tracer) else values.astype(float)


def finite(array: Any, said: str) -> Any:
    """The array, or an error that says how many values are not finite and where the first is."""
    if isinstance(array, Tracer):
        return array
    bad = ~np.isfinite(array)
    if bad.any():
        first = [int(i) for i in np.argwhere(bad)[0]]
        raise ValueError(
            f"{said} {int(bad.sum())} values that are NaN or infinite, the first at {first}: "
            "drop these rows or fill the values in."
        )
    return array


def floating(owner: str, **values: Any) -> list[Array]:
    """Parameters as JAX arrays of the floating type that holds them all, 32 bits at least."""
    read = [given(value, f"`{owner}` got {name} with") for name, value in values.items()]
    arrays = [jnp.asarray(value) for value in read]
    dtype = jnp.promote_types(jnp.result_type(float, *arrays), np.float32)
    return [array.astype(dtype) for array in arrays]


def point(owner: str, x: Any, dim: int) -> Array:
    """One point `[dim]` of a known space, as floats of 32 bits at least.

    Raises:
        ValueError: in the name of `owner`, for a point of another space and for many points.
    """
    place = given(x, f"`{owner}` got a point with")
    place = place if isinstance(place, jax.Array) else jnp.asarray(place)
    if place.shape != (dim,):
        raise ValueError(
            f"`{owner}` got a point of shape {place.shape}, expected ({dim},): pass one point of "
            f"{dim} coordinates, and use `jax.vmap` for many."
        )
    return place


def rows(owner: str, name: str, values: Any, fix: str = "") -> Array:
    """Points, or what stands beside them, as a non-empty matrix of finite floats.

    Arguments:
        owner: the public name that was given them.
        name: of the argument.
        values: numbers in any container.
        fix: what else to do where they are no matrix.

    Raises:
        ValueError: in the name of `owner`, for another shape, or numbers that are not finite.
    """
    said = f"`{owner}` got {name}"
    array = given(values, f"{said} with")
    if array.ndim != 2 or array.size == 0:
        raise ValueError(
            f"{said} of shape {array.shape}, expected [n, {'labels' if fix else 'dim'}]: pass a "
            f"non-empty matrix with one row for each point{fix}."
        )
    array = single(array, f"{said} with")
    if not isinstance(array, Tracer):
        bad = ~np.isfinite(np.asarray(array)).all(axis=1)
        if bad.any():
            raise ValueError(
                f"{said} with NaN or infinite entries in {int(bad.sum())} of {bad.size} rows, "
                f"expected finite numbers: drop row {int(np.argmax(bad))}."
            )
    return array


def single(array: Any, said: str) -> Array:
    """Points `[n, dim]` as an array of JAX, in the working precision or less.

    Raises:
        ValueError: where a feature varies and its values lose what tells them apart.
    """
    wide = not isinstance(array, jax.Array)
    if wide and array.size and array.dtype.itemsize > jnp.result_type(float).itemsize:
        refuse_unresolved(array, said, given=True)
    return jnp.asarray(array)


def refuse_unresolved(array: np.ndarray, said: str, *, given: bool = False) -> None:
    """Raises a `ValueError` if the working precision does not resolve a feature that varies.

    Arguments:
        array: finite points, `[n, dim]`.
        said: how an error begins.
        given: values that are floats of the working precision already are all right.
    """
    bad = np.flatnonzero(unresolved(array, given=given))
    if bad.size:
        column = array[:, bad[0]].astype(np.float64)
        dtype, spread, largest = jnp.result_type(float), column.std(), np.abs(column).max()
        said = f"{said} a deviation of {spread:.3g} in feature {bad[0]}"
        if spread < _smallest():
            raise ValueError(
                f"{said}, expected at least {_smallest():.0e}, whose square {dtype} can hold: "
                "express the data in smaller units."
            )
        raise ValueError(
            f"{said} at values up to {largest:.6g}, which {dtype} resolves to steps of "
            f"{largest * float(jnp.finfo(dtype).eps):.2g}, expected at least {STEPS} steps in a "
            "deviation: subtract the mean of each feature in float64, `x - x.mean(axis=0)`."
        )


def unresolved(array: np.ndarray, *, given: bool = False) -> Bool[np.ndarray, "dim"]:
    """Which features vary by less than the working precision tells apart at their values."""
    dtype = jnp.result_type(float)
    # What is not finite, or far beyond the range, is refused elsewhere.
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        low, high = array.min(axis=0).astype(np.float64), array.max(axis=0).astype(np.float64)
        spread = array.std(axis=0, dtype=np.float64)
        if given:
            lost = 2 * np.abs(array - array.astype(dtype)).max(axis=0)
        else:
            lost = np.maximum(np.abs(low), np.abs(high)) * float(jnp.finfo(dtype).eps)
        return (low < high) & ((lost > spread / STEPS) | (spread < _smallest()))


def _smallest() -> float:
    """The least deviation whose square the working precision holds."""
    return float(np.sqrt(float(jnp.finfo(jnp.result_type(float)).tiny)))


def _read(values: Any, said: str) -> Any:
    """A container as an array of NumPy, without what it hides."""
    parts = values if isinstance(values, list | tuple) else []  # whose masks `asanyarray` drops
    if not isinstance(values, np.ndarray | jax.Array):
        to_numpy = getattr(values, "to_numpy", None)
        if to_numpy is not None and getattr(values, "__array__", None) is None:
            values = to_numpy()
    try:
        # `asarray` would drop a mask.
        array = np.asanyarray(values)
    except jax.errors.TracerArrayConversionError:
        return jnp.asarray(values)
    except Exception as error:
        raise ValueError(
            f"{said} a `{type(values).__name__}` that is no array ({_check.reason(error)}): "
            "pass rows of equal length, or an array of NumPy."
        ) from error
    hidden = sum(int(np.ma.getmaskarray(a).sum()) for a in (array, *parts) if np.ma.is_masked(a))
    if hidden:
        raise ValueError(
            f"{said} {hidden} masked values, expected none: drop their rows, or put numbers there "
            "with `.filled(...)`."
        )
    return np.asarray(array)


def _largest(array: np.ndarray) -> float:
    return float(max(abs(int(array.max())), abs(int(array.min())))) if array.size else 0.0
