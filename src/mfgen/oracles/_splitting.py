"""A population that splits: a game without noise whose value function has a kink at all times.

    dX = v dt,   L = (k/2) |v|^2,   M = -E |X|
    U(t, x) = inf_y { -|y| + k |y - x|^2 / (2 (T - t)) } = -|x| - (T - t) / (2 k)
    v* = x / (k |x|)

Everyone moves outwards at the speed 1/k, so that with r = |x| and s = r - t / k > 0

    rho(t, x) = rho_0(s x / r) (s / r)^(d - 1),      zero within t / k of the origin.

Reference: L. C. Evans, "Partial differential equations" (2010), section 3.3.
"""

import math

import jax.numpy as jnp
import numpy as np

from mfgen._types import Batch, Scalar, State, Time
from mfgen.costs._cost import Kinetic
from mfgen.densities._base import AbstractEvaluable
from mfgen.densities._gaussian import Gaussian
from mfgen.dynamics._dynamics import Integrator
from mfgen.functionals._functional import Linear
from mfgen.games._game import MFG
from mfgen.oracles._base import AbstractMoved, Oracle, check_dim, exact

_DEVIATION = 0.6


class Split(AbstractMoved):
    """The law of X_0 (1 + distance / |X_0|): everyone moved outwards, none within the distance.

    Attributes:
        start: the law of X_0.
        distance: how far.
    """

    start: AbstractEvaluable
    distance: Scalar

    def __init__(self, start: AbstractEvaluable, distance: Time):
        self.start, self.distance = start, jnp.asarray(distance, float)

    def log_density(self, x: State) -> Scalar:
        """Minus infinity within the distance of the origin, where nobody is."""
        radius = jnp.linalg.norm(x)
        outside = radius > self.distance
        stretch = jnp.where(outside, 1 - self.distance / jnp.where(outside, radius, 1), 0.5)
        moved = self.start.log_density(stretch * x) + (self.dim - 1) * jnp.log(stretch)
        return jnp.where(outside, moved, -jnp.inf)

    def moved(self, points: Batch) -> Batch:
        radii = jnp.linalg.norm(points, axis=1, keepdims=True)
        return points * (1 + self.distance / radii)


def kink(dim: int = 1, weight: float = 1.5, horizon: float = 1.0) -> Oracle:
    """The terminal cost -|x|: a population that splits at the origin, where U has a kink.

    U is the viscosity solution; its equation holds everywhere but at the origin. The density is
    zero within t / k of the origin.

    Arguments:
        dim: dimension of the space.
        weight: k of L = (k/2) |v|^2.
        horizon: T.
    """
    check_dim("kink", dim)
    first = Gaussian(np.zeros(dim), _DEVIATION**2)
    game = MFG(
        Integrator(horizon=horizon),
        Kinetic(weight),
        Linear(lambda x: -_norm(x)),
        initial=first,
    )
    value = lambda t, x: -_norm(x) - (horizon - t) / (2 * weight)
    path = lambda t: Split(first, t / weight)
    mean_norm = math.sqrt(2) * math.gamma((dim + 1) / 2) / math.gamma(dim / 2) * _DEVIATION
    return Oracle(
        exact(game, value, path),
        -mean_norm - horizon / (2 * weight),
        6 * _DEVIATION + horizon / weight,
        "oracle-kink",
        "the terminal cost -|x| without noise: the value has a kink, the population parts",
        "U = -|x| - (T - t) / (2 k), v* = x / (k |x|)",
        "L. C. Evans, Partial differential equations (2010), section 3.3",
    )


def _norm(x: State) -> Scalar:
    """|x|, with derivative zero at the origin."""
    square = jnp.vdot(x, x)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
