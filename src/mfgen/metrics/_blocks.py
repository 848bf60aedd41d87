"""Errors of what is computed from the particles of a law: the spread over blocks of them.

Integrals against a density are sums over its `particles()`. These are the nodes of a quadrature
rule where one is known; then nothing is random. Otherwise, above three dimensions and for clouds of
particles, they are a sample, and a functional T of a candidate computed from them has an error. The
particles are cut at random into B blocks, of which each makes a candidate of its own:

    standard error of T = sd over blocks of T_b / sqrt(B).

A block holds the same particles at all times of the game, so the error has in it where they start,
the noise that a path carries from one time to the next, what is common to several terms, and the
dependence of the costs on the population. It does not have what is the same in all blocks: the rule
in time, and the bias of order 1/n of costs that are not linear in the population.

Reference: A. B. Owen, "Monte Carlo theory, methods and examples" (2013), chapter 2, on batches.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float

from mfgen._types import Batch, Key, Scalar, State, Time
from mfgen.densities._base import AbstractDensity, AbstractEvaluable, Matrix, Weights
from mfgen.densities._empirical import Empirical
from mfgen.functionals._constraint import Prescribed
from mfgen.simulate._solution import Solution

_BLOCKS = 24
_LEAST = 8  # particles of a block


class Block(AbstractEvaluable):
    """A law with a log-density, integrated over some of its particles."""

    law: AbstractEvaluable
    points: Batch

    def __init__(self, law: AbstractEvaluable, points: Batch):
        self.law, self.points = law, points

    @property
    def dim(self) -> int:
        return self.law.dim

    def log_density(self, x: State) -> Scalar:
        return self.law.log_density(x)

    def sample(self, n: int, *, key: Key) -> Batch:
        return self.law.sample(n, key=key)

    def moments(self) -> tuple[State, Matrix]:
        return self.law.moments()

    def particles(self) -> tuple[Batch, Weights]:
        return Empirical(self.points).particles()


def is_sampled(law: AbstractDensity) -> bool:
    """Whether the particles of a law are a sample, not the nodes of a rule."""
    return not isinstance(law, AbstractEvaluable) or are_sampled(law, *law.particles())


def are_sampled(law: AbstractDensity, points: Batch, weights: Weights) -> bool:
    """`is_sampled` for a law and its particles."""
    if not isinstance(law, AbstractEvaluable):
        return True
    if np.ptp(np.asarray(weights)) >= 1e-6 / len(weights):
        return False
    # Cells of equal mass lie in order; a sample does not.
    return bool((np.diff(np.asarray(points)[:, 0]) < 0).any())


def of_blocks(
    solution: Solution, figures: Callable[[Solution], Sequence[float]]
) -> Float[np.ndarray, "blocks k"] | None:
    """Figures of a candidate, computed from each block of its particles.

    Arguments:
        solution: a candidate with a density.
        figures: several numbers of a candidate, `[k]`.

    Returns:
        Them for each block; `None` if the particles are nodes of a rule, NaN if they are too few
        for blocks.
    """
    density = solution.density
    assert density is not None
    if not is_sampled(density(0.0)):
        return None
    size = len(density(0.0).particles()[0])
    count = min(_BLOCKS, size // _LEAST)
    if count < 2:
        return np.full((2, len(figures(solution))), np.nan)
    # All blocks are asked for at the same times, which are numbers.
    known: Any = functools.cache(density)  # pyright: ignore[reportArgumentType]
    rows = [figures(_part(solution, known, number, count)) for number in range(count)]
    return np.array(rows, np.float64)


def covariance(rows: Float[np.ndarray, "blocks k"]) -> Float[np.ndarray, "k k"]:
    """The covariance of the errors of figures, from their values in blocks."""
    return np.atleast_2d(np.cov(rows, rowvar=False)) / len(rows)


def _part(
    solution: Solution, density: Callable[[Time], AbstractDensity], number: int, count: int
) -> Solution:
    game = solution.game
    if isinstance(game.terminal, Prescribed):
        target = restricted(game.terminal.target, number, count)
        game = eqx.tree_at(lambda game: game.terminal.target, game, target)
    path = lambda t: restricted(density(t), number, count)
    return Solution(game, solution.model, path, solution.result)


def restricted(law: AbstractDensity, number: int, count: int) -> AbstractDensity:
    """One block of the particles, in an order that is the same for all laws of a size."""
    if not is_sampled(law):
        return law
    points, _ = law.particles()
    size = len(points) // count
    order = np.random.default_rng(0).permutation(len(points))
    kept = points[order[number * size : (number + 1) * size]]
    return Block(law, kept) if isinstance(law, AbstractEvaluable) else Empirical(kept)
