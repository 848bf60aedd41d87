"""Gaussians and Gaussian mixtures in any dimension, with exact noised laws.

    rho(x) = sum_k w_k N(x; m_k, C_k)

Noising keeps the family: alpha X + sigma N(0, I) has the weights w_k, the means alpha m_k and the
covariances alpha^2 C_k + sigma^2 I. With eigen-decomposed covariances a noised law costs one
addition, and its score is exact at every noise level. Isotropic and diagonal covariances store no
eigenvectors, so large mixtures of them (a noised data set) stay cheap.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float

from mfgen._types import Batch, Key, Scalar, State
from mfgen.densities._base import (
    AbstractNoisable,
    Matrix,
    Number,
    Values,
    Weights,
    sampled_particles,
    weighted_moments,
)
from mfgen.densities._covariance import Covariance, check_resolved, decompose
from mfgen.math import _entry
from mfgen.math._quadrature import gauss_hermite, tensor

# Nodes per axis of the tensor Gauss-Hermite rule; above three dimensions a sample is cheaper.
_HERMITE_ORDER = {1: 64, 2: 16, 3: 10}


class Gaussian(AbstractNoisable):
    """The normal law N(m, C).

    Arguments:
        mean: `[dim]`.
        covariance: a number c for c I, a vector `[dim]` for a diagonal, or a matrix `[dim, dim]`.

    Raises:
        ValueError: if the shapes disagree or the covariance is not positive definite.

    Example:

        law = Gaussian([1.0, 0.0], [1.0, 0.25])
        law.log_density(jnp.zeros(2)), law.sample(100, key=key).shape
    """

    mean: State
    covariance: Covariance

    def __init__(self, mean: State | Values, covariance: Values = 1.0):
        self.mean, matrix = _entry.floating("Gaussian", mean=mean, covariance=covariance)
        if self.mean.ndim != 1:
            raise ValueError(
                f"`Gaussian` got a mean of shape {self.mean.shape}, expected [dim]: pass a vector."
            )
        stacked = decompose("Gaussian", matrix[None], 1, self.mean.shape[0])
        check_resolved("Gaussian", self.mean[None], stacked.marginal())
        self.covariance = jax.tree.map(lambda leaf: leaf[0], stacked)

    def arguments(self) -> dict[str, Values]:
        """The arguments of its constructor."""
        covariance = self.covariance.given() if self.dim > 1 else self.covariance.variances
        return {"mean": self.mean, "covariance": covariance}

    @property
    def dim(self) -> int:
        return self.mean.shape[0]

    def log_density(self, x: State) -> Scalar:
        x = _entry.point("Gaussian", x, self.dim)
        return self.covariance.log_normal(x - self.mean)

    def noised(self, alpha: Number, sigma: Number) -> "Gaussian":
        changed = (alpha * self.mean, self.covariance.noised(alpha, sigma))
        return eqx.tree_at(lambda law: (law.mean, law.covariance), self, changed)

    def sample(self, n: int, *, key: Key) -> Batch:
        standard = jax.random.normal(key, (n, self.dim), self.mean.dtype)
        return self.mean[None, :] + jax.vmap(self.covariance.colour)(standard)

    def moments(self) -> tuple[State, Matrix]:
        return self.mean, self.covariance.matrix(self.dim)

    def particles(self) -> tuple[Batch, Weights]:
        if self.dim not in _HERMITE_ORDER:
            return sampled_particles(self)
        nodes, weights = _hermite(self.dim, self.mean.dtype)
        return self.mean[None, :] + jax.vmap(self.covariance.colour)(nodes), weights


class GaussianMixture(AbstractNoisable):
    """The mixture sum_k w_k N(m_k, C_k).

    Arguments:
        weights: `[k]`, non-negative, summing to one.
        means: `[k, dim]`.
        covariances: `[k]` for isotropic, `[k, dim]` for diagonal, `[k, dim, dim]` for full ones.

    Raises:
        ValueError: if the shapes disagree, the weights do not sum to one or a covariance is not
            positive definite.

    Example:

        two = GaussianMixture([0.3, 0.7], [[-2.0], [2.0]], [0.5, 0.5])
        two.sample(100, key=key)
    """

    log_weights: Float[Array, "k"]
    means: Float[Array, "k dim"]
    covariances: Covariance

    def __init__(self, weights: Values, means: Values, covariances: Values):
        weights, self.means, matrices = _entry.floating(
            "GaussianMixture", weights=weights, means=means, covariances=covariances
        )
        if self.means.ndim != 2 or weights.shape != self.means.shape[:1]:
            raise ValueError(
                f"`GaussianMixture` got weights of shape {weights.shape} and means of shape "
                f"{self.means.shape}, expected [k] and [k, dim]: pass one weight for each mean."
            )
        _check_weights(weights)
        self.log_weights = jnp.log(weights / jnp.sum(weights))
        self.covariances = decompose("GaussianMixture", matrices, *self.means.shape)
        check_resolved("GaussianMixture", self.means, self.covariances.marginal())

    def arguments(self) -> dict[str, Values]:
        """The arguments of its constructor."""
        covariances = jax.vmap(Covariance.given)(self.covariances)
        weights = jnp.exp(self.log_weights)
        return {"weights": weights, "means": self.means, "covariances": covariances}

    @property
    def dim(self) -> int:
        return self.means.shape[1]

    def log_density(self, x: State) -> Scalar:
        x = _entry.point("GaussianMixture", x, self.dim)
        offsets = x[None, :] - self.means
        logs = jax.vmap(Covariance.log_normal)(self.covariances, offsets)
        return logsumexp(self.log_weights + logs)

    def noised(self, alpha: Number, sigma: Number) -> "GaussianMixture":
        changed = (alpha * self.means, self.covariances.noised(alpha, sigma))
        return eqx.tree_at(lambda law: (law.means, law.covariances), self, changed)

    def sample(self, n: int, *, key: Key) -> Batch:
        which_key, noise_key = jax.random.split(key)
        count = self.means.shape[0]
        which = jax.random.choice(which_key, count, (n,), p=jnp.exp(self.log_weights))
        standard = jax.random.normal(noise_key, (n, self.dim), self.means.dtype)
        chosen = jax.tree.map(lambda leaf: leaf[which], self.covariances)
        return self.means[which] + jax.vmap(Covariance.colour)(chosen, standard)

    def moments(self) -> tuple[State, Matrix]:
        weights = jnp.exp(self.log_weights)
        mean, between = weighted_moments(self.means, weights)
        inside = jax.vmap(lambda covariance: covariance.matrix(self.dim))(self.covariances)
        return mean, jnp.tensordot(weights, inside, axes=1) + between

    def particles(self) -> tuple[Batch, Weights]:
        if self.dim not in _HERMITE_ORDER:
            return sampled_particles(self)
        nodes, weights = _hermite(self.dim, self.means.dtype)
        colour = jax.vmap(Covariance.colour, in_axes=(None, 0))
        spread = jax.vmap(colour, in_axes=(0, None))(self.covariances, nodes)
        points = self.means[:, None, :] + spread
        weights = jnp.exp(self.log_weights)[:, None] * weights[None, :]
        return points.reshape(-1, self.dim), weights.reshape(-1)


def isotropic(mean: Values, scale: Number) -> Gaussian:
    """Return N(mean, scale^2 I); `scale` is the standard deviation of every coordinate."""
    return Gaussian(mean, jnp.square(scale))


def mixture20(seed: int = 0, dim: int = 2) -> GaussianMixture:
    """Return a random mixture of 20 Gaussians: a target with an exact density in any dimension.

    Means are uniform in [-4, 4]^dim; covariances have random axes with standard deviations
    log-uniform in [.2, .8]; log weights are normal with standard deviation .5, up to a constant.

    Arguments:
        seed: which mixture.
        dim: dimension of the space.
    """
    rng = np.random.default_rng((seed, dim))
    means = rng.uniform(-4.0, 4.0, (20, dim))
    axes = np.linalg.qr(rng.normal(size=(20, dim, dim)))[0]
    deviations = np.exp(rng.uniform(np.log(0.2), np.log(0.8), (20, dim)))
    weights = np.exp(0.5 * rng.normal(size=20))
    factors = axes * deviations[:, None, :]
    return GaussianMixture(weights / weights.sum(), means, factors @ factors.transpose(0, 2, 1))


def _check_weights(weights: Array) -> None:
    if isinstance(weights, Tracer):
        return
    total, smallest = float(np.asarray(weights).sum()), float(np.asarray(weights).min())
    if not (smallest >= 0.0 and abs(total - 1.0) < 1e-4):
        raise ValueError(
            f"`GaussianMixture` got weights with sum {total:.6g} and minimum {smallest:.3g}, "
            "expected non-negative weights of sum 1: divide them by their sum."
        )


def _hermite(dim: int, dtype: np.dtype) -> tuple[Batch, Weights]:
    nodes, weights = tensor([gauss_hermite(_HERMITE_ORDER[dim])] * dim)
    return jnp.asarray(nodes, dtype), jnp.asarray(weights, dtype)
