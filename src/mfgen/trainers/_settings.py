"""The settings of a training as a flat table that can be kept in a file and compared.

    objective.parts[1][0] = 0.1,    batch_size = 256,    data = shape, mean and weighted sum, ...

A run that is resumed with other settings would be neither the old run nor the new one. Each number,
name and array that the settings reach has a row, so that the first one that differs can be named.
Arrays are told apart by sums, compared up to rounding: another machine may differ in last digits.
Functions are known by their name and what they close over. Names of rows that only one of two
tables has belong to another version of a library, and are not compared.
"""

import dataclasses
import functools
import inspect
import math
import numbers
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_DEPTH = 16  # of what is looked through; cycles end there
_BLOCK = 2**16
_ROUNDING = 1e-5  # relative to the mean size of an array's elements


def described(**settings: Any) -> dict[str, Any]:
    """The table of some settings, of numbers, texts and lists alone."""
    return dict(row for name, value in settings.items() for row in _rows(name, value, _DEPTH))


def first_change(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """Name, value now and value before of the first row that differs; `None` if none does."""
    for name, value in now.items():
        if name in before and not _same(before[name], value):
            shown = [_shown(part) for part in (value, before[name])]
            return name, shown[0], shown[1] if shown[0] != shown[1] else "other values"
    return None


def _rows(name: str, value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    if depth == 0:
        return
    if value is None or isinstance(value, (bool, str)):
        yield name, value
    elif isinstance(value, numbers.Integral):
        yield name, int(value)
    elif isinstance(value, numbers.Real):
        yield name, float(value)
    elif isinstance(value, (np.ndarray, jax.Array)):
        yield name, _summary(value)
    elif isinstance(value, jax.ShapeDtypeStruct):
        yield name, [list(value.shape), str(value.dtype)]
    else:
        kind, parts = _parts(value)
        yield name, kind
        for part, inner in parts.items():
            yield from _rows(f"{name}{part}", inner, depth - 1)


def _parts(value: Any) -> tuple[str, dict[str, Any]]:
    """A name for the kind of a value, and the values it is made of."""
    kind = getattr(value, "__qualname__", type(value).__qualname__)
    if isinstance(value, (tuple, list)):
        return f"{type(value).__name__} of {len(value)}", {f"[{i}]": v for i, v in enumerate(value)}
    if isinstance(value, Mapping):
        return f"{type(value).__name__} of {len(value)}", {f"[{k}]": v for k, v in value.items()}
    if isinstance(value, functools.partial):
        return "partial", {".func": value.func, ".args": value.args, ".keywords": value.keywords}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return kind, {f".{name}": getattr(value, name, None) for name in names}
    if inspect.ismethod(value):
        return kind, {".self": value.__self__}
    function = getattr(value, "__wrapped__", value)
    if not inspect.isfunction(function):
        return kind, {}
    cells, names = function.__closure__ or (), function.__code__.co_freevars
    return kind, {f".{name}": _content(c) for name, c in zip(names, cells, strict=True)}


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _summary(array: np.ndarray | jax.Array) -> list:
    """Shape and kind of an array, the mean, the mean size, and a mean with weights by place."""
    if isinstance(array, jax.Array) and jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        array = jax.random.key_data(array)
    array = np.asarray(array)
    flat = array.reshape(-1)
    if flat.dtype.kind not in "biuf" and not np.issubdtype(flat.dtype, np.floating):
        return [list(array.shape), str(array.dtype)]
    weights, sums = np.cos(np.arange(_BLOCK)), np.zeros(3)
    for start in range(0, flat.size, _BLOCK):
        block = flat[start : start + _BLOCK].astype(np.float64)
        placed = (1.0 + math.cos(start // _BLOCK)) * (block @ weights[: block.size])
        sums += [block.sum(), np.abs(block).sum(), placed]
    return [list(array.shape), str(array.dtype), *(sums / max(flat.size, 1)).tolist()]


def _same(before: Any, now: Any) -> bool:
    if not (isinstance(before, list) and isinstance(now, list)) or before[:2] != now[:2]:
        return before == now or (before != before and now != now)
    if len(before) != len(now):
        return False
    tolerance = _ROUNDING * now[3] if len(now) == 5 and math.isfinite(now[3]) else 0.0
    return bool(np.allclose(before[2:], now[2:], rtol=0, atol=tolerance, equal_nan=True))


def _shown(value: Any) -> str:
    if isinstance(value, list):
        shape = tuple(value[0])
        return f"an array of shape {shape} and mean {value[2]:.6g}" if value[2:] else f"{shape}"
    return str(value)
