"""Reference densities of a score-based game, whose noised laws a network corrects.

    log eta(s, y) = log reference(s, y) + correction of the network

`Moments` is the Gaussian of the first two moments of the data, the usual choice; `Drifted` the
score of what is known of a forward process without a kernel. `Fixed` is any
potential that is a density at every time, such as a mixture or a kernel estimate of the data: the
network then has only what is left to learn, and with the correction zero the game's equations hold
exactly. The reference is not trained.
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from mfgen._types import Scalar, State, Time
from mfgen.densities._base import Part
from mfgen.math._linear_map import square
from mfgen.models._base import AbstractNormalised
from mfgen.models._precondition import AbstractScaling


class AbstractReference(eqx.Module):
    """A reference; to add one, give its log-density and its score at noising time s."""

    @abstractmethod
    def log_density(self, s: Time, y: State) -> Scalar:
        """The logarithm of the reference at time s."""

    @abstractmethod
    def score(self, s: Time, y: State) -> Array:
        """Its gradient along the point, shape `[dim]`."""


class Moments(AbstractReference):
    """The Gaussian N(signal m, signal^2 c^2 + noise^2) of the preconditioning."""

    precondition: AbstractScaling

    def log_density(self, s: Time, y: State) -> Scalar:
        z = self.precondition.point(s, y)
        return -0.5 * jnp.sum(jnp.square(z)) - z.size * (
            jnp.log(self.precondition.width(s)) + 0.5 * jnp.log(2 * jnp.pi)
        )

    def score(self, s: Time, y: State) -> Array:
        return -self.precondition.point(s, y) / self.precondition.width(s)


class Drifted(AbstractReference):
    """The Gaussian of the moments, which gives way to 2 (g g^T)^-1 f as noise is added.

    At rest under a drift f = -grad V the score is 2 f / g^2. The reversed drift -f + g g^T score is
    then f and no longer -f: far out, where nothing was learnt, paths turn back as they came.
    """

    precondition: AbstractScaling

    def log_density(self, s: Time, y: State) -> Scalar:
        raise TypeError("`Drifted` has a score alone: take `Moments` for a potential.")

    def score(self, s: Time, y: State) -> Array:
        scaling, process = self.precondition, self.precondition.noising
        free = 2 * process.free(s, y[: scaling.dim])
        spread = square(process.diffusion(s))
        rest = free / spread if spread.ndim == 0 else jnp.linalg.solve(spread, free)
        share = jnp.square(process.noise(s) / process.noise(process.horizon))
        return rest - (1 - share) * scaling.point(s, y) / scaling.width(s)


class Fixed(AbstractReference):
    """The density exp(-U) of a potential, with its parameters as they are.

    Arguments:
        potential: a density of the points at every time, see `kernel_potential`,
            `mixture_estimate`.
        horizon: of the noising; game time is horizon - s.
        labels: coordinates of a label beside the point.
    """

    potential: AbstractNormalised
    horizon: float = eqx.field(static=True)
    labels: int = eqx.field(static=True, default=0)

    def log_density(self, s: Time, y: State) -> Scalar:
        return -untrainable(self.potential)(self.horizon - s, y[: y.size - self.labels])

    def score(self, s: Time, y: State) -> Array:
        point = y[: y.size - self.labels]
        return -untrainable(self.potential).costate(self.horizon - s, point)


def untrainable(part: Part) -> Part:
    """The same part of a model, through which no gradient goes."""
    return jax.tree.map(
        lambda leaf: jax.lax.stop_gradient(leaf) if eqx.is_inexact_array(leaf) else leaf, part
    )
