"""The law of a finite data set: (1 / n) sum_i delta(x_i).

It has no density, but its noised law is the exact Gaussian mixture

    (1 / n) sum_i N(alpha x_i, sigma^2 I),

the optimum of denoising score matching on the data: a model that reaches it memorises.
"""

import jax
import jax.numpy as jnp

from mfgen._types import Batch, Key
from mfgen.densities._base import AbstractDensity, Number, Values, Weights
from mfgen.densities._gaussian import GaussianMixture
from mfgen.math import _entry


class Empirical(AbstractDensity):
    """The uniform law on data points.

    Arguments:
        points: `[n, dim]`.

    Raises:
        ValueError: if the points are not a non-empty matrix of finite numbers, or lose what tells
            them apart when they become single.

    Example:

        game = score_based(VP(), Empirical(points))
    """

    points: Batch

    def __init__(self, points: Values):
        self.points = _entry.rows("Empirical", "points", points).astype(jnp.result_type(float))

    @property
    def dim(self) -> int:
        return self.points.shape[1]

    def noised(self, alpha: Number, sigma: Number) -> GaussianMixture:
        """Return the law of `alpha X + sigma N(0, I)`; `sigma` is positive."""
        n = self.points.shape[0]
        variances = jnp.full(n, jnp.square(jnp.asarray(sigma, self.points.dtype)))
        return GaussianMixture(jnp.full(n, 1.0 / n), alpha * self.points, variances)

    def sample(self, n: int, *, key: Key) -> Batch:
        """Draw `n` data points with replacement."""
        return self.points[jax.random.randint(key, (n,), 0, self.points.shape[0])]

    def particles(self) -> tuple[Batch, Weights]:
        n = self.points.shape[0]
        return self.points, jnp.full(n, 1.0 / n, self.points.dtype)
