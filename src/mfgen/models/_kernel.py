"""The Cole-Hopf mixture: a model that satisfies the Hamilton-Jacobi-Bellman equation exactly.

For weights w_k, centres m_k and covariances C_k = L_k L_k^T,

    Phi(s, y) = log sum_k w_k N(y; alpha(s) m_k, alpha(s)^2 C_k + sigma(s)^2 I),   U = -Phi

is the log-density of a Gaussian mixture pushed through the noising, so exp(Phi) solves the
Fokker-Planck equation of the noising and U the HJB equation of the score-based game, for any
parameters (Hopf-Cole). Training only has to fit the data.

Reference: "Wasserstein proximal operators describe score-based generative models and resolve
memorization" (B. J. Zhang et al. 2024), arXiv 2402.06162 (kernel models of the score).
"""

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float

from mfgen._types import Count, Given, Key, Scalar, State, Time
from mfgen.data._validate import check_samples
from mfgen.densities._gaussian import GaussianMixture
from mfgen.dynamics._noising import AbstractNoising
from mfgen.games._game import MFG
from mfgen.math import _entry
from mfgen.math._count import whole
from mfgen.models._base import AbstractNormalised
from mfgen.models._precondition import precondition
from mfgen.models._spectral import SpectralPotential


class KernelPotential(AbstractNormalised):
    """U(t, x) = -log of a Gaussian mixture noised up to s = S - t.

    Arguments:
        noising: the noising process.
        logits: log weights up to a constant, `[K]`.
        centres: `[K, dim]`.
        log_scales: logarithms of the diagonals of the Cholesky factors, `[K, dim]`.
        shears: strictly lower triangles of the Cholesky factors, `[K, dim, dim]`, or `None` for
            diagonal covariances.
    """

    noising: AbstractNoising
    logits: Float[Array, "K"]
    centres: Float[Array, "K dim"]
    log_scales: Float[Array, "K dim"]
    shears: Float[Array, "K dim dim"] | None

    def __call__(self, t: Time, x: State) -> Scalar:
        x, s = _entry.point("KernelPotential", x, self.centres.shape[1]), self.noising.horizon - t
        signal, noise = self.noising.signal(s), self.noising.noise(s)
        offsets = x[None, :] - signal * self.centres
        log_weights = jax.nn.log_softmax(self.logits)
        if self.shears is None:
            variances = jnp.square(signal * jnp.exp(self.log_scales)) + jnp.square(noise)
            squares = jnp.sum(jnp.square(offsets) / variances, axis=1)
            determinants = jnp.sum(jnp.log(variances), axis=1)
        else:
            squares, determinants = jax.vmap(_gaussian_terms)(
                jnp.square(signal) * self.covariances() + jnp.square(noise) * jnp.eye(x.size)[None],
                offsets,
            )
        exponents = log_weights - 0.5 * (squares + determinants + x.size * jnp.log(2 * jnp.pi))
        return -logsumexp(exponents)

    def covariances(self) -> Float[Array, "K dim dim"]:
        """C_k = L_k L_k^T, shape `[K, dim, dim]`."""
        factors = jax.vmap(jnp.diag)(jnp.exp(self.log_scales))
        if self.shears is not None:
            factors = factors + jnp.tril(self.shears, -1)
        return factors @ jnp.swapaxes(factors, 1, 2)

    def untrained(self) -> AbstractNormalised:
        """In principal axes, unless the covariances are diagonal anyway."""
        if self.shears is None:
            return self
        variances, axes = jnp.linalg.eigh(self.covariances())
        log_weights = jax.nn.log_softmax(self.logits)
        return SpectralPotential(self.noising, log_weights, self.centres, axes, variances)

    def mixture(self) -> GaussianMixture:
        """The mixture at noise zero, which can be sampled and evaluated exactly."""
        return GaussianMixture(jax.nn.softmax(self.logits), self.centres, self.covariances())


def _gaussian_terms(covariance: Array, offset: Array) -> tuple[Array, Array]:
    """The Mahalanobis square of an offset and the log-determinant of a covariance."""
    factor = jnp.linalg.cholesky(covariance)
    whitened = jax.scipy.linalg.solve_triangular(factor, offset, lower=True)
    return jnp.sum(jnp.square(whitened)), 2 * jnp.sum(jnp.log(jnp.diag(factor)))


def kernel_potential(
    game: MFG,
    data: Given,
    *,
    components: Count = 20,
    full: bool = True,
    key: Key,
) -> KernelPotential:
    """A `KernelPotential` whose centres start at data points spread out at random.

    Arguments:
        game: from `score_based`.
        data: samples `[n, dim]`; centres are drawn from them by k-means++ (each new centre far
            from the earlier ones).
        components: the number of centres K, at most n.
        full: full covariances; otherwise diagonal ones, for high dimension.
        key: random key for the choice.

    Raises:
        ValueError: for bad data, or a number of components out of range.
    """
    points = jnp.asarray(check_samples(data, name="data"))
    number = whole(components)
    if number is None or not 1 <= number <= points.shape[0]:
        raise ValueError(
            f"`kernel_potential` got components = {components} for {points.shape[0]} samples, "
            "expected between 1 and the number of samples: pass fewer components."
        )
    scaling = precondition(game)
    dim = points.shape[1]
    scale = scaling.spread * number ** (-1.0 / dim)
    return KernelPotential(
        scaling.noising,
        jnp.zeros(number),
        _spread_out(points, number, key),
        jnp.full((number, dim), jnp.log(scale)),
        jnp.zeros((number, dim, dim)) if full else None,
    )


def _spread_out(points: Array, count: int, key: Key) -> Array:
    first_key, key = jax.random.split(key)
    first = points[jax.random.randint(first_key, (), 0, points.shape[0])]

    def choose(nearest, key):
        chosen = points[jax.random.categorical(key, jnp.log(nearest))]
        distance = jnp.sum(jnp.square(points - chosen[None, :]), axis=1)
        return jnp.minimum(nearest, distance), chosen

    nearest = jnp.sum(jnp.square(points - first[None, :]), axis=1)
    _, others = jax.lax.scan(choose, nearest, jax.random.split(key, count - 1))
    return jnp.concatenate([first[None], others])
