"""Concentric circles blurred by isotropic Gaussian noise, exact at every noise level.

A point of a circle of radius r plus N(0, s^2 I) has the density, with rho = |x|, z = rho r / s^2,

      1/(2 pi s^2) exp(-(rho^2 + r^2) / (2 s^2)) I0(z)
    = 1/(2 pi s^2) exp(-(rho - r)^2 / (2 s^2)) e^-z I0(z).

Noising scales r by alpha and turns s^2 into alpha^2 s^2 + sigma^2. The second form does not
overflow. Near the centre the first one is used with the power series of I0 in z^2, which is smooth
at x = 0 where |x| is not; for large z the asymptotic series of e^-z I0(z), whose derivatives do not
cancel in float32.
"""

from math import factorial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.scipy.special import i0e, logsumexp
from jaxtyping import Array, Float

from mfgen._types import Batch, Key, Scalar, State
from mfgen.densities._base import (
    AbstractNoisable,
    Matrix,
    Number,
    Values,
)
from mfgen.math import _entry

_SMALL, _LARGE = 1.0, 50.0
# I0(z) = sum_k (z^2 / 4)^k / k!^2; sqrt(2 pi z) e^-z I0(z) ~ sum_k ((2k - 1)!!)^2 / (k! (8 z)^k).
_POWER = np.array([1.0 / factorial(k) ** 2 for k in range(9)])
_ASYMPTOTIC = np.array([np.prod(np.arange(1.0, 2 * k, 2)) ** 2 / factorial(k) for k in range(9)])


class Rings(AbstractNoisable):
    """Equally likely circles about the origin of the plane, plus N(0, noise^2 I).

    Arguments:
        radii: `[k]`.
        noise: standard deviation of each coordinate.

    Raises:
        ValueError: if `radii` is no vector or the noise is not positive.
    """

    radii: Float[Array, "k"]
    variance: Scalar

    def __init__(self, radii: Values, noise: Number):
        self.radii, noise = _entry.floating("Rings", radii=radii, noise=noise)
        self.variance = jnp.square(noise)
        if self.radii.ndim != 1:
            raise ValueError(
                f"`Rings` got radii of shape {self.radii.shape}, expected [k]: pass a vector."
            )
        if not isinstance(noise, Tracer) and not np.all(np.greater(noise, 0.0)):
            raise ValueError(
                f"`Rings` got noise {noise}, expected a positive number: the law has no density."
            )

    @property
    def dim(self) -> int:
        return 2

    def log_density(self, x: State) -> Scalar:
        x = _entry.point("Rings", x, self.dim)
        logs = jax.vmap(_log_ring, in_axes=(None, 0, None))(x @ x, self.radii, self.variance)
        return logsumexp(logs) - jnp.log(2.0 * jnp.pi * self.radii.shape[0] * self.variance)

    def noised(self, alpha: Number, sigma: Number) -> "Rings":
        variance = jnp.square(alpha) * self.variance + jnp.square(sigma)
        changed = (alpha * self.radii, variance)
        return eqx.tree_at(lambda law: (law.radii, law.variance), self, changed)

    def sample(self, n: int, *, key: Key) -> Batch:
        which_key, angle_key, noise_key = jax.random.split(key, 3)
        radius = jax.random.choice(which_key, self.radii, (n,))
        angle = jax.random.uniform(angle_key, (n,), radius.dtype, maxval=2.0 * jnp.pi)
        circle = jnp.stack([radius * jnp.cos(angle), radius * jnp.sin(angle)], axis=1)
        return circle + jnp.sqrt(self.variance) * jax.random.normal(noise_key, (n, 2), circle.dtype)

    def moments(self) -> tuple[State, Matrix]:
        spread = 0.5 * jnp.mean(jnp.square(self.radii)) + self.variance
        return jnp.zeros(2, spread.dtype), spread * jnp.eye(2, dtype=spread.dtype)


def _log_ring(squared: Scalar, radius: Scalar, variance: Scalar) -> Scalar:
    """Return log [exp(-(rho^2 + r^2) / 2 s^2) I0(rho r / s^2)] with `squared` = rho^2."""
    argument = squared * jnp.square(radius / variance)
    small = argument < _SMALL
    # Where a branch is not taken it sees harmless arguments, so that gradients stay finite.
    series = _polynomial(_POWER, jnp.where(small, argument, 0.0) / 4.0)
    near = jnp.log(series) - (squared + jnp.square(radius)) / (2.0 * variance)
    rho = jnp.sqrt(jnp.where(small, 1.0, squared))
    bessel = _log_scaled_bessel(jnp.where(small, 1.0, rho * radius / variance))
    return jnp.where(small, near, bessel - jnp.square(rho - radius) / (2.0 * variance))


def _log_scaled_bessel(z: Scalar) -> Scalar:
    large = z > _LARGE
    middle = jnp.log(i0e(jnp.where(large, 1.0, z)))
    tail = jnp.where(large, z, _LARGE)
    series = _polynomial(_ASYMPTOTIC, 0.125 / tail)
    return jnp.where(large, jnp.log(series) - 0.5 * jnp.log(2.0 * jnp.pi * tail), middle)


def _polynomial(coefficients: np.ndarray, x: Scalar) -> Scalar:
    return jnp.polyval(jnp.asarray(coefficients[::-1], x.dtype), x)
