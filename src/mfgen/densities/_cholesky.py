"""The normal law N(m, C) with a covariance that may vary smoothly in any way.

    log rho(x) = -|L^-1 (x - m)|^2 / 2 - sum log L_ii - (dim/2) log 2 pi,     C = L L^T

`Gaussian` keeps eigenvalues and eigenvectors, so that noising is cheap. Where a covariance only
varies in time, as on a path of laws t -> N(m(t), C(t)), its Cholesky factor is cheaper, and smooth
everywhere.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.scipy.linalg import solve_triangular

from mfgen._types import Batch, Key, Scalar, State
from mfgen.densities._base import AbstractNoisable, Matrix, Number, Values, Weights
from mfgen.densities._covariance import check_resolved, check_symmetric
from mfgen.densities._gaussian import Gaussian
from mfgen.math import _entry


class CholeskyGaussian(AbstractNoisable):
    """The normal law N(m, C), differentiable in m and C.

    Arguments:
        mean: `[dim]`.
        covariance: a positive definite matrix `[dim, dim]`.

    Raises:
        ValueError: if the shapes disagree or the covariance is not symmetric and positive definite.
    """

    mean: State
    covariance: Matrix
    factor: Matrix

    def __init__(self, mean: Values, covariance: Values):
        mean, covariance = _entry.floating("CholeskyGaussian", mean=mean, covariance=covariance)
        if mean.ndim != 1 or covariance.shape != 2 * mean.shape:
            raise ValueError(
                f"`CholeskyGaussian` got a mean of shape {mean.shape} and a covariance of shape "
                f"{covariance.shape}, expected [dim] and [dim, dim]: pass a vector and a matrix."
            )
        self.mean, self.covariance = mean, covariance
        check_symmetric("CholeskyGaussian", self.covariance[None])
        self.factor = jnp.linalg.cholesky(self.covariance)
        if not isinstance(self.factor, Tracer) and not np.isfinite(np.asarray(self.factor)).all():
            raise ValueError(
                "`CholeskyGaussian` got a covariance that is not positive definite: add a small "
                "multiple of the identity."
            )
        check_resolved("CholeskyGaussian", mean[None], jnp.diagonal(covariance)[None])

    @property
    def dim(self) -> int:
        return self.mean.shape[0]

    def log_density(self, x: State) -> Scalar:
        x = _entry.point("CholeskyGaussian", x, self.dim)
        whitened = solve_triangular(self.factor, x - self.mean, lower=True)
        determinant = jnp.sum(jnp.log(jnp.diag(self.factor)))
        return -0.5 * (jnp.vdot(whitened, whitened) + self.dim * np.log(2 * np.pi)) - determinant

    def noised(self, alpha: Number, sigma: Number) -> "CholeskyGaussian":
        noise = jnp.square(sigma) * jnp.eye(self.dim, dtype=self.mean.dtype)
        return CholeskyGaussian(alpha * self.mean, jnp.square(alpha) * self.covariance + noise)

    def sample(self, n: int, *, key: Key) -> Batch:
        return self._apply(jax.random.normal(key, (n, self.dim), self.mean.dtype))

    def moments(self) -> tuple[State, Matrix]:
        return self.mean, self.covariance

    def particles(self) -> tuple[Batch, Weights]:
        standard, weights = Gaussian(jnp.zeros_like(self.mean)).particles()
        return self._apply(standard), weights

    def _apply(self, standard: Batch) -> Batch:
        return self.mean[None, :] + standard @ self.factor.T
