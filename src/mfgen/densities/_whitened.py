"""The law of a density in coordinates where a normal law near it is standard.

    Z = F^-1 (X - m),      rho_Z(z) = rho_X(m + F z) |det F|

With m and F F^T the mean and covariance of the Laplace approximation, an energy has its mode at
zero and the curvature of |z|^2 / 2 there, whatever the units and correlations of X. The integral of
an unnormalised density stays as it is.
"""

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float

from mfgen._types import Batch, Key, Scalar, State
from mfgen.densities._base import AbstractEvaluable, Matrix, Values, Weights
from mfgen.math import _entry


class Whitened(AbstractEvaluable):
    """The law of F^-1 (X - m), X following `density`.

    Arguments:
        density: the law of X.
        mean: m, `[dim]`.
        factor: F, `[dim, dim]`, lower triangular with a positive diagonal, such as the Cholesky
            factor of a covariance.

    Raises:
        ValueError: for shapes that do not fit, or a factor of another form.
    """

    density: AbstractEvaluable
    mean: State
    factor: Float[Array, "dim dim"]

    def __init__(self, density: AbstractEvaluable, mean: Values, factor: Values):
        mean, factor = _entry.floating("Whitened", mean=mean, factor=factor)
        dim = density.dim
        if mean.shape != (dim,) or factor.shape != (dim, dim):
            raise ValueError(
                f"`Whitened` got a mean of shape {mean.shape} and a factor of shape "
                f"{factor.shape}, expected ({dim},) and ({dim}, {dim}), as the density has {dim} "
                "dimensions."
            )
        if not isinstance(factor, Tracer):
            lower = bool(jnp.all(jnp.triu(factor, 1) == 0))
            if not (lower and bool(jnp.all(jnp.diagonal(factor) > 0))):
                raise ValueError(
                    "`Whitened` got a factor that is not lower triangular with a positive "
                    "diagonal: pass `jnp.linalg.cholesky(covariance)`."
                )
        self.density, self.mean, self.factor = density, mean, factor

    @property
    def dim(self) -> int:
        return self.density.dim

    def log_density(self, x: State) -> Scalar:
        x = _entry.point("Whitened", x, self.dim)
        log_det = jnp.sum(jnp.log(jnp.diagonal(self.factor)))
        return self.density.log_density(self.mean + self.factor @ x) + log_det

    def sample(self, n: int, *, key: Key) -> Batch:
        return self._solved(self.density.sample(n, key=key))

    def moments(self) -> tuple[State, Matrix]:
        mean, covariance = self.density.moments()
        half = self._solve(covariance).T
        return self._solve(mean - self.mean), self._solve(half)

    def particles(self) -> tuple[Batch, Weights]:
        points, weights = self.density.particles()
        return self._solved(points), weights

    def _solved(self, points: Batch) -> Batch:
        return self._solve((points - self.mean[None, :]).T).T

    def _solve(self, value: Array) -> Array:
        return jax.scipy.linalg.solve_triangular(self.factor, value, lower=True)
