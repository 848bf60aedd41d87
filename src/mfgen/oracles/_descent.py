"""A Wasserstein gradient flow as a discounted game, with a parabola for its energy.

    dX = v dt,    L = e^{-t/e} ( |v|^2 / 2 + c |x|^2 / (2 e) ),    F = (c/2) E |X|^2

The cost rate e^{-t/e} F / e is linear in the density, so it stands in the Lagrangian. With the
terminal cost e^{-T/e} W, which stands for all that would be paid after T, the solution is that of
the infinite horizon:

    U = e^{-t/e} W,    W = w |x|^2 / 2,    W / e + |grad W|^2 / 2 = c |x|^2 / (2 e),
    w = ( sqrt(1 + 4 e c) - 1 ) / (2 e)  ->  c  as e -> 0,    v* = -w x,    X_t = e^{-w t} X_0.

Reference: F. Santambrogio, "{Euclidean, metric, and Wasserstein} gradient flows: an overview"
(2017), arXiv 1609.03890.
"""

import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from mfgen._types import Control, Scalar, State, Time
from mfgen.costs._cost import Kinetic, WithPotential
from mfgen.costs._lagrangian import AbstractLagrangian
from mfgen.densities._gaussian import Gaussian
from mfgen.dynamics._dynamics import Integrator, positive
from mfgen.functionals._functional import Linear
from mfgen.games._game import MFG
from mfgen.oracles._base import Oracle, box, check_dim, exact

_HEAVIEST = 80.0  # exp(-80) is still a normal number in single precision


class Discounted(AbstractLagrangian):
    """exp(-rate t) L(t, x, v): what comes later counts less.

    Attributes:
        lagrangian: L.
        rate: per unit of time.
    """

    lagrangian: AbstractLagrangian
    rate: float = eqx.field(static=True)

    def __call__(self, t: Time, x: State, v: Control) -> Scalar:
        return jnp.exp(-self.rate * jnp.asarray(t, x.dtype)) * self.lagrangian(t, x, v)

    def argmax(self, t: Time, x: State, q: Control) -> Control:
        return self.lagrangian.argmax(t, x, q * jnp.exp(self.rate * jnp.asarray(t, x.dtype)))


def discounted_flow(
    dim: int = 1, epsilon: float = 0.1, curvature: float = 1.0, horizon: float = 1.0
) -> Oracle:
    """The gradient flow of a parabola as a discounted game.

    Arguments:
        dim: dimension of the space.
        epsilon: e, the time within which the future counts; the gradient flow is its limit at 0.
        curvature: c > 0 of the parabola.
        horizon: T, at most 80 epsilon: weights e^{-t/e} underflow later.

    Raises:
        ValueError: an epsilon that is not positive, or too small for the horizon.
    """
    check_dim("discounted_flow", dim)
    positive("discounted_flow", "epsilon", epsilon)
    positive("discounted_flow", "curvature", curvature)
    if horizon > _HEAVIEST * epsilon:
        raise ValueError(
            f"`discounted_flow` got horizon = {horizon} and epsilon = {epsilon}, expected a "
            f"horizon of at most {_HEAVIEST:g} epsilon, since exp(-horizon / epsilon) underflows: "
            "shorten the horizon."
        )
    rate = (math.sqrt(1 + 4 * epsilon * curvature) - 1) / (2 * epsilon)
    mean, variance = 1.2 * (-0.7) ** np.arange(dim), 0.25
    discount = lambda t, x: jnp.exp(-jnp.asarray(t, x.dtype) / epsilon)
    value = lambda t, x: discount(t, x) * 0.5 * rate * x @ x

    def path(t):
        shrunk = jnp.exp(-rate * jnp.asarray(t, float))
        return Gaussian(shrunk * mean, shrunk**2 * variance)

    potential = lambda t, x: 0.5 * curvature / epsilon * x @ x
    game = MFG(
        Integrator(horizon=horizon),
        Discounted(WithPotential(Kinetic(), potential), 1 / epsilon),
        Linear(lambda x: value(horizon, x)),
        initial=Gaussian(mean, variance),
    )
    return Oracle(
        exact(game, value, path),
        0.5 * rate * float(mean @ mean + dim * variance),
        box(path, horizon),
        "oracle-discounted-flow",
        "the Wasserstein gradient flow of a parabola as a discounted game",
        "U = e^{-t/e} w |x|^2 / 2, w = (sqrt(1 + 4 e c) - 1) / (2 e), X_t = e^{-wt} X_0",
        "F. Santambrogio, Gradient flows: an overview (2017), arXiv 1609.03890",
    )
