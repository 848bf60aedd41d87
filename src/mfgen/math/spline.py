"""Splines through values on a uniform lattice, smooth enough to be put into the equations.

A tensor product of B-splines of degree k interpolates the values and has k - 1 continuous
derivatives, so that residuals of second order are continuous for k >= 3 and smooth for k = 5. Its
k + 1 weights at a point come from the Cox-de Boor recursion. Beyond the outermost nodes of a line
the last polynomial goes on, for the half cell up to the walls; a circle is extended by what follows
on it, far enough that the ends are not felt.

Reference: C. de Boor, "A practical guide to splines" (2001), chapters IX, X and XIII.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float
from scipy.interpolate import make_interp_spline

_WRAP = 16  # nodes of a circle repeated at its ends: the ends' effect falls 0.43-fold a node


class Spline(eqx.Module):
    """The spline through values on a lattice.

    Attributes:
        knots: of each axis.
        coefficients: of the B-splines, `[...]` with one axis each.
        periods: start and length of the circle that an axis is, `None` for a line.
        degree: k.
    """

    knots: tuple[Float[Array, "_"], ...]
    coefficients: Float[Array, "..."]
    periods: tuple[tuple[float, float] | None, ...] = eqx.field(static=True)
    degree: int = eqx.field(static=True)

    def __call__(self, *place: Float[ArrayLike, ""]) -> Float[Array, ""]:
        """The value at one point, given coordinate by coordinate."""
        total = self.coefficients
        for coordinate, knots, period in zip(place, self.knots, self.periods, strict=True):
            z = jnp.asarray(coordinate, total.dtype)
            if period is not None:
                start, length = period
                z = start + (z - start) % length
            first, weights = _basis(knots.astype(total.dtype), z, self.degree)
            rows = first + jnp.arange(self.degree + 1)
            total = jnp.tensordot(weights, total[rows], axes=1)
        return total


def spline(
    axes: list[np.ndarray],
    values: np.ndarray,
    *,
    degree: int = 5,
    lengths: tuple[float | None, ...] | None = None,
) -> Spline:
    """The spline through values on the product of the axes.

    Arguments:
        axes: nodes of each axis, increasing, more than `degree` of them.
        values: `[n_1, n_2, ...]`.
        degree: 3 or 5; 1 for values with kinks.
        lengths: the circumference of an axis that is a circle, `None` for a line.
    """
    lengths = lengths or (None,) * len(axes)
    coefficients, knots, periods = np.asarray(values, float), [], []
    for axis, (nodes, length) in enumerate(zip(axes, lengths, strict=True)):
        line = np.moveaxis(coefficients, axis, 0)
        periods.append(None if length is None else (float(nodes[0]), float(length)))
        if length is not None:
            nodes, line = _wrapped(nodes, line, length)
        fitted = make_interp_spline(nodes, line, k=degree, axis=0)
        knots.append(jnp.asarray(fitted.t))
        coefficients = np.moveaxis(fitted.c, 0, axis)
    return Spline(tuple(knots), jnp.asarray(coefficients), tuple(periods), degree)


def _wrapped(nodes: np.ndarray, line: np.ndarray, length: float) -> tuple[np.ndarray, np.ndarray]:
    count = len(nodes)
    places = np.arange(-_WRAP, count + _WRAP)
    turns = places // count
    return nodes[places % count] + length * turns, line[places % count]


def _basis(knots: Float[Array, "k"], z: Float[Array, ""], degree: int):
    """The first of the degree + 1 B-splines that do not vanish at z, and their values."""
    count = knots.shape[0] - degree - 1
    # The choice of the polynomial piece has no derivative.
    span = jnp.clip(jnp.searchsorted(knots, z, side="right") - 1, degree, count - 1)
    values = [jnp.ones_like(z)]
    for order in range(1, degree + 1):
        row, carried = [], jnp.zeros_like(z)
        for place in range(order):
            right = knots[span + place + 1]
            left = knots[span + 1 - order + place]
            share = values[place] / (right - left)
            row.append(carried + (right - z) * share)
            carried = (z - left) * share
        values = [*row, carried]
    return span - degree, jnp.stack(values)
