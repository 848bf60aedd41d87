"""Splines through values on a uniform lattice, smooth enough to be put into the equations.

A tensor product of B-splines of degree k interpolates the values and has k - 1 continuous
derivatives, so that residuals of second order are continuous for k >= 3 and smooth for k = 5.
Between two knots k + 1 B-splines do not vanish, polynomials of u = (z - knot) / width; their
coefficients come once from the Cox-de Boor recursion, so that a value and its derivatives are short
programs. Beyond the outermost nodes of a line the last polynomial goes on, for the half cell up to
the walls; a circle is extended by what follows on it, far enough that the ends are not felt.

Reference: C. de Boor, "A practical guide to splines" (2001), chapters IX, X and XIII.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

_WRAP = 16  # nodes of a circle repeated at its ends: the ends' effect falls 0.43-fold a node


class Spline(eqx.Module):
    """The spline through values on a lattice.

    Attributes:
        knots: of each axis, without repetition: where pieces begin, and where the last ends.
        pieces: of each axis, the coefficients of the B-splines in powers of u, lowest first,
            `[knots - 1, degree + 1, degree + 1]`.
        coefficients: of the B-splines, `[...]` with one axis each.
        periods: start and length of the circle that an axis is, `None` for a line.
        degree: k.
    """

    knots: tuple[Float[Array, "_"], ...]
    pieces: tuple[Float[Array, "_ k k"], ...]
    coefficients: Float[Array, "..."]
    periods: tuple[tuple[float, float] | None, ...] = eqx.field(static=True)
    degree: int = eqx.field(static=True)

    def __call__(self, *place: Float[ArrayLike, ""]) -> Float[Array, "..."]:
        """The value at one point, given coordinate by coordinate; an array if values are arrays."""
        total = self.coefficients
        axes = zip(place, self.knots, self.pieces, self.periods, strict=True)
        for coordinate, knots, pieces, period in axes:
            z, knots = jnp.asarray(coordinate, total.dtype), knots.astype(total.dtype)
            if period is not None:
                start, length = period
                z = start + (z - start) % length
            # The choice of the polynomial piece has no derivative.
            piece = jnp.clip(jnp.searchsorted(knots, z, side="right") - 1, 0, len(pieces) - 1)
            u = (z - knots[piece]) / (knots[piece + 1] - knots[piece])
            powers = jnp.stack([u**power for power in range(self.degree + 1)])
            weights = pieces[piece].astype(total.dtype) @ powers
            rows = piece + jnp.arange(self.degree + 1)
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
        values: `[n_1, n_2, ...]`; axes that have no nodes are those of each value.
        degree: 3 or 5; 1 for values with kinks.
        lengths: the circumference of an axis that is a circle, `None` for a line.
    """
    from scipy.interpolate import make_interp_spline  # which takes long to import

    lengths = lengths or (None,) * len(axes)
    coefficients, knots, pieces, periods = np.asarray(values, float), [], [], []
    for axis, (nodes, length) in enumerate(zip(axes, lengths, strict=True)):
        line = np.moveaxis(coefficients, axis, 0)
        periods.append(None if length is None else (float(nodes[0]), float(length)))
        if length is not None:
            nodes, line = _wrapped(nodes, line, length)
        fitted = make_interp_spline(nodes, line, k=degree, axis=0)
        knots.append(jnp.asarray(fitted.t[degree : len(fitted.t) - degree]))
        pieces.append(jnp.asarray(_pieces(fitted.t, degree)))
        coefficients = np.moveaxis(fitted.c, 0, axis)
    return Spline(tuple(knots), tuple(pieces), jnp.asarray(coefficients), tuple(periods), degree)


def _wrapped(nodes: np.ndarray, line: np.ndarray, length: float) -> tuple[np.ndarray, np.ndarray]:
    count = len(nodes)
    places = np.arange(-_WRAP, count + _WRAP)
    turns = places // count
    return nodes[places % count] + length * turns, line[places % count]


def _pieces(knots: np.ndarray, degree: int) -> np.ndarray:
    """The B-splines between each two knots as polynomials, `[pieces, degree + 1, degree + 1]`."""
    span = np.arange(degree, len(knots) - degree - 1)
    start, width = knots[span], knots[span + 1] - knots[span]
    values = [np.ones((len(span), 1))]
    for order in range(1, degree + 1):
        row, carried = [], np.zeros((len(span), order + 1))
        for place in range(order):
            right, left = knots[span + place + 1], knots[span + 1 - order + place]
            share = values[place] / (right - left)[:, None]
            row.append(carried + _times(share, right - start, -width))
            carried = _times(share, start - left, width)
        values = [*row, carried]
    return np.stack(values, axis=1)


def _times(polynomial: np.ndarray, constant: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """The product with constant + slope u, row by row."""
    longer = np.pad(polynomial, ((0, 0), (0, 1))) * constant[:, None]
    longer[:, 1:] += polynomial * slope[:, None]
    return longer
