"""JAX's operations on arrays of SymPy expressions, by the name JAX gives each of them.

What an operation means depends on the types it is given: `and` of truth values is logical, `div` of
integers cuts off, a cast to integers does too, and a cast to another precision is none in exact
arithmetic. So every rule is for real numbers, or for truth values, and is asked by the types of
the program, never by the form of the expressions. What has no rule, no exact meaning (bits,
unsigned integers) or no real value (1 / 0) is refused by name; where all operands are numbers, JAX
computes it.

Operations that only move entries are in `mfgen.derive._symbols.moves`.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import jax.extend.core as jex
import jax.numpy as jnp
import numpy as np
import sympy as sp

from mfgen.derive._symbols.moves import MOVES, OpaqueError, is_known, kind, known, moved, scattered
from mfgen.derive._symbols.number import numbers
from mfgen.math._primitive import names
from mfgen.math._program import operation


def truncated(a: Any) -> Any:
    """a without its fraction, as C and XLA cut it off."""
    return sp.sign(a) * sp.floor(sp.Abs(a))


def _compared(relation: Callable, of_same: bool, of_nan: bool = False) -> Callable:
    """A comparison; a number that may not be one is not compared with itself."""

    def compare(a: Any, b: Any) -> Any:
        if sp.nan in (a, b):
            return sp.true if of_nan else sp.false
        if a == b and not a.is_extended_real:
            raise OpaqueError("a comparison that asks whether something is a number")
        return sp.S(of_same) if a == b else relation(a, b)

    return compare


def _finite(a: Any) -> Any:
    if a.is_real or a in (sp.oo, -sp.oo, sp.nan):
        return sp.S(bool(a.is_real))
    raise OpaqueError("the operation `is_finite` of what may be infinite")


def _either(a: Any, b: Any) -> Any:
    return sp.Or(sp.And(a, sp.Not(b)), sp.And(sp.Not(a), b))


# Of real numbers, floating-point or integers: first those that have the same name in SymPy.
_SAME = names(
    """acos acosh asin asinh atan atan2 atanh cos cosh erf erfc exp floor log sign sin sinh sqrt
    tan tanh"""
)
NUMERIC: dict[str, Callable[..., Any]] = {
    **{name: getattr(sp, name) for name in _SAME},
    "abs": sp.Abs,
    "add": operator.add,
    "add_any": operator.add,
    "cbrt": lambda a: sp.sign(a) * sp.Abs(a) ** sp.Rational(1, 3),
    "ceil": sp.ceiling,
    "clamp": lambda low, a, high: sp.Min(sp.Max(a, low), high),
    "eq": _compared(sp.Eq, True),
    "exp2": lambda a: 2**a,
    "expm1": lambda a: sp.exp(a) - 1,
    "ge": _compared(sp.Ge, True),
    "gt": _compared(sp.Gt, False),
    "is_finite": _finite,
    "le": _compared(sp.Le, True),
    "log1p": lambda a: sp.log(1 + a),
    "logistic": lambda a: 1 / (1 + sp.exp(-a)),
    "lt": _compared(sp.Lt, False),
    "max": sp.Max,
    "min": sp.Min,
    "mul": operator.mul,
    "ne": _compared(sp.Ne, False, of_nan=True),
    "neg": operator.neg,
    "pow": operator.pow,
    "rem": lambda a, b: a - b * truncated(a / b),
    "rsqrt": lambda a: 1 / sp.sqrt(a),
    "square": lambda a: a**2,
    "sub": operator.sub,
}

# Of truth values.
LOGICAL: dict[str, Callable[..., Any]] = {
    "and": sp.And,
    "eq": lambda a, b: sp.Or(sp.And(a, b), sp.And(sp.Not(a), sp.Not(b))),
    "max": sp.Or,
    "min": sp.And,
    "ne": _either,
    "not": sp.Not,
    "or": sp.Or,
    "xor": _either,
}

# Those that are not real, or not finite, for every real number.
_PARTIAL = names("acos acosh asin atan2 atanh div integer_pow log log1p pow rem rsqrt sqrt tan")

# An operation on two entries that goes on over the axes, or along one and keeps what it meets.
_OVER = {"sum": "add", "prod": "mul", "max": "max", "min": "min", "and": "and", "or": "or"}
_ALONG = {"cumsum": "add", "cumprod": "mul", "cummax": "max", "cummin": "min"}
_DIGITS = 7  # binary ones; a cast to fewer is a rounding that can be seen


def apply(equation: jex.JaxprEqn, values: list[np.ndarray]) -> list[np.ndarray]:
    """One operation on object arrays of expressions.

    Raises:
        OpaqueError: if there is no rule for it.
    """
    fixed = all(is_known(value) for value in values)
    try:
        outputs = _ruled(equation, values)
        if not fixed or all(_is_real(entry) for output in outputs for entry in output.reshape(-1)):
            return outputs
    except OpaqueError:
        if not fixed:
            raise
    given = [known(value, atom) for value, atom in zip(values, equation.invars, strict=True)]
    return [numbers(output) for output in operation(equation)(*given)]


def _ruled(equation: jex.JaxprEqn, values: list[np.ndarray]) -> list[np.ndarray]:
    name, given = equation.primitive.name, equation.params
    if name in MOVES:
        return [moved(equation, values)]
    kinds = [kind(atom) for atom in (*equation.invars, *equation.outvars)]
    for odd in ("complex", "unsigned", "other"):
        if odd in kinds:
            raise OpaqueError(f"the operation `{name}` of {odd} numbers")
    rules = LOGICAL if kinds[0] == "truth" else NUMERIC
    if name in _SPECIAL:
        return _SPECIAL[name](equation, values)
    over = _OVER.get(name.removeprefix("reduce_")) if name.startswith("reduce_") else None
    if over in rules:
        return [_reduced(rules[over], values[0], given["axes"])]
    if _ALONG.get(name) in rules:
        return [_accumulated(rules[_ALONG[name]], values[0], given["axis"], given["reverse"])]
    if name in rules:
        return [_entrywise(lambda *entries: _valued(rules[name](*entries), name), values)]
    raise OpaqueError(f"the operation `{name}`")


def _valued(entry: Any, name: str) -> Any:
    """The entry; refused where it is a pole, or the root or logarithm of what is negative."""
    if name in _PARTIAL:
        real = entry.is_extended_real if entry.is_number else not entry.has(sp.zoo, sp.I)
        if not real and entry is not sp.nan:
            raise OpaqueError(f"the operation `{name}` where it has no value")
    return entry


def _cast(equation: jex.JaxprEqn) -> Callable:
    old, new = kind(equation.invars[0]), kind(equation.outvars[0])
    dtype: Any = equation.params["new_dtype"]
    if new == old == "truth":
        return lambda a: a
    if new == "truth":
        return lambda a: NUMERIC["ne"](a, sp.Integer(0))
    if old == "truth":
        return as_number
    few = jnp.finfo(dtype).nmant < _DIGITS if new == "real" else np.dtype(dtype).itemsize < 4
    if few:
        raise OpaqueError(f"the operation `convert_element_type` to {np.dtype(dtype).name}")
    return truncated if (old, new) == ("real", "integer") else (lambda a: a)


def as_number(entry: Any) -> Any:
    """1 for what is true, 0 for what is not."""
    if entry in (sp.true, sp.false):
        return sp.Integer(entry == sp.true)
    return sp.Piecewise((1, entry), (0, True))


def choice(which: Any, cases: Sequence[np.ndarray], of: str) -> np.ndarray:
    """The case that `which` chooses, a truth value or a number, entry by entry.

    Arguments:
        which: an expression, or an array of them.
        cases: for 0 or false, for 1 or true, and so on.
        of: the kind of their entries.
    """
    return _entrywise(lambda *entries: _chosen(of, *entries), [np.asarray(which, object), *cases])


def _chosen(of: str, which: Any, *cases: Any) -> Any:
    if isinstance(which, sp.Piecewise):  # a truth value that was cast
        pieces: Any = which.args
        which = pieces[0][1] if pieces == as_number(pieces[0][1]).args else which
    if which in (sp.true, sp.false):
        return cases[int(bool(which))]
    if which.is_Integer:
        return cases[int(which)]
    if isinstance(which, sp.Expr):  # a symbol is a truth value too, to SymPy
        raise OpaqueError("a choice by a number that is not fixed")
    if of == "truth":
        return sp.ITE(which, cases[1], cases[0])
    return sp.Piecewise((cases[1], which), (cases[0], True))


def _entrywise(rule: Callable[..., sp.Basic], values: list[np.ndarray]) -> np.ndarray:
    spread = np.broadcast_arrays(*values)
    made = np.empty(spread[0].shape, dtype=object)
    for index in np.ndindex(made.shape):
        made[index] = rule(*(value[index] for value in spread))
    return made


def _reduced(rule: Callable, values: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    whole = {operator.add: sp.Add, operator.mul: sp.Mul}.get(rule, rule)
    kept = [axis for axis in range(values.ndim) if axis not in axes]
    shape = [values.shape[axis] for axis in kept]
    rows = np.transpose(values, [*kept, *axes]).reshape(*shape, -1)
    made = np.empty(shape, dtype=object)
    for index in np.ndindex(made.shape):
        made[index] = whole(*rows[index])
    return made


def _accumulated(rule: Callable, values: np.ndarray, axis: int, reverse: bool) -> np.ndarray:
    turned = np.flip(values, axis) if reverse else values
    sums = np.frompyfunc(rule, 2, 1).accumulate(turned, axis=axis, dtype=object)
    return np.flip(sums, axis) if reverse else sums


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


def _divided(equation: jex.JaxprEqn, values: list[np.ndarray]) -> list[np.ndarray]:
    whole = kind(equation.invars[0]) == kind(equation.invars[1]) == "integer"
    cut = truncated if whole else lambda a: a
    return [_entrywise(lambda a, b: cut(_valued(a / b, "div")), values)]


def _rounded(equation: jex.JaxprEqn, values: list[np.ndarray]) -> list[np.ndarray]:
    if int(equation.params["rounding_method"]) != 0:  # halves to the even neighbour
        raise OpaqueError("the operation `round`")
    return [_entrywise(lambda a: sp.sign(a) * sp.floor(sp.Abs(a) + sp.S.Half), values)]


def _shortened(equation: jex.JaxprEqn, values: list[np.ndarray]) -> list[np.ndarray]:
    if equation.params["mantissa_bits"] < _DIGITS:
        raise OpaqueError("the operation `reduce_precision`")
    return values


def _split(equation: jex.JaxprEqn, values: list[np.ndarray]) -> list[np.ndarray]:
    ends = np.cumsum(equation.params["sizes"])[:-1]
    return list(np.split(values[0], ends, axis=equation.params["axis"]))


# By more than their entries: by types or by parameters; (line of the program, operands) -> outputs.
_SPECIAL: dict[str, Callable[[jex.JaxprEqn, list[np.ndarray]], list[np.ndarray]]] = {
    **dict.fromkeys(("optimization_barrier", "stop_gradient"), lambda line, values: values),
    "concatenate": lambda line, values: [np.concatenate(values, axis=line.params["dimension"])],
    "convert_element_type": lambda line, values: [_entrywise(_cast(line), values)],
    "div": _divided,
    "dot_general": lambda line, values: [
        _contracted(values[0], values[1], line.params["dimension_numbers"])
    ],
    "integer_pow": lambda line, values: [
        _entrywise(lambda a: _valued(a ** line.params["y"], "integer_pow"), values)
    ],
    "reduce_precision": _shortened,
    "round": _rounded,
    "scatter-add": lambda line, values: [scattered(line, values)],
    "select_n": lambda line, values: [choice(values[0], values[1:], kind(line.invars[1]))],
    "split": _split,
    "stack": lambda line, values: [np.stack(values, axis=line.params.get("axis", 0))],
}


def _is_real(entry: Any) -> bool:
    return entry in (sp.true, sp.false) or bool(getattr(entry, "is_real", False))
