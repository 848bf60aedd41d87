"""Distances between two clouds of points, row by row in chunks.

For all pairs at once a table of n x m numbers would be needed, 400 MB for 10,000 points in single
precision. Here the rows x_1, ..., x_n are taken in chunks, each row is reduced to what the metric
needs of it, and the table is never stored. Squared distances are those of `mfgen.math._pairs`; the
points should be centred beforehand.
"""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from mfgen._types import Scalar, State
from mfgen.math._pairs import squares_apart

# Entries of the table held at once: 16 MB in single precision, a few times that while computing.
_ENTRIES = 2**22

Row = TypeVar("Row", bound=PyTree)


def squared_distances(x: State, points: Float[Array, "m dim"]) -> Float[Array, "m"]:
    """|x - y_j|^2 for one point `x` and all `points`, rounded up to zero where negative."""
    return squares_apart(x[None], points)[0]


def map_rows(reduce: Callable[[PyTree], Row], rows: PyTree, points: Float[Array, "m dim"]) -> Row:
    """Maps `reduce` over the leading axis of `rows`, with as many rows at once as memory allows.

    Arguments:
        reduce: what to keep of one row of the table against `points`.
        rows: a pytree of arrays with a common leading axis.
        points: the columns of the table.
    """
    size = jax.tree.leaves(rows)[0].shape[0]
    return jax.lax.map(reduce, rows, batch_size=max(1, min(size, _ENTRIES // points.shape[0])))


@jax.jit
def nearest_distance(x: Float[Array, "n dim"], points: Float[Array, "m dim"]) -> Float[Array, "n"]:
    """min_j |x_i - y_j| for each row of `x`.

    The nearest point is found by the matrix product; its distance is then computed by the
    difference, so that a copy is at distance zero exactly.
    """

    def reduce(row: State) -> Scalar:
        nearest = points[jnp.argmin(squared_distances(row, points))]
        return jnp.linalg.norm(row - nearest)

    return map_rows(reduce, x, points)
