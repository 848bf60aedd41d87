"""Sums over all pairs of two clouds of points, without a table of all pairs.

    S_i = sum_j phi(|x_i - y_j|^2) v_j

Rows go in chunks: a chunk of c rows holds c times m numbers, and its squares of distances are one
matrix product. Its gradient in x_i with weights w_j, for a radial kernel k(z) = phi(|z|^2), is

    sum_j w_j grad k(x_i - y_j) = 2 ( x_i sum_j phi' w_j - sum_j phi' w_j y_j )
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen._types import Batch

Profile = Callable[[Float[Array, "..."]], Float[Array, "..."]]

# Numbers at once in a table of pairs: 64 MB in single precision.
_NUMBERS = 2**24


def pair_sums(
    profile: Profile,
    x: Batch,
    y: Float[Array, "m dim"],
    values: Float[Array, "m k"],
) -> Float[Array, "n k"]:
    """sum_j phi(|x_i - y_j|^2) v_j for all i, `[n, k]`.

    Arguments:
        profile: phi, takes an array of squares of distances.
        x, y: points, `[n, dim]` and `[m, dim]`.
        values: v, `[m, k]`.
    """
    centre = jnp.mean(y, axis=0, keepdims=True)  # squares of distances lose less to rounding
    x, y = x - centre, y - centre
    squares = jnp.sum(y * y, axis=1)

    def rows(x: Float[Array, "c dim"]) -> Float[Array, "c k"]:
        apart = jnp.sum(x * x, axis=1)[:, None] + squares[None] - 2 * x @ y.T
        return profile(jnp.maximum(apart, 0.0)) @ values

    return _by_rows(rows, x, y.shape[0])


def pair_gradients(
    profile: Profile,
    x: Batch,
    y: Float[Array, "m dim"],
    weights: Float[Array, "m"],
) -> Batch:
    """The gradient of sum_j w_j phi(|x_i - y_j|^2) in x_i for all i, `[n, dim]`."""
    slope = jax.vmap(jax.grad(lambda square: profile(square)))
    slopes = lambda squares: slope(squares.reshape(-1)).reshape(squares.shape)
    values = jnp.concatenate([weights[:, None], weights[:, None] * y], axis=1)
    sums = pair_sums(slopes, x, y, values)
    return 2 * (x * sums[:, :1] - sums[:, 1:])


def _by_rows(rows: Callable[[Batch], Array], x: Batch, columns: int) -> Float[Array, "n k"]:
    size = max(1, min(x.shape[0], _NUMBERS // columns))
    whole = x.shape[0] - x.shape[0] % size
    found = [jax.lax.map(rows, x[:whole].reshape(-1, size, x.shape[1])).reshape(whole, -1)]
    if whole < x.shape[0]:
        found.append(rows(x[whole:]))
    return jnp.concatenate(found)
