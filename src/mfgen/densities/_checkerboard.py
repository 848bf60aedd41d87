"""The checkerboard: uniform on eight squares of side 2 in [-4, 4]^2, and its exact noised laws.

The filled squares are the products of two even or two odd columns. Noise acts on each axis alone,
and sends the uniform law of the column [c - h, c + h] to

    A(x) = 1/(2h) [ndtr((x - c + h) / s) - ndtr((x - c - h) / s)].

By symmetry take z = |x - c|; with u = (h - z) / s and l = -(h + z) / s, l <= u,

    log A = log ndtr(u) + log(1 - exp(log ndtr(l) - log ndtr(u))) - log 2h

stays finite however far x lies. It cancels when h << s and z is not large; there the same integral
is smooth and a Gauss-Legendre rule is exact to rounding.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erfcx, log_ndtr, logsumexp, ndtr

from mfgen._types import Batch, Key, Scalar, State
from mfgen.densities._base import AbstractNoisable, Matrix, Number
from mfgen.math import _entry

_CENTRES = np.array([-3.0, -1.0, 1.0, 3.0])
_HALF_WIDTH = 1.0
_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(12)


class Checkerboard(AbstractNoisable):
    """The uniform law on the filled squares; its log density is -log 32 inside, -inf outside."""

    dim: int = eqx.field(default=2, init=False, static=True)

    def log_density(self, x: State) -> Scalar:
        x = _entry.point("Checkerboard", x, self.dim)
        column, row = jnp.floor(x / (2.0 * _HALF_WIDTH)).astype(int)
        filled = jnp.all(jnp.abs(x) <= 4.0) & ((column + row) % 2 == 0)
        return jnp.where(filled, -jnp.log(32.0), -jnp.inf).astype(x.dtype)

    def noised(self, alpha: Number, sigma: Number) -> "NoisedCheckerboard":
        return NoisedCheckerboard(jnp.asarray(alpha, float), jnp.asarray(sigma, float))

    def sample(self, n: int, *, key: Key) -> Batch:
        column_key, row_key, inside_key = jax.random.split(key, 3)
        column = jax.random.randint(column_key, (n,), 0, 4)
        row = 2 * jax.random.randint(row_key, (n,), 0, 2) + column % 2
        centre = jnp.asarray(_CENTRES, float)[jnp.stack([column, row], axis=1)]
        return centre + _HALF_WIDTH * jax.random.uniform(inside_key, (n, 2), minval=-1.0)

    def moments(self) -> tuple[State, Matrix]:
        return _moments(jnp.ones(()), jnp.zeros(()))


class NoisedCheckerboard(AbstractNoisable):
    """The law of `alpha X + sigma N(0, I)`, X on the checkerboard; `sigma` is positive."""

    alpha: Scalar
    sigma: Scalar
    dim: int = eqx.field(default=2, init=False, static=True)

    def log_density(self, x: State) -> Scalar:
        x = _entry.point("NoisedCheckerboard", x, self.dim)
        offsets = x[:, None] - self.alpha * jnp.asarray(_CENTRES, x.dtype)[None, :]
        average = jax.vmap(_log_average, in_axes=(0, None, None))
        columns = average(offsets.reshape(-1), self.alpha * _HALF_WIDTH, self.sigma).reshape(2, 4)
        parity = [jnp.sum(logsumexp(columns[:, start::2], axis=1)) for start in (0, 1)]
        return logsumexp(jnp.stack(parity)) - jnp.log(8.0).astype(x.dtype)

    def noised(self, alpha: Number, sigma: Number) -> "NoisedCheckerboard":
        return NoisedCheckerboard(
            jnp.multiply(alpha, self.alpha), jnp.hypot(alpha * self.sigma, sigma)
        )

    def sample(self, n: int, *, key: Key) -> Batch:
        clean_key, noise_key = jax.random.split(key)
        clean = Checkerboard().sample(n, key=clean_key)
        return self.alpha * clean + self.sigma * jax.random.normal(noise_key, (n, 2), clean.dtype)

    def moments(self) -> tuple[State, Matrix]:
        return _moments(self.alpha, self.sigma)


def _moments(alpha: Scalar, sigma: Scalar) -> tuple[State, Matrix]:
    filled = np.array([(a, b) for i, a in enumerate(_CENTRES) for b in _CENTRES[i % 2 :: 2]])
    covariance = filled.T @ filled / 8.0 + _HALF_WIDTH**2 / 3.0 * np.eye(2)
    noise = jnp.square(sigma) * jnp.eye(2)
    return jnp.zeros(2), jnp.square(alpha) * jnp.asarray(covariance, float) + noise


def _log_average(offset: Scalar, half_width: Scalar, sigma: Scalar) -> Scalar:
    distance = jnp.where(offset < 0.0, -offset, offset) / sigma
    half = half_width / sigma
    smooth = half * (distance + half) < 1.0
    # Where a branch is not taken it sees harmless arguments, so that gradients stay finite.
    by_nodes = _log_average_smooth(jnp.where(smooth, distance, 0.0), jnp.where(smooth, half, 1.0))
    by_tails = _log_average_tails(jnp.where(smooth, 0.0, distance), jnp.where(smooth, 1.0, half))
    return jnp.where(smooth, by_nodes, by_tails) - jnp.log(sigma)


def _log_average_smooth(distance: Scalar, half: Scalar) -> Scalar:
    points = distance + half * jnp.asarray(_NODES, distance.dtype)
    weights = jnp.asarray(_NODE_WEIGHTS / (2.0 * np.sqrt(2.0 * np.pi)), distance.dtype)
    return logsumexp(-0.5 * jnp.square(points), b=weights)


def _log_average_tails(distance: Scalar, half: Scalar) -> Scalar:
    upper = _log_ndtr(half - distance)
    lower = _log_ndtr(-half - distance)
    return upper + jnp.log1p(-jnp.exp(lower - upper)) - jnp.log(2.0 * half)


@jax.custom_jvp
def _log_ndtr(x: Scalar) -> Scalar:
    return log_ndtr(x)


@_log_ndtr.defjvp
def _log_ndtr_jvp(primals: tuple, tangents: tuple) -> tuple[Scalar, Scalar]:
    (x,), (tangent,) = primals, tangents
    return _log_ndtr(x), _hazard(x) * tangent


def _hazard(x: Scalar) -> Scalar:
    """Return the normal density over ndtr, with derivatives that do not cancel in the far tail."""
    far, positive = x < -10.0, x > 0.0
    upper = jnp.where(positive, x, 0.0)
    above = jnp.exp(-0.5 * jnp.square(upper)) / (jnp.sqrt(2.0 * jnp.pi) * ndtr(upper))
    near = jnp.where(far | positive, 0.0, x)
    below = jnp.sqrt(2.0 / jnp.pi) / erfcx(-near / jnp.sqrt(2.0))
    # Laplace's continued fraction y + 1/(y + 2/(y + ...)), y = -x.
    y = jnp.where(far, -x, 10.0)
    fraction = y
    for k in range(8, 0, -1):
        fraction = y + k / fraction
    return jnp.where(far, fraction, jnp.where(positive, above, below)).astype(x.dtype)
