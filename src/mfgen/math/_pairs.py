"""Sums over all pairs of two clouds of points, without a table of all pairs.

    S_i = sum_j phi(|x_i - y_j|^2) v_j

Rows go in chunks: a chunk of c rows holds c times m numbers. In few dimensions squares of distances
are summed over the coordinates; in many they are one matrix product,

    |x|^2 + |y|^2 - 2 x.y,

which loses what is small beside the cloud. The gradient in x_i with weights w_j, for a radial
kernel k(z) = phi(|z|^2), is

    2 sum_j phi' w_j (x_i - y_j) = 2 ( x_i sum_j phi' w_j - sum_j phi' w_j y_j ),

of which the second form is a matrix product as well. Products are of points about the centre of y,
not about zero.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen._types import Batch

Profile = Callable[[Float[Array, "..."]], Float[Array, "..."]]

# Numbers at once in a table of pairs: 64 MB in single precision.
_NUMBERS = 2**24

# Up to so many dimensions differences of coordinates cost no more than a product.
_FEW = 4


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
    if x.shape[1] > _FEW:
        x, y = centred(x, y)
    return _by_rows(lambda x: profile(squares_apart(x, y)) @ values, x, y.shape[0])


def pair_gradients(
    profile: Profile,
    x: Batch,
    y: Float[Array, "m dim"],
    weights: Float[Array, "m"],
) -> Batch:
    """The gradient of sum_j w_j phi(|x_i - y_j|^2) in x_i for all i, `[n, dim]`."""
    slope = jax.vmap(jax.grad(lambda square: profile(square)))
    slopes = lambda squares: slope(squares.reshape(-1)).reshape(squares.shape)
    if x.shape[1] > _FEW:
        x, y = centred(x, y)
        values = jnp.concatenate([weights[:, None], weights[:, None] * y], axis=1)
        sums = pair_sums(slopes, x, y, values)
        return 2 * (x * sums[:, :1] - sums[:, 1:])

    def rows(x: Batch) -> Batch:
        table = 2 * slopes(squares_apart(x, y)) * weights[None]
        along = [table * (x[:, k, None] - y[None, :, k]) for k in range(x.shape[1])]
        return jnp.stack([jnp.sum(each, axis=1) for each in along], axis=1)

    return _by_rows(rows, x, y.shape[0])


def squares_apart(x: Float[Array, "c dim"], y: Float[Array, "m dim"]) -> Float[Array, "c m"]:
    """|x_i - y_j|^2 for all pairs; in more than a few dimensions points are wanted near zero."""
    if x.shape[1] <= _FEW:
        return sum(
            jnp.square(x[:, k, None] - y[None, :, k]) for k in range(x.shape[1])
        ) + jnp.zeros((), x.dtype)
    # Without HIGHEST a GPU multiplies in TF32 and small distances drown in rounding.
    product = jnp.matmul(x, y.T, precision=jax.lax.Precision.HIGHEST)
    apart = jnp.sum(x * x, axis=1)[:, None] + jnp.sum(y * y, axis=1)[None] - 2 * product
    return jnp.maximum(apart, 0.0)


def centred(x: Batch, y: Float[Array, "m dim"]) -> tuple[Batch, Float[Array, "m dim"]]:
    """Both clouds about the mean of y, up to rounding, shifted alike."""
    # The same shift of both, whatever it is: no derivative goes through it. A compiler may compute
    # a mean again where it is used, and round it otherwise there; a point of y is itself
    # everywhere, and a mean about it errs by a rounding of the cloud's size.
    first = jax.lax.stop_gradient(y[:1])
    x, y = x - first, y - first
    centre = jax.lax.stop_gradient(jnp.mean(y, axis=0, keepdims=True))
    return x - centre, y - centre


def _by_rows(rows: Callable[[Batch], Array], x: Batch, columns: int) -> Float[Array, "n k"]:
    size = max(1, min(x.shape[0], _NUMBERS // columns))
    whole = x.shape[0] - x.shape[0] % size
    found = [jax.lax.map(rows, x[:whole].reshape(-1, size, x.shape[1])).reshape(whole, -1)]
    if whole < x.shape[0]:
        found.append(rows(x[whole:]))
    return jnp.concatenate(found)
