"""The interface of solvers: one type of solution for grids, networks and formulas.

    solve(game, solver, key=...)  ->  Solution(game, value, density, result, stats)

with value U(t, x), the cost to go, and density rho(t), the law of the particles that play
v* = argmax_v { -grad U.(g v) - L }. A solver never returns a silent non-answer: `result` says in a
word and in a sentence whether the iteration converged, stalled or diverged; what it had by then is
kept.
"""

from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp

from mfgen import _check
from mfgen._types import Key
from mfgen.games._game import MFG
from mfgen.simulate._solution import Result as Result
from mfgen.simulate._solution import Solution as Solution
from mfgen.simulate._solution import Status as Status


class AbstractSolver(eqx.Module):
    """A way to solve games.

    To add one, give `solve(game, key=key)`; it refuses games it does not cover with a `ValueError`
    that names the part of the game and the solver that does.
    """

    @abstractmethod
    def solve(self, game: MFG, *, key: Key | None = None) -> Solution:
        """The solution of the game; `game.initial` is the density at time 0."""


def in_double(solve: Callable[[MFG], Solution], game: MFG) -> Solution:
    """The solution by double precision, its arrays in the precision that the caller works in."""
    wanted = jnp.result_type(float)
    with jax.enable_x64(True):
        solution = solve(game)
    cast = lambda leaf: leaf.astype(wanted) if eqx.is_inexact_array(leaf) else leaf
    value, density = jax.tree.map(cast, (solution.model, solution.density))
    return Solution(game, value, density, solution.result, solution.stats)


def solve(game: MFG, solver: AbstractSolver, *, key: Key | None = None) -> Solution:
    """Solves the game.

    Arguments:
        game: the game, with its initial density.
        solver: such as `Riccati()`, `Grid(...)` or `Neural(...)`.
        key: for solvers that draw random numbers.

    Example:

        solution = solve(game, Grid(box=(-4, 4), points=400))
        print(solution.result.message)
    """
    _check.of_kind("solve", "game", game, MFG, "pass the game first and then the solver")
    _check.of_kind("solve", "solver", solver, AbstractSolver, "pass `Riccati()` or `Grid(box)`")
    if key is not None:
        _check.a_key("solve", key)
    return solver.solve(game, key=key)
