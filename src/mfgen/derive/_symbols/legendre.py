"""The Legendre transform of a formula: L*(q) = sup_v { q.v - L(v) } and its argmax, with SymPy.

Three kinds of convex cost have a transform that reduces to equations in one unknown, or none:

    radial      L = l(|v|)              l'(s) = |q|,   v* = (s / |q|) q
    quadratic   L = v.A v / 2 + b.v     v* = A^-1 (q - b)
    separable   L = sum_i l_i(|v_i|)    radial in every coordinate

Any other is left to the numeric transform (`mfgen.math._legendre`). What SymPy returns is a
candidate with q.v - L stationary; the caller compares it with numbers before it is believed.

Reference: R. T. Rockafellar, "Convex analysis" (1970), sections 12 and 26.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import sympy as sp
from sympy.core.function import AppliedUndef

from mfgen.derive._symbols.deadline import within
from mfgen.derive._symbols.number import Expression

_SECONDS = 6.0
_LARGEST = 4  # controls for which a matrix is inverted by formula
_LONGEST = 400  # operations in the transform of a quadratic cost that is kept
_READABLE = 60  # operations in a transform in one unknown that is kept
_SHORT = 4  # operations in a formula that cannot be made shorter, such as r^2 / (2 w)


class Transform(NamedTuple):
    """L* and its argmax, as expressions in q.

    `factor` is that of v* = factor q, or `None` if v* has another direction than q.
    """

    value: Expression
    argmax: tuple[Expression, ...]
    factor: Expression | None = None


def legendre(
    cost: Expression, v: Sequence[sp.Symbol], q: Sequence[Expression], seconds: float = _SECONDS
) -> Transform | None:
    """The transform of a cost, or `None` if it has none of the known kinds.

    Arguments:
        cost: L, an expression in the symbols v and others.
        v: the control.
        q: the slope, as many expressions as v.
        seconds: after which SymPy is stopped.
    """
    return within(seconds, lambda: _legendre(cost, list(v), list(q)))


def _legendre(cost: Expression, v: list[sp.Symbol], q: list[Expression]) -> Transform | None:
    place, speed = cost.as_independent(*v, as_Add=True)
    # Functions of the place alone, and rough numbers, are constants to the transform.
    hidden = {}
    for part in speed.atoms(AppliedUndef, sp.Float):
        if part.free_symbols & set(v):
            return None
        is_negative = part.is_Float and part < 0
        hidden[part] = -sp.Dummy(positive=True) if is_negative else sp.Dummy(positive=True)
    back = {(-d if d.is_Mul else d): (-p if d.is_Mul else p) for p, d in hidden.items()}
    speed = speed.xreplace(hidden)
    if not speed.free_symbols & set(v):
        return None
    for kind in (_radial, _quadratic, _separable):
        try:
            found = kind(speed, v, q)
        except Exception:
            continue  # SymPy says so where it has no algorithm, or meets a case it did not foresee
        if found is not None:
            value, argmax, factor = found
            shown = lambda part: part.xreplace(back)
            factor = None if factor is None else shown(factor)
            return Transform(shown(value) - place, tuple(map(shown, argmax)), factor)
    return None


def _radial(cost: Expression, v: list[sp.Symbol], q: list[Expression]) -> Transform | None:
    s = sp.Dummy("s", positive=True)
    along = cost.subs(dict(zip(v, [s, *[0] * (len(v) - 1)], strict=True)), simultaneous=True)
    if not _is_radial(cost, v, along, s):
        return None
    r = sp.Dummy("r", positive=True)
    found = _scalar(along, s, r)
    if found is None:
        return None
    value, distance = found
    factor = sp.simplify(distance / r)
    norm = sp.sqrt(sp.Add(*[entry**2 for entry in q]))
    factor = factor.subs(r, norm)
    return Transform(value.subs(r, norm), tuple(factor * entry for entry in q), factor)


def _scalar(cost: Expression, s: sp.Symbol, r: sp.Symbol) -> tuple[Expression, Expression] | None:
    """sup_s { r s - cost(s) } over s > 0, and its argmax, for r > 0."""
    cost = sp.radsimp(sp.expand(cost))
    slope = sp.simplify(sp.diff(cost, s))
    if s not in slope.free_symbols:
        return None
    for candidate in sp.solve(slope - r, s):
        if s in candidate.free_symbols or not _inverts(slope, s, candidate, r):
            continue
        value = _shortest(r * candidate - cost.subs(s, candidate))
        # The roots of a cubic are a formula, but none to read.
        return None if value.count_ops() > _READABLE else (value, sp.simplify(candidate))
    return None


def _shortest(value: Expression) -> Expression:
    rational = sp.expand(sp.cancel(value))
    if rational.count_ops() <= _SHORT:
        return rational  # without SymPy's search for a shorter one, which takes a second
    first = sp.simplify(value)
    rational = sp.expand(sp.cancel(sp.radsimp(first)))
    return min(first, rational, key=sp.count_ops)


def _quadratic(cost: Expression, v: list[sp.Symbol], q: list[Expression]) -> Transform | None:
    if len(v) > _LARGEST:
        return None
    matrix = sp.hessian(cost, v).applyfunc(sp.expand)
    if matrix.free_symbols & set(v):
        return None
    rest = [(entry, 0) for entry in v]
    linear = sp.Matrix([sp.diff(cost, entry) for entry in v]).subs(rest)
    determinant = sp.expand(matrix.det(method="berkowitz"))
    if determinant == 0:
        return None
    moved = sp.Matrix(q) - linear
    argmax = matrix.adjugate() * moved / determinant
    if not matrix.free_symbols:
        argmax = argmax.applyfunc(sp.expand)
    value = (moved.T * argmax)[0, 0] / 2 - cost.subs(rest)
    if value.count_ops() > _LONGEST:
        return None
    return Transform(value, tuple(argmax))


def _separable(cost: Expression, v: list[sp.Symbol], q: list[Expression]) -> Transform | None:
    parts = sp.Add.make_args(sp.expand(cost))
    if any(len(part.free_symbols & set(v)) > 1 for part in parts):
        return None
    value, argmax = sp.Integer(0), []
    for entry, slope in zip(v, q, strict=True):
        own = sp.Add(*[part for part in parts if entry in part.free_symbols])
        found = _radial(own, [entry], [slope]) if own != 0 else None
        if found is None:
            return None
        value += found.value
        argmax += found.argmax
    return Transform(value - sp.Add(*[p for p in parts if not p.free_symbols & set(v)]), (*argmax,))


def _is_radial(cost: Expression, v: list[sp.Symbol], along: Expression, s: sp.Symbol) -> bool:
    """Whether cost(v) = along(|v|), by numbers: at points of several sizes, in any direction."""
    others = sorted((cost.free_symbols | along.free_symbols) - {*v, s}, key=str)
    rng = np.random.default_rng(0)
    first = sp.lambdify([*others, *v], cost, "numpy")
    second = sp.lambdify([*others, s], along, "numpy")
    agreed = 0
    for size in (0.1, 0.3, 0.7, 1.5, 4.0):
        fixed, point = rng.uniform(0.2, 0.9, len(others)), size * rng.normal(size=len(v))
        a, b = _number(first, *fixed, *point), _number(second, *fixed, float(np.linalg.norm(point)))
        if np.isfinite(a) and np.isfinite(b):
            if abs(a - b) > 1e-9 * (abs(a) + abs(b)):
                return False
            agreed += 1
    return agreed >= 2


def _inverts(slope: Expression, s: sp.Symbol, candidate: Expression, r: sp.Symbol) -> bool:
    """Whether slope(candidate(r)) = r with candidate(r) > 0, by numbers."""
    others = sorted((slope.free_symbols | candidate.free_symbols) - {s, r}, key=str)
    inverse = sp.lambdify([*others, r], candidate, "numpy")
    forward = sp.lambdify([*others, s], slope, "numpy")
    rng = np.random.default_rng(1)
    for value in (0.05, 0.4, 1.3, 7.0):
        fixed = rng.uniform(0.2, 0.9, len(others))
        there = _number(inverse, *fixed, value)
        if not there > 0 or not abs(_number(forward, *fixed, there) - value) < 1e-8 * (1 + value):
            return False
    return True


def _number(function, *values: float) -> float:
    with np.errstate(all="ignore"):
        try:
            found = complex(function(*values))
        except (ArithmeticError, TypeError, ValueError, NameError):
            return float("nan")
    return found.real if abs(found.imag) < 1e-12 else float("nan")
