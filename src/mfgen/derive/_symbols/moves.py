"""Operations that only move the entries of an array.

Where it is not plain to see where they go, JAX itself moves their positions: gathers, paddings and
updates share this rule. Where they go must be known numbers. Here is also what kind of numbers an
operand of a program holds, and what the numbers are where they are known.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.extend.core as jex
import jax.numpy as jnp
import numpy as np
import sympy as sp


class OpaqueError(Exception):
    """An operation for which no formula is known."""


# Which operands are moved; the others say where to.
_BY_POSITIONS: dict[str, tuple[int, ...]] = {
    "dynamic_slice": (0,),
    "dynamic_update_slice": (0, 1),
    "gather": (0,),
    "pad": (0, 1),
    "scatter": (0, 2),
}
# (operand, parameters, shape of the output) -> output.
_PLAINLY: dict[str, Callable[[np.ndarray, dict[str, Any], tuple[int, ...]], np.ndarray]] = {
    **dict.fromkeys(("copy", "copy_p"), lambda operand, given, shape: operand),
    **dict.fromkeys(
        ("expand_dims", "reshape", "squeeze"), lambda operand, given, shape: operand.reshape(shape)
    ),
    "broadcast_in_dim": lambda operand, given, shape: np.broadcast_to(
        operand.reshape(_stretched(operand.shape, given["broadcast_dimensions"], len(shape))), shape
    ),
    "rev": lambda operand, given, shape: np.flip(operand, given["dimensions"]),
    "slice": lambda operand, given, shape: operand[
        tuple(map(slice, given["start_indices"], given["limit_indices"], _strides(given, shape)))
    ],
    "transpose": lambda operand, given, shape: operand.transpose(given["permutation"]),
}
MOVES = frozenset([*_BY_POSITIONS, *_PLAINLY])
_KINDS = {
    "truth": jnp.bool_,
    "unsigned": jnp.unsignedinteger,
    "integer": jnp.signedinteger,
    "real": jnp.floating,
    "complex": jnp.complexfloating,
}


def kind(atom: Any) -> str:
    """The kind of an operand: "truth", "integer", "real", "unsigned", "complex" or "other"."""
    dtype = atom.aval.dtype
    return next((name for name, of in _KINDS.items() if jnp.issubdtype(dtype, of)), "other")


def moved(equation: jex.JaxprEqn, values: list[np.ndarray]) -> np.ndarray:
    """The entries where the operation puts them.

    Raises:
        OpaqueError: if where they go depends on symbols, or something else is put between them.
    """
    name, shape = equation.primitive.name, equation.outvars[0].aval.shape  # pyright: ignore[reportAttributeAccessIssue]
    if name in _PLAINLY:
        return _PLAINLY[name](values[0], equation.params, shape)
    operands, pool, sources = [], [], _BY_POSITIONS[name]
    for index, (value, atom) in enumerate(zip(values, equation.invars, strict=True)):
        if index in sources:
            # Whole numbers of 32 bits, whatever the entries are: 300 positions are not in 8 bits.
            positions = len(pool) + np.arange(value.size, dtype=np.int32)
            operands.append(jnp.asarray(positions.reshape(value.shape)))
            pool += list(value.reshape(-1))
        elif is_known(value):
            operands.append(jnp.asarray(known(value, atom)))
        else:
            raise OpaqueError(f"`{name}` at a place that is not fixed")
    taken = np.asarray(equation.primitive.bind(*operands, **equation.params))
    if np.any(taken < 0) or np.any(taken >= len(pool)):
        raise OpaqueError(f"`{name}` outside its array")
    made = np.empty(taken.shape, dtype=object)
    for index in np.ndindex(taken.shape):
        made[index] = pool[int(taken[index])]
    return made


def _stretched(shape: tuple[int, ...], dims: tuple[int, ...], ndim: int) -> list[int]:
    return [shape[dims.index(axis)] if axis in dims else 1 for axis in range(ndim)]


def _strides(given: dict[str, Any], shape: tuple[int, ...]) -> tuple[int, ...]:
    return given["strides"] or (1,) * len(shape)


def scattered(equation: jex.JaxprEqn, values: list[np.ndarray]) -> np.ndarray:
    """`scatter-add`: where an update goes is seen when it is one, and all others are zero."""
    operand, where, updates = values
    if not is_known(where):
        raise OpaqueError("`scatter-add` at a place that is not fixed")
    dtype, at = equation.invars[0].aval.dtype, known(where, equation.invars[1])  # pyright: ignore[reportAttributeAccessIssue]
    start, single = jnp.zeros(operand.shape, dtype), jnp.eye(updates.size, dtype=dtype)
    add = lambda update: equation.primitive.bind(start, at, update, **equation.params)
    hit = np.asarray(jax.vmap(add)(single.reshape(updates.size, *updates.shape)))
    made = operand.copy()
    for index, update in enumerate(updates.reshape(-1)):
        for place in np.argwhere(hit[index]):
            made[tuple(place)] += update
    return made


def is_known(value: np.ndarray) -> bool:
    """Whether all entries are numbers or truth values."""
    known = lambda entry: entry in (sp.true, sp.false) or bool(entry.is_number)
    return all(known(entry) for entry in value.reshape(-1))


def known(value: np.ndarray, atom: Any) -> np.ndarray:
    """The numbers, in the type of the operand."""
    to = {"truth": bool, "real": float, "complex": complex}.get(kind(atom), int)
    entries = [to(entry) for entry in value.reshape(-1)]
    return np.array(entries, atom.aval.dtype).reshape(value.shape)
