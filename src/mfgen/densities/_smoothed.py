"""Particles whose density is their estimate by Gaussian kernels.

Means are those of the particles, so that a cost of samples sees no kernel; where log rho is asked
for, its bias is of the order of the squared width. B. W. Silverman's rule makes the error of a
Gaussian law least: width = deviation (4 / ((d + 2) n))^(1 / (d + 4)).

Reference: B. W. Silverman, "Density estimation for statistics and data analysis" (1986), 4.3.
"""

import jax
import jax.numpy as jnp

from mfgen._types import Batch, Key, Scalar, State
from mfgen.densities._base import AbstractEvaluable, Weights
from mfgen.densities._empirical import Empirical
from mfgen.densities._folded import next_images
from mfgen.math._axes import Euclidean
from mfgen.math._space import AbstractDomain

_SPACE = Euclidean()


class Smoothed(AbstractEvaluable):
    """Particles with the kernel estimate of their density.

    Arguments:
        points: `[n, dim]`.
        width: standard deviation of the kernel.
        domain: where they live, onto which kernels are folded.
    """

    points: Batch
    width: Scalar
    domain: AbstractDomain = _SPACE

    @property
    def dim(self) -> int:
        return self.points.shape[1]

    def log_density(self, x: State) -> Scalar:
        law = Empirical(self.points).noised(1.0, self.width)
        return (next_images(law, self.domain) if self.domain.bounded else law).log_density(x)

    def sample(self, n: int, *, key: Key) -> Batch:
        return self.points[jax.random.randint(key, (n,), 0, len(self.points))]

    def particles(self) -> tuple[Batch, Weights]:
        return self.points, jnp.full(len(self.points), 1.0 / len(self.points), self.points.dtype)


def by_kernels(points: Batch, domain: AbstractDomain = _SPACE) -> Smoothed:
    """Particles with their kernel estimate on a domain, of Silverman's width."""
    count, dim = points.shape
    spread = jnp.mean(domain.deviations(jax.lax.stop_gradient(points)))
    return Smoothed(points, spread * (4 / ((dim + 2) * count)) ** (1 / (dim + 4)), domain)
