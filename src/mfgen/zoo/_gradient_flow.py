"""Wasserstein gradient flows as discounted games.

    dX = v dt,    L = |v|^2 / 2,    I = F / e,    discount r = 1 / e,    M = F

with value function (current value)

    -dt U + U / e + |grad U|^2 / 2 = (1 / e) dF/drho,     U = dF/drho + e (dt U - |grad U|^2 / 2),

so that U -> dF/drho as e -> 0, and v* = -grad U becomes the velocity of the gradient flow of F,

    dt rho = div( rho grad dF/drho ).

The discount forgets what comes later than e: particles that look ahead that far pay attention to
where they are going, those that do not go down the slope of F. This is the weighted-energy-
dissipation principle; e is no time step, and the path is found as a whole.

References:
    A. Mielke, U. Stefanelli, "Weighted energy-dissipation functionals for gradient flows", ESAIM
    COCV 17 (2011); R. Rossi, G. Savare, A. Segatti, U. Stefanelli, "Weighted energy-dissipation
    principle for gradient flows in metric spaces" (2019), arXiv 1801.04988.
    B. J. Zhang, M. A. Katsoulakis (2023), arXiv 2304.13534, for the flow as a game.
"""

import time

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float

from mfgen import _check
from mfgen._types import Batch, Key, Scalar, State
from mfgen.costs._cost import Kinetic
from mfgen.densities._base import AbstractDensity, AbstractEvaluable
from mfgen.dynamics._dynamics import Integrator, positive
from mfgen.functionals._functional import AbstractFunctional, evaluable
from mfgen.games._game import MFG
from mfgen.losses._windows import affine
from mfgen.models._base import AbstractModel
from mfgen.simulate._divergence import ExactDivergence
from mfgen.simulate._integrator import RungeKutta4
from mfgen.simulate._trajectory import trajectories
from mfgen.solvers._particle import Descent, mean_energy


def gradient_flow_game(
    functional: AbstractFunctional,
    initial: AbstractDensity,
    epsilon: float = 0.1,
    horizon: float = 1.0,
    terminal: AbstractFunctional | None = None,
) -> MFG:
    """The discounted game whose density follows the gradient flow of a functional as e -> 0.

    Arguments:
        functional: F, such as `KL(target)` or `Linear(potential)`.
        initial: the density at time 0.
        epsilon: e, how far particles look ahead. The density is that of the gradient flow up to an
            error of first order in e.
        horizon: T, up to which the flow is followed.
        terminal: the terminal cost M; F if absent, which leaves a layer of width e at the end, in
            which U goes over from its own value to dF/drho. `Zero()` is the other usual choice.

    Raises:
        ValueError: an epsilon that is not positive.

    Reference: A. Mielke, U. Stefanelli, ESAIM COCV 17 (2011).

    Example:

        game = gradient_flow_game(KL(target), start, epsilon=0.05, horizon=2.0)
        solution = solve(game, Grid(box=(-5, 5), points=100))
    """
    fix = "pass one such as `KL(target)`"
    _check.of_kind("gradient_flow_game", "functional", functional, AbstractFunctional, fix)
    positive("gradient_flow_game", "epsilon", epsilon)
    return MFG(
        Integrator(horizon=horizon),
        Kinetic(),
        functional if terminal is None else terminal,
        interaction=(1 / epsilon) * functional,
        initial=initial,
        discount=1 / epsilon,
    )


def dissipation(
    game: MFG, model: AbstractModel, *, particles: int = 2000, stages: int = 50, key: Key
) -> Descent:
    """F along the paths of a discounted game's model, of which the density is followed.

    Arguments:
        game: the game, whose initial density is known; its interaction is F / e.
        model: a potential or a control of it.
        particles: how many paths.
        stages: at which F is told; between two of them two steps of the Runge-Kutta method.
        key: random key.

    Raises:
        TypeError: for an initial density without a logarithm, or a functional that needs samples.
    """
    began = time.perf_counter()
    start = evaluable("dissipation", "initial density", game.initial)
    functional = game.interaction if game.discount == 0 else (1 / game.discount) * game.interaction
    ends, values = _energies(game, model, start, functional, particles, stages, key)
    means, errors = np.asarray([mean_energy(row) for row in values], float).T
    times = game.dynamics.horizon / stages * np.arange(stages + 1)
    return Descent(ends, times, means, errors, time.perf_counter() - began)


@eqx.filter_jit
def _energies(
    game: MFG,
    model: AbstractModel,
    start: AbstractEvaluable,
    functional: AbstractFunctional,
    particles: int,
    stages: int,
    key: Key,
) -> tuple[Batch, Float[Array, "times n"]]:
    """The ends of particles, and a log rho + V - a at all stages, the mean of which is F."""
    points = start.sample(particles, key=key)
    method, exact = RungeKutta4(2 * stages), ExactDivergence()
    found = trajectories(game, model, points, key=key, method=method, divergence=exact)
    logarithms = jax.vmap(start.log_density)(points)[None] - found.log_det

    def told(x: State, log_density: Scalar) -> Scalar:
        variation = affine(functional, x)
        return variation.slope * (log_density - 1) + variation.potential(x)

    values = jax.vmap(jax.vmap(told))(found.points[::2], logarithms[::2])
    return found.points[-1], values
