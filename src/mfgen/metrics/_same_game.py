"""The test whether two solutions are of one game, by the values of its functions.

Horizon, discount and dimension, and at some points the free drift, gain, diffusion, cost rate,
interaction and terminal cost. Games declared twice with equal functions are one game.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import numpy as np

from mfgen._types import Batch, Time
from mfgen.densities._base import AbstractDensity
from mfgen.games._game import MFG
from mfgen.math._linear_map import matrix, square
from mfgen.simulate._solution import Solution

_POINTS = 16
_TOLERANCE = 1e-3  # relative: targets that were fitted or tabulated differ a little


def check(a: Solution, b: Solution, density: Callable[[Time], AbstractDensity]) -> None:
    """Raises a `ValueError` in the name of `compare` if the solutions are of different games.

    Arguments:
        a, b: the solutions.
        density: the path whose particles are the points.
    """
    horizons = a.game.dynamics.horizon, b.game.dynamics.horizon
    if not np.isclose(*horizons):
        raise ValueError(_different("horizons", *horizons))
    if not np.isclose(a.game.discount, b.game.discount):
        raise ValueError(_different("discounts", a.game.discount, b.game.discount))
    dims = _dim(a), _dim(b)
    if None not in dims and dims[0] != dims[1]:
        raise ValueError(_different("dimensions", *dims))
    middle = 0.37 * horizons[1]
    law, end = density(middle), density(horizons[1])
    x = law.sample(_POINTS, key=jax.random.key(0))
    for name, part in _parts(b, middle, law, end).items():
        try:
            mine, theirs = (np.asarray(part(game, x), float) for game in (a.game, b.game))
        except (TypeError, ValueError):
            continue  # one of the games has no such part, for instance a prescribed end
        size = np.abs(theirs).max()
        if not np.allclose(mine, theirs, rtol=_TOLERANCE, atol=_TOLERANCE * size, equal_nan=True):
            worst = np.unravel_index(np.argmax(np.abs(mine - theirs)), mine.shape)
            raise ValueError(_different(name, f"{mine[worst]:.4g}", f"{theirs[worst]:.4g}"))


def _parts(
    b: Solution, t: float, law: AbstractDensity, end: AbstractDensity
) -> dict[str, Callable[[MFG, Batch], jax.Array]]:
    v = lambda x: b.control(t, x)
    at = lambda f: eqx.filter_jit(lambda game, x: jax.vmap(lambda x: f(game, x))(x))
    return {
        "diffusions": lambda game, x: matrix(square(game.dynamics.diffusion(t)), x.shape[1]),
        "gains": lambda game, x: matrix(game.dynamics.gain(t), x.shape[1]),
        "free drifts": at(lambda game, x: game.dynamics.free(t, x)),
        "Lagrangians": at(lambda game, x: game.lagrangian(t, x, v(x))),
        "interactions": at(lambda game, x: game.interaction.variation(law, x)),
        "terminal costs": at(lambda game, x: game.terminal.variation(end, x)),
    }


def _dim(solution: Solution) -> int | None:
    law = solution.game.initial if solution.density is None else solution.density(0.0)
    return None if law is None else law.dim


def _different(name: str, first: object, second: object) -> str:
    return (
        f"`compare` got games with different {name}, {first} and {second}, expected two solutions "
        "of one game: solve the same game twice."
    )
