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

from mfgen.density.base import AbstractDensity
from mfgen.problem.cost import Kinetic
from mfgen.problem.dynamics import Integrator, positive
from mfgen.problem.functional import AbstractFunctional
from mfgen.problem.game import MFG


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
        solution = solve(game, Grid(box=(-5, 5)))
    """
    positive("gradient_flow_game", "epsilon", epsilon)
    return MFG(
        Integrator(horizon=horizon),
        Kinetic(),
        functional if terminal is None else terminal,
        interaction=(1 / epsilon) * functional,
        initial=initial,
        discount=1 / epsilon,
    )
