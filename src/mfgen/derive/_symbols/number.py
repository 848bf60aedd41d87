"""Numbers as mathematicians write them: 0.5 is 1/2, 0.7 in single precision is 7/10.

A float stands for the shortest decimal that rounds to it in its own precision; a double that is a
number of single precision, for that in single precision. If it has few digits it is taken for
exact; so is a fraction of small denominator that agrees to rounding (1/3).
Anything else stays a floating-point number.
"""

from fractions import Fraction
from typing import Any

import numpy as np
import sympy as sp

# SymPy's annotations promise less than its functions return: a difference of expressions is one.
Expression = Any

_DIGITS = 7  # of a decimal that is taken for exact
_DENOMINATOR = 24  # of a fraction that is
_ULPS = 4


def number(value: object) -> Any:
    """The SymPy number, or truth value, of one entry of an array."""
    entry: Any = np.asarray(value)[()]
    if isinstance(entry, np.bool_):
        return sp.true if entry else sp.false
    if isinstance(entry, np.integer):
        return sp.Integer(int(entry))
    if not np.isfinite(entry):
        return sp.nan if np.isnan(entry) else sp.oo * int(np.sign(entry))
    exact = _rational(entry)
    return sp.Float(float(entry), 17) if exact is None else exact


def numbers(array: object) -> np.ndarray:
    """The SymPy numbers of an array, an object array of the same shape."""
    values = np.asarray(array)
    made = np.empty(values.shape, dtype=object)
    for index in np.ndindex(values.shape):
        made[index] = number(values[index])
    return made


def _rational(entry: np.floating) -> Expression | None:
    with np.errstate(over="ignore", under="ignore"):
        single = np.float32(entry)
    # In single precision too: 0.7, where the same number as a double is 0.69999999.
    for rounded in (entry, single) if float(single) == float(entry) else (entry,):
        decimal, entry = str(rounded), rounded
        digits = decimal.split("e")[0].replace(".", "").replace("-", "").strip("0")
        if len(digits) <= _DIGITS - (rounded.dtype.itemsize < 8):
            return sp.Rational(decimal)
    near = Fraction(float(entry)).limit_denominator(_DENOMINATOR)
    spacing = float(np.spacing(np.abs(entry)))
    if abs(float(near) - float(entry)) <= _ULPS * spacing:
        return sp.Rational(near.numerator, near.denominator)
    return None
