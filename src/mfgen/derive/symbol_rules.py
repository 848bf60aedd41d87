"""JAX's operations on arrays of SymPy expressions, by the name JAX gives each of them.

Operations that only move entries are run by JAX itself on an array of positions, so that slices,
gathers, transpositions and reshapes share one rule.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax.extend.core as jex
import numpy as np
import sympy as sp
from jax import lax
from sympy.logic.boolalg import Boolean

from mfgen.derive.symbol_number import numbers
from mfgen.math.program import operation

MOVES = frozenset(
    [
        *("broadcast_in_dim", "copy", "copy_p", "dynamic_slice", "expand_dims", "gather", "rev"),
        *("reshape", "slice", "squeeze", "transpose"),
    ]
)

ENTRYWISE: dict[str, Callable[..., sp.Basic]] = {
    "abs": sp.Abs,
    "acos": sp.acos,
    "add": lambda a, b: a + b,
    "add_any": lambda a, b: a + b,
    "and": sp.And,
    "asin": sp.asin,
    "asinh": sp.asinh,
    "atan": sp.atan,
    "atan2": sp.atan2,
    "cbrt": lambda a: sp.sign(a) * sp.Abs(a) ** sp.Rational(1, 3),
    "convert_element_type": lambda a: _as_number(a),
    "clamp": lambda low, a, high: sp.Min(sp.Max(a, low), high),
    "cos": sp.cos,
    "cosh": sp.cosh,
    "div": lambda a, b: a / b,
    "eq": lambda a, b: sp.Eq(a, b),
    "erf": sp.erf,
    "erfc": sp.erfc,
    "exp": sp.exp,
    "exp2": lambda a: 2**a,
    "expm1": lambda a: sp.exp(a) - 1,
    "ge": lambda a, b: sp.Ge(a, b),
    "gt": lambda a, b: sp.Gt(a, b),
    "is_finite": lambda a: sp.true,
    "le": lambda a, b: sp.Le(a, b),
    "log": sp.log,
    "log1p": lambda a: sp.log(1 + a),
    "logistic": lambda a: 1 / (1 + sp.exp(-a)),
    "lt": lambda a, b: sp.Lt(a, b),
    "max": sp.Max,
    "min": sp.Min,
    "mul": lambda a, b: a * b,
    "ne": lambda a, b: sp.Ne(a, b),
    "neg": lambda a: -a,
    "not": sp.Not,
    "or": sp.Or,
    "pow": lambda a, b: a**b,
    "rsqrt": lambda a: 1 / sp.sqrt(a),
    "sign": sp.sign,
    "sin": sp.sin,
    "sinh": sp.sinh,
    "sqrt": sp.sqrt,
    "square": lambda a: a**2,
    "sub": lambda a, b: a - b,
    "tan": sp.tan,
    "tanh": sp.tanh,
}

_REDUCTIONS: dict[str, Callable[[Sequence[Any]], Any]] = {
    "reduce_max": lambda entries: sp.Max(*entries),
    "reduce_min": lambda entries: sp.Min(*entries),
    "reduce_or": lambda entries: sp.Or(*entries),
    "reduce_and": lambda entries: sp.And(*entries),
    "reduce_prod": lambda entries: sp.Mul(*entries),
    "reduce_sum": lambda entries: sp.Add(*entries),
}

# Of whole arrays: (parameters of the operation, operands) -> outputs.
_WHOLE: dict[str, Callable[[dict[str, Any], list[np.ndarray]], list[np.ndarray]]] = {
    **dict.fromkeys(
        ("optimization_barrier", "reduce_precision", "stop_gradient"), lambda given, values: values
    ),
    "concatenate": lambda given, values: [np.concatenate(values, axis=given["dimension"])],
    "cumsum": lambda given, values: [np.cumsum(values[0], axis=given["axis"])],
    "dot_general": lambda given, values: [
        _contracted(values[0], values[1], given["dimension_numbers"])
    ],
    "integer_pow": lambda given, values: [_entrywise(lambda a: a ** given["y"], values)],
    "select_n": lambda given, values: [_entrywise(_select, values)],
    "stack": lambda given, values: [np.stack(values, axis=given.get("axis", 0))],
    "split": lambda given, values: list(
        np.split(values[0], np.cumsum(given["sizes"])[:-1], axis=given["axis"])
    ),
}


class OpaqueError(Exception):
    """An operation for which no formula is known."""


def apply(equation: jex.JaxprEqn, values: list[np.ndarray]) -> list[np.ndarray]:
    """One operation on object arrays of expressions.

    Raises:
        OpaqueError: if there is no rule for it.
    """
    name, given = equation.primitive.name, equation.params
    if name in MOVES:
        return [_moved(equation, values)]
    if name in ENTRYWISE:
        return [_entrywise(ENTRYWISE[name], values)]
    if name in _REDUCTIONS:
        return [_reduced(_REDUCTIONS[name], values[0], given["axes"])]
    if name in _WHOLE and not given.get("reverse"):
        return _WHOLE[name](given, values)
    if all(_is_known(value) for value in values):
        known = [_known(value, atom) for value, atom in zip(values, equation.invars, strict=True)]
        return [numbers(output) for output in operation(equation)(*known)]
    raise OpaqueError(f"the operation `{name}`")


def _entrywise(rule: Callable[..., sp.Basic], values: list[np.ndarray]) -> np.ndarray:
    spread = np.broadcast_arrays(*values)
    made = np.empty(spread[0].shape, dtype=object)
    for index in np.ndindex(made.shape):
        made[index] = rule(*(value[index] for value in spread))
    return made


def _as_number(entry: Any) -> Any:
    if entry in (sp.true, sp.false):
        return sp.Integer(entry == sp.true)
    return sp.Piecewise((1, entry), (0, True)) if isinstance(entry, Boolean) else entry


def _select(which: Any, *cases: Any) -> Any:
    if which in (sp.true, sp.false):
        return cases[int(bool(which))]
    if getattr(which, "is_Integer", False):
        return cases[int(which)]
    return sp.Piecewise((cases[1], which), (cases[0], True))


def _reduced(rule: Callable, values: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    kept = [axis for axis in range(values.ndim) if axis not in axes]
    shape = [values.shape[axis] for axis in kept]
    rows = np.transpose(values, [*kept, *axes]).reshape(*shape, -1)
    made = np.empty(shape, dtype=object)
    for index in np.ndindex(made.shape):
        made[index] = rule(rows[index])
    return made


def _contracted(left: np.ndarray, right: np.ndarray, numbers: Any) -> np.ndarray:
    (over_left, over_right), (batch_left, batch_right) = numbers
    if not batch_left:
        return np.asarray(np.tensordot(left, right, (over_left, over_right)), dtype=object)
    left = np.moveaxis(left, batch_left, range(len(batch_left)))
    right = np.moveaxis(right, batch_right, range(len(batch_right)))
    shift = lambda over, batch: [a - sum(b < a for b in batch) for a in over]
    axes = shift(over_left, batch_left), shift(over_right, batch_right)
    shape = left.shape[: len(batch_left)]
    products = [np.tensordot(left[i], right[i], axes) for i in np.ndindex(shape)]
    return np.stack(products).astype(object).reshape(*shape, *np.shape(products[0]))


def _moved(equation: jex.JaxprEqn, values: list[np.ndarray]) -> np.ndarray:
    operand, *others = values
    if not all(_is_known(other) for other in others):
        raise OpaqueError(f"`{equation.primitive.name}` at a place that is not fixed")
    kind = equation.invars[0].aval
    # Single and double precision both count the positions of any array that is let through.
    positions = np.arange(operand.size).reshape(operand.shape)
    if isinstance(equation.invars[0], jex.Literal):
        return np.full(equation.outvars[0].aval.shape, operand[()], dtype=object)  # pyright: ignore[reportAttributeAccessIssue]
    if np.dtype(kind.dtype).kind == "b":  # pyright: ignore[reportAttributeAccessIssue]
        raise OpaqueError(f"`{equation.primitive.name}` of truth values")
    known = [_known(o, a) for o, a in zip(others, equation.invars[1:], strict=True)]
    start = lax.convert_element_type(positions, kind.dtype)  # pyright: ignore[reportAttributeAccessIssue]
    (taken,) = operation(equation)(start, *known)
    taken = np.asarray(taken, np.float64)
    if not np.all(np.isfinite(taken)) or np.any(taken < 0) or np.any(taken >= max(operand.size, 1)):
        raise OpaqueError(f"`{equation.primitive.name}` outside its array")
    made = np.empty(taken.shape, dtype=object)
    flat = operand.reshape(-1)
    for index in np.ndindex(taken.shape):
        made[index] = flat[int(taken[index])]
    return made


def _is_known(value: np.ndarray) -> bool:
    known = lambda entry: entry in (sp.true, sp.false) or bool(entry.is_number)
    return all(known(entry) for entry in value.reshape(-1))


def _known(value: np.ndarray, atom: Any) -> np.ndarray:
    dtype = atom.aval.dtype
    kind = {"b": bool, "f": float}.get(np.dtype(dtype).kind, int)
    return np.array([kind(entry) for entry in value.reshape(-1)], dtype).reshape(value.shape)
