"""What a solver takes and what it returns: one type of solution for grids, networks and formulas.

    solve(game, solver, key=...)  ->  Solution(game, value, density, result, stats)

with value U(t, x), the cost to go, and density rho(t), the law of the particles that play
v* = argmax_v { -grad U.(g v) - L }. A solver never returns a silent non-answer: `result` says in a
word and in a sentence whether the iteration converged, stalled or diverged; what it had by then is
kept.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from enum import Enum

import equinox as eqx
import jax
import jax.numpy as jnp

from mfgen import _check
from mfgen._types import Costate, Key, State, Time
from mfgen.density.base import AbstractDensity
from mfgen.derive.hamiltonian import drift
from mfgen.models.base import AbstractPotential
from mfgen.problem.game import MFG


class Status(Enum):
    """How a solver ended."""

    CONVERGED = "converged"
    STALLED = "stalled"
    DIVERGED = "diverged"


class Result(eqx.Module):
    """How a solver ended, in a word and in a sentence.

    Attributes:
        status: converged, stalled or diverged.
        message: a sentence with the figures behind the word, and the fix where one is known.
    """

    status: Status = eqx.field(static=True)
    message: str = eqx.field(static=True)

    @property
    def converged(self) -> bool:
        return self.status is Status.CONVERGED


class Solution(eqx.Module):
    """A solution of a game, or a solver's attempt at one.

    It is known from time 0 to the horizon and, where it was found on a lattice, in its box: beyond
    are no particles, and a value is refused (nan where time or place are traced).

    Attributes:
        game: the game.
        value: U(t, x), a potential.
        density: the path t -> rho(t); `None` where the solver finds the value function alone.
        result: how the solver ended.
        stats: figures of the solver by name, such as its iterations.
    """

    game: MFG
    value: AbstractPotential
    density: Callable[[Time], AbstractDensity] | None
    result: Result
    stats: Mapping[str, float] = eqx.field(default_factory=dict)

    def costate(self, t: Time, x: State) -> Costate:
        """grad U(t, x), shape `[dim]`."""
        return self.value.costate(t, x)

    def velocity(self, t: Time, x: State) -> State:
        """The drift a + g v* of a particle, shape `[dim]`."""
        return drift(self.game, t, x, self.costate(t, x))


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
    value, density = jax.tree.map(cast, (solution.value, solution.density))
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
