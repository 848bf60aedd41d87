"""Is the game well posed? Each condition of the theory is tried on numbers.

    L convex and superlinear in v  ->  H finite, v* unique, the control derived from U optimal
    noise, smooth H                ->  classical solutions; otherwise viscosity solutions
    dM/drho defined                ->  a terminal condition
    I, M monotone                  ->  one equilibrium;  displacement convex -> one minimiser

What fails comes with a counterexample and with the cost or setting that repairs it. The plain
normalizing flow (L = 0) is the example: H is infinite unless grad U = 0, and a kinetic cost repairs
it; a target on a manifold is the other: log pi is undefined, and noise or a Lipschitz-regularised
divergence repairs it. Both are needed.

References: B. J. Zhang, M. A. Katsoulakis (2023), arXiv 2304.13534; J.-M. Lasry, P.-L. Lions
(2007); R. McCann (1997); Z. Chen et al. (2024), arXiv 2407.11901.
"""

import math

import jax

from mfgen import _check
from mfgen._types import Key
from mfgen.densities._base import AbstractDensity
from mfgen.derive._boundary import boundary
from mfgen.derive._conventions import conventions
from mfgen.derive._convexity import convexity, growth
from mfgen.derive._monotonicity import displacement, monotone, pairs, potential
from mfgen.derive._probe import doubled, laws, probe
from mfgen.derive._reach import noise, reach
from mfgen.derive._regularity import finiteness, smoothness
from mfgen.derive._resolution import resolution
from mfgen.derive._support import terminal
from mfgen.derive._verdict import Report
from mfgen.games._game import MFG


def check(
    game: MFG,
    rho0: AbstractDensity | None = None,
    *,
    key: Key | None = None,
    spacing: float | None = None,
    step: float | None = None,
) -> Report:
    """Whether a game is well posed, condition by condition.

    Arguments:
        game: the game.
        rho0: the first density; that of the game if absent.
        key: of the points that are tried.
        spacing: of a grid, in units of x, where its resolution is to be judged.
        step: of time of that grid.

    Returns:
        The report; what the game's own parts raise is reported, not raised.

    Raises:
        ValueError: if `spacing` or `step` is not positive, or `step` comes without `spacing`.

    Example:

        print(check(MFG(Integrator(), NoCost(), KL(target))))      # H is infinite ...
    """
    _check.of_kind("check", "game", game, MFG, "pass MFG(...), or `solution.game`")
    for name, value in (("spacing", spacing), ("step", step)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise ValueError(f"`check` got {name} = {value}, expected a finite positive number.")
    if step is not None and spacing is None:
        raise ValueError("`check` got step without spacing, expected both: pass spacing=h.")
    keys = jax.random.split(jax.random.key(0) if key is None else key, 3)
    with jax.enable_x64(True):
        game, rho0 = doubled(game), doubled(game.initial if rho0 is None else rho0)
        costs = {"I": game.interaction, "M": game.terminal}
        points = probe(game, rho0, keys[0])
        at = pairs(laws(game, rho0), points.x.shape[1], keys[1])
        items = [
            *convexity(game, points),
            growth(game, points),
            *finiteness(game, points),
            smoothness(game, points),
            noise(game, points),
            reach(game, points),
            *boundary(game, points),
            terminal(game, rho0, keys[2]),
            *[monotone(name, functional, at) for name, functional in costs.items()],
            *[displacement(name, functional, at) for name, functional in costs.items()],
            potential(costs, at),
            conventions(),
        ]
        if spacing is not None:
            items += resolution(game, points, spacing, step)
    return Report(tuple(items))
