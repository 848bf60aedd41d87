"""Curves blurred by isotropic Gaussian noise, with the density by quadrature along the curve.

    X = c(tau) + s N(0, I),    tau in [0, 1] of density (1 + a) tau^a
    rho(x) = int (1 + a) tau^a N(x; c(tau), s^2 I) dtau ~ sum_j w_j N(x; c(tau_j), s^2 I)

The sum is a Gaussian mixture, so noised laws and scores follow. The error of the Gauss-Legendre
rule falls like exp(-2 pi^2 (s / h)^2) with the node spacing h along the curve; the number of nodes
is chosen so that h <= 0.4 s: the error is below 1e-10 where samples fall, and grows to 1e-4 some
fifty deviations away. Noising only makes it better, since h scales with alpha. Samples follow the
curve itself, not the nodes.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfgen._types import Batch, Key, Scalar, State
from mfgen.densities._base import AbstractNoisable, Matrix, Number
from mfgen.densities._gaussian import GaussianMixture
from mfgen.math import _entry
from mfgen.math._quadrature import gauss_legendre

_SPACING = 0.4
_MAXIMUM_NODES = 4096


class Curve(AbstractNoisable):
    """A point of a curve (or of one of several, equally likely) plus N(0, noise^2 I).

    Arguments:
        curve: a smooth function of `tau` in [0, 1] with values `[branches, dim]`.
        noise: standard deviation of each coordinate, a positive number.
        power: the parameter `tau` has the density (1 + power) tau^power.

    Raises:
        ValueError: if the noise is too small for a quadrature along the curve.
    """

    curve: Callable[[Scalar], Float[Array, "branches dim"]] = eqx.field(static=True)
    power: int = eqx.field(static=True)
    scale: Scalar
    mixture: GaussianMixture

    def __init__(
        self,
        curve: Callable[[Scalar], Float[Array, "branches dim"]],
        noise: float,
        power: int = 0,
    ):
        self.curve = curve
        self.power = power
        self.scale = jnp.ones(())
        nodes, weights = gauss_legendre(_node_count(curve, noise))
        points = _evaluate(curve, nodes)
        branches, dim = points.shape[1:]
        weights = np.repeat(weights * (1 + power) * nodes**power / branches, branches)
        variances = jnp.full(weights.shape, float(noise) ** 2)
        self.mixture = GaussianMixture(weights / weights.sum(), points.reshape(-1, dim), variances)

    @property
    def dim(self) -> int:
        return self.mixture.dim

    def log_density(self, x: State) -> Scalar:
        x = _entry.point("Curve", x, self.dim)
        return self.mixture.log_density(x)

    def noised(self, alpha: Number, sigma: Number) -> "Curve":
        changed = (alpha * self.scale, self.mixture.noised(alpha, sigma))
        return eqx.tree_at(lambda law: (law.scale, law.mixture), self, changed)

    def sample(self, n: int, *, key: Key) -> Batch:
        tau_key, branch_key, noise_key = jax.random.split(key, 3)
        tau = jax.random.uniform(tau_key, (n,)) ** (1.0 / (1 + self.power))
        points = jax.vmap(self.curve)(tau)
        branch = jax.random.randint(branch_key, (n,), 0, points.shape[1])
        points = self.scale * points[jnp.arange(n), branch]
        deviation = jnp.sqrt(self.mixture.covariances.variances[0, 0])
        return points + deviation * jax.random.normal(noise_key, points.shape, points.dtype)

    def moments(self) -> tuple[State, Matrix]:
        return self.mixture.moments()


def _node_count(curve: Callable, noise: float) -> int:
    """Return how many nodes keep the spacing along the curve at a fixed fraction of the noise."""
    tau = np.linspace(0.0, 1.0, 2001)
    points = np.asarray(_evaluate(curve, tau), np.float64)
    speed = np.linalg.norm(np.gradient(points, tau, axis=0), axis=-1).max(axis=1)
    # n Gauss-Legendre nodes of [0, 1] lie pi sqrt(tau (1 - tau)) / n apart.
    spacing = float(np.max(speed * np.pi * np.sqrt(tau * (1.0 - tau))))
    count = max(32, int(np.ceil(spacing / (_SPACING * noise)))) if noise > 0.0 else np.inf
    if count > _MAXIMUM_NODES:
        smallest = spacing / (_SPACING * _MAXIMUM_NODES)
        raise ValueError(
            f"`Curve` got noise {noise:.3g}, which needs {count} quadrature nodes, expected at "
            f"most {_MAXIMUM_NODES}: pass a noise of at least {smallest:.3g}."
        )
    return int(count)


def _evaluate(curve: Callable, tau: np.ndarray) -> Float[Array, "tau branches dim"]:
    with jax.ensure_compile_time_eval():
        return jax.jit(jax.vmap(curve))(jnp.asarray(tau, float))
