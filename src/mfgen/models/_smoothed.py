"""Data smoothed by a Gaussian kernel: a density estimate that solves the HJB equation exactly.

For centres m_i and one covariance C = Q diag(c) Q^T that they share,

    rho(x) = (1/n) sum_i N(x; m_i, C),     U(t, x) = -log (rho noised up to s = S - t)(x),

which is the Cole-Hopf mixture of `mfgen.models._kernel` with n kernels of one shape. In the axes of
C, z = Q^T x and m_i there, the noised kernels have the variances v = alpha^2 c + sigma^2, and

    U = |z|^2_{1/v} / 2 + sum log(2 pi v) / 2 + log n
        - log sum_i exp( (alpha z / v) . m_i - (alpha^2 / 2v) . m_i^2 ):

the centres enter by products with one fixed matrix alone, so that many of them stay cheap.

Reference: B. W. Silverman, "Density estimation for statistics and data analysis" (1986), chapter 4.
"""

import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float

from mfgen._types import Given, Scalar, State, Time
from mfgen.dynamics._noising import AbstractNoising
from mfgen.math import _entry
from mfgen.models._base import AbstractNormalised


class SmoothedPotential(AbstractNormalised):
    """U(t, x) = -log of the kernel density estimate on given centres, noised up to s = S - t.

    Arguments:
        noising: the noising process.
        centres: `[n, dim]`.
        covariance: of every kernel, `[dim, dim]`, positive definite.
    """

    noising: AbstractNoising
    origin: State
    basis: Float[Array, "dim dim"]
    variances: State
    centres: Float[Array, "n dim"]

    def __init__(self, noising: AbstractNoising, centres: Given, covariance: Given):
        said = "`SmoothedPotential` got centres with"
        centres = _entry.single(_entry.given(centres, said), said)
        centres, covariance = _entry.floating(
            "SmoothedPotential", centres=centres, covariance=covariance
        )
        self.noising = noising
        self.variances, self.basis = jnp.linalg.eigh(covariance)
        # Squares are differences of products: about the mean of the centres they lose least.
        self.origin = jnp.mean(centres, axis=0)
        self.centres = jnp.matmul(centres - self.origin[None, :], self.basis, precision="highest")

    def __call__(self, t: Time, x: State) -> Scalar:
        x, s = _entry.point("SmoothedPotential", x, self.origin.size), self.noising.horizon - t
        signal, noise = self.noising.signal(s), self.noising.noise(s)
        z = jnp.matmul(x - signal * self.origin, self.basis, precision="highest")
        variances = jnp.square(signal) * self.variances + jnp.square(noise)
        weights = jnp.concatenate(
            [signal * z / variances, -0.5 * jnp.square(signal) / variances], axis=0
        )
        features = jnp.concatenate([self.centres, jnp.square(self.centres)], axis=1)
        exponents = jnp.matmul(features, weights, precision="highest")
        own = 0.5 * jnp.sum(jnp.square(z) / variances + jnp.log(2 * jnp.pi * variances))
        return own + jnp.log(1.0 * self.centres.shape[0]) - logsumexp(exponents)

    def covariance(self) -> Float[Array, "dim dim"]:
        """The covariance of every kernel, shape `[dim, dim]`."""
        return (self.basis * self.variances[None, :]) @ self.basis.T
