"""Metropolis-adjusted moves, Langevin and Hamiltonian: they leave exp(-U) exactly as it is.

A potential of a score-based game is known itself, not its gradient alone. So a Langevin proposal

    x' = x - h grad U(x) + sqrt(2 h) xi

can be accepted with probability min(1, a) and refused otherwise, where

    log a = U(x) - U(x') + log q(x | x') - log q(x' | x),
    log q(x' | x) = -|x' - x + h grad U(x)|^2 / (4 h) + constant.

The chain is reversible in exp(-U): what a step of finite size does wrong is refused. It is one leap
of a Hamiltonian move: with a fresh momentum m ~ N(0, I) and e = sqrt(2 h),

    m <- m - (e/2) grad U(x),    x <- x + e m,    m <- m - (e/2) grad U(x)        (leapfrog)

and log a = U(x) + |m|^2/2 before, less the same after. Several leaps before one decision go further
than as many decisions, by their number rather than its root, and ask for as many gradients. The
density need not be normalised. A wrong U is not repaired: the law reached is that of the potential,
not that of the data.

The step is found in a first phase, by each chain for itself: log h rises where more than .574 of
the proposals would be accepted and falls where fewer are (Robbins and Monro), the best rate of long
chains in many dimensions; with several leaps .651. Then it is kept, so that the second phase is a
chain with a fixed kernel. A point far from the data, where U is steep, so finds a small step of its
own and returns.

References: G. O. Roberts, R. L. Tweedie (1996), "Exponential convergence of Langevin distributions
and their discrete approximations"; G. O. Roberts, J. S. Rosenthal (1998), "Optimal scaling of
discrete approximations to Langevin diffusions" (.574); A. Beskos et al. (2013), "Optimal tuning of
the hybrid Monte Carlo algorithm" (.651); R. M. Neal (2011), "MCMC using Hamiltonian dynamics",
arXiv 1206.1901; C. Andrieu, J. Thoms (2008), "A tutorial on adaptive MCMC".
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen import _check
from mfgen._types import Batch, Count, Given, Key, Scalar, State, Time
from mfgen.derive._score_based import score_dynamics
from mfgen.games._game import MFG
from mfgen.math._count import count, plain
from mfgen.models._base import AbstractModel, AbstractPotential
from mfgen.simulate._base import (
    AbstractSampler,
    Arrival,
    at_points,
    check_accepted,
    check_played,
    check_points,
    map_chunks,
)
from mfgen.simulate._diffusion import StochasticHeun, end_time
from mfgen.simulate._integrator import positive_count

WANTED = 0.574  # acceptance that the step is adapted to
_LEAPING = 0.651  # the same of several leaps
_FIRST = 0.1  # the first step, in squares of the smallest noise
_DECAY = 0.6  # of the gain of the adaptation with the number of the move

Energy = Callable[[State], Scalar]


class Walker(NamedTuple):
    """A point of a chain, with what the next proposal asks of it.

    Attributes:
        point: where it is, `[dim]`.
        value, slope: U and grad U there.
    """

    point: State
    value: Scalar
    slope: State


class _Moves(NamedTuple):
    """Moves in which the step is adapted, moves after them, and leaps to each."""

    warmup: int
    steps: int
    leaps: int


class Chain(NamedTuple):
    """Where chains came to.

    Attributes:
        points: their last points, `[n, dim]`.
        acceptance: the share of accepted proposals after the first phase, `[n]`.
        step: h of each chain, `[n]`.
    """

    points: Float[Array, "..."]
    acceptance: Float[Array, "..."]
    step: Float[Array, "..."]


class MetropolisAdjusted(AbstractSampler):
    """Another sampler's draws, corrected by Metropolis-adjusted Langevin moves at the data end.

    The moves are local: what the draws have wrong within a mode is repaired, the weights of modes
    far apart are not.

    Arguments:
        sampler: where the chains begin.
        steps: moves of a chain with its step fixed.
        warmup: moves before them in which the step is adapted.
        leaps: gradients to a move: 1 are Langevin moves, more are Hamiltonian ones.

    Raises:
        TypeError: when used on a game that is not score-based, or with a model that is no
            potential.

    Example:

        method = MetropolisAdjusted(StochasticHeun(50), steps=200)
        x = sample(game, model, 1000, key=key, method=method)
    """

    sampler: AbstractSampler = StochasticHeun()
    steps: int = eqx.field(static=True, default=100, converter=plain)
    warmup: int = eqx.field(static=True, default=50, converter=plain)
    leaps: int = eqx.field(static=True, default=1, converter=plain)

    def __check_init__(self):
        _check.of_kinds(self, sampler=(AbstractSampler, "pass `StochasticHeun()`"))
        positive_count("MetropolisAdjusted", "steps", self.steps)
        positive_count("MetropolisAdjusted", "warmup", self.warmup)
        positive_count("MetropolisAdjusted", "leaps", self.leaps)

    def __call__(self, game: MFG, model: AbstractModel, x: State, *, key: Key) -> Arrival:
        start_key, chain_key = jax.random.split(key)
        start = self.sampler(game, model, x, key=start_key)
        moves = _Moves(self.warmup, self.steps, self.leaps)
        chain = _chain("MetropolisAdjusted", game, model, start.point, moves, chain_key)
        return Arrival(chain.points, start.time, chain.acceptance)

    def check(self, game: MFG) -> None:
        self.sampler.check(game)
        score_dynamics("MetropolisAdjusted", game)


def correct(
    game: MFG,
    model: AbstractModel,
    x: Given,
    *,
    key: Key,
    steps: Count = 100,
    warmup: Count = 50,
    leaps: Count = 1,
    chunk: Count = 1024,
) -> Chain:
    """Moves points by Metropolis-adjusted Langevin chains in exp(-U), U the potential at the end.

    Arguments:
        game, model: a score-based game, and a potential of it.
        x: where the chains begin, one each, `[n, dim]`.
        key: random key.
        steps, warmup, leaps: as of `MetropolisAdjusted`.
        chunk: chains at once.

    Raises:
        TypeError: on a game that is not score-based, or a model that is no potential.
        ValueError: on points of another shape, or a number that is no positive integer.
        RuntimeError: if nothing at all was accepted; it warns where single chains stood still.

    Example:

        moved = correct(game, model, points, key=key)
        moved.points, moved.acceptance.mean()
    """
    check_played("correct", game, model)
    _check.a_key("correct", key)
    moves = _Moves(
        count("correct", "warmup", warmup),
        count("correct", "steps", steps),
        count("correct", "leaps", leaps),
    )
    chunk = positive_count("correct", "chunk", chunk)
    score_dynamics("correct", game)
    energy_of("correct", model, end_time(game), jnp.zeros(0))
    points = check_points("correct", game, x)
    with at_points("correct", game, model, points.shape[1]):
        chain = _chains(game, model, points, key, moves, chunk)
    check_accepted("correct", chain.acceptance)
    return chain


@eqx.filter_jit
def _chains(
    game: MFG, model: AbstractModel, x: Batch, key: Key, moves: _Moves, chunk: int
) -> Chain:
    keys = jax.random.split(key, x.shape[0])
    one = lambda row: _chain("correct", game, model, row[0], moves, row[1])
    return map_chunks(one, (x, keys), chunk)


def _chain(owner: str, game: MFG, model: AbstractModel, x: State, moves: _Moves, key: Key) -> Chain:
    """One chain at the last time of the game; a label beside the point stays."""
    dynamics = score_dynamics(owner, game)
    moving = x.size - game.dynamics.fixed
    energy = energy_of(owner, model, end_time(game), x[moving:])
    first = jnp.log(_FIRST * jnp.square(dynamics.noising.noise(dynamics.noising.start)))
    keys, wanted = jax.random.split(key), WANTED if moves.leaps == 1 else _LEAPING

    def adapt(state: tuple[Walker, Scalar], index: Array):
        walker, log_step = state
        key = jax.random.fold_in(keys[0], index)
        moved, chance = move(energy, walker, jnp.exp(log_step), key, moves.leaps)
        return (moved, log_step + adaptation(chance, index, wanted)), None

    def go(walker: Walker, index: Array):
        return move(energy, walker, step, jax.random.fold_in(keys[1], index), moves.leaps)

    begin = walker_at(energy, x[:moving]), first.astype(x.dtype)
    (found, log_step), _ = jax.lax.scan(adapt, begin, jnp.arange(moves.warmup))
    step = jnp.exp(log_step)
    last, chances = jax.lax.scan(go, found, jnp.arange(moves.steps))
    return Chain(jnp.concatenate([last.point, x[moving:]]), jnp.mean(chances), step)


def energy_of(owner: str, model: AbstractModel, t: Time, label: Float[Array, "labels"]) -> Energy:
    """U(t, .) as a function of the point alone, its label fixed.

    Raises:
        TypeError: in the name of `owner`, for a model that knows no U.
    """
    if not isinstance(model, AbstractPotential):
        raise TypeError(
            f"`{owner}` got a model `{type(model).__name__}`, expected a potential: a vector field "
            "knows grad U only, not U; use `PredictorCorrector`, or train a `ScorePotential`."
        )
    return lambda x: model(jnp.asarray(t, x.dtype), jnp.concatenate([x, label.astype(x.dtype)]))


def walker_at(energy: Energy, x: State) -> Walker:
    """A chain that begins at x."""
    return Walker(x, *jax.value_and_grad(energy)(x))


def move(
    energy: Energy, at: Walker, step: Scalar, key: Key, leaps: int = 1
) -> tuple[Walker, Scalar]:
    """One proposal, taken or refused, and the probability with which it was to be taken.

    A proposal at which U or its gradient is not finite is refused.
    """
    kick_key, choice_key = jax.random.split(key)
    size = jnp.sqrt(2 * step.astype(at.point.dtype))
    kick = jax.random.normal(kick_key, at.point.shape, at.point.dtype)

    def leap(_: Array, state: tuple[Walker, State]) -> tuple[Walker, State]:
        walker, momentum = state
        momentum = momentum - 0.5 * size * walker.slope
        walker = walker_at(energy, walker.point + size * momentum)
        return walker, momentum - 0.5 * size * walker.slope

    there, momentum = jax.lax.fori_loop(0, leaps, leap, (at, kick))
    log_ratio = at.value - there.value + 0.5 * (kick @ kick - momentum @ momentum)
    chance = jnp.where(jnp.isnan(log_ratio), 0.0, jnp.exp(jnp.minimum(log_ratio, 0.0)))
    taken = jax.random.uniform(choice_key, (), chance.dtype) < chance
    return jax.tree.map(lambda new, old: jnp.where(taken, new, old), there, at), chance


def adaptation(chance: Scalar, index: Array, wanted: float = WANTED) -> Scalar:
    """What log h gains after the move of that number, by its probability of acceptance."""
    return (chance - wanted) * 3 / (index + 2) ** _DECAY
