"""A Gaussian mixture noised exactly, in the principal axes of its components.

With C_k = Q_k diag(l_k) Q_k^T the noised covariances share the axes at every level,

    alpha^2 C_k + sigma^2 I = Q_k diag(alpha^2 l_k + sigma^2) Q_k^T,

so a point costs one rotation for each component instead of a factorisation. It is the form for
mixtures that are evaluated and no longer trained (`KernelPotential.untrained`).
"""

import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float

from mfgen._types import Scalar, State, Time
from mfgen.dynamics._noising import AbstractNoising
from mfgen.math import _entry
from mfgen.models._base import AbstractNormalised


class SpectralPotential(AbstractNormalised):
    """U(t, x) = -log of a Gaussian mixture noised up to s = S - t.

    Arguments:
        noising: the noising process.
        log_weights: logarithms of the weights, `[K]`.
        centres: `[K, dim]`.
        axes: principal axes of the covariances as columns, `[K, dim, dim]`.
        variances: along the axes, `[K, dim]`.
    """

    noising: AbstractNoising
    log_weights: Float[Array, "K"]
    centres: Float[Array, "K dim"]
    axes: Float[Array, "K dim dim"]
    variances: Float[Array, "K dim"]

    def __call__(self, t: Time, x: State) -> Scalar:
        x, s = _entry.point("KernelPotential", x, self.centres.shape[1]), self.noising.horizon - t
        signal, noise = self.noising.signal(s), self.noising.noise(s)
        offsets = jnp.einsum("kij,ki->kj", self.axes, x[None, :] - signal * self.centres)
        variances = jnp.square(signal) * self.variances + jnp.square(noise)
        squares = jnp.sum(jnp.square(offsets) / variances + jnp.log(variances), axis=1)
        normalisation = x.size * jnp.log(2 * jnp.pi)
        return -logsumexp(self.log_weights - 0.5 * (squares + normalisation))
