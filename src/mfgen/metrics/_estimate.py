"""Estimates: no number without its standard error, or a word why it has none.

A metric is computed from a finite sample, so it is random; its standard error says by how much it
would move if the sample were drawn anew. For a mean of n independent values

    value = (1/n) sum_i y_i,      standard error = sd(y) / sqrt(n),

and for a smooth function f of an estimate the delta method gives |f'(value)| times its standard
error. A difference below two standard errors is not a finding: two of them hold the mean of the
metric at this n in 93 to 97 % of samples. They do not contain the bias that some metrics have at
finite n; where there is one, the metric says so.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Number = float | Float[Array, ""]


class Estimate(NamedTuple):
    """A number and its standard error; printed with two digits of the error, `0.1234 ± 0.0056`.

    An error of zero says that there is none to tell: by quadrature, or because all values are
    equal. Then the number stands alone.
    """

    value: Number
    standard_error: Number

    def __str__(self) -> str:
        value, error = float(self.value), float(self.standard_error)
        if error == 0:
            return f"{value:.4g}"
        if not (math.isfinite(value) and math.isfinite(error)):
            return f"{value:.4g} ± {error:.2g}"
        digits = 1 - math.floor(math.log10(error))
        if digits > 6 or error >= 1e6:
            return f"{value:.{_significant(value, digits)}e} ± {error:.1e}"
        digits = max(digits, 0)
        return f"{value:.{digits}f} ± {error:.{digits}f}"


class Profile(NamedTuple):
    """A metric along the times of a game, `[m]` each: for a curve with its error band."""

    times: Float[Array, "m"]
    value: Float[Array, "m"]
    standard_error: Float[Array, "m"]


def mean_estimate(values: Float[Array, "n"]) -> Estimate:
    """The mean of independent values and its standard error sd / sqrt(n)."""
    return Estimate(jnp.mean(values), jnp.std(values, ddof=1) / math.sqrt(values.shape[0]))


def mean_of_rows(share: Float[Array, "m"], rows: Float[Array, "m n"]) -> Estimate:
    """The weighted sum of the means of m rows, column by column.

    A column may be one particle, at all times of its path: then its entries hang together, and the
    error is that of the sums of columns. Where they do not, it is the same on average.
    """
    return mean_estimate(share @ rows)


def mean_number(values: Float[np.ndarray, "n"]) -> Estimate:
    """`mean_estimate` on the host, in float64; the error is NaN where a value is not finite."""
    finite = np.isfinite(values).all()
    error = values.std(ddof=1) / math.sqrt(len(values)) if finite else math.nan
    return Estimate(float(values.mean()), float(error))


def root(estimate: Estimate) -> Estimate:
    """The square root of a non-negative estimate, by the delta method: error / (2 root).

    At zero the delta method has no answer; the root of the error is returned, which bounds it.
    """
    value = jnp.sqrt(estimate.value)
    safe = jnp.where(value > 0, value, 1.0)
    delta = estimate.standard_error / (2 * safe)
    return Estimate(value, jnp.where(value > 0, delta, jnp.sqrt(estimate.standard_error)))


def root_in_reach(estimate: Estimate) -> Estimate:
    """The square root: two errors of it reach as far as two of what it is taken of.

        sqrt(T) - sqrt(T - 2 e),  sqrt(T + 2 e) - sqrt(T)      the larger of the two, halved

    with nothing for what is negative. For e well below T that is the delta method, which near zero
    promises too much. An unbiased estimate of a square may lie below zero: its root is zero.
    """
    square, two = jnp.maximum(estimate.value, 0.0), 2 * estimate.standard_error
    value = jnp.sqrt(square)
    below = value - jnp.sqrt(jnp.maximum(square - two, 0.0))
    return Estimate(value, 0.5 * jnp.maximum(below, jnp.sqrt(square + two) - value))


def _significant(value: float, digits: int) -> int:
    # Decimals of the mantissa that reach down to the second digit of the error.
    exponent = math.floor(math.log10(abs(value))) if value else 0
    return min(max(digits + exponent, 1), 15)
