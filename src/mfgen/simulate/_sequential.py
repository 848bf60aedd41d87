"""Sequential Monte Carlo down the noise levels of a potential: points with weights for exp(-U).

Populations of points go from the reference to the data. From one level to the next, in coordinates
y = x / signal, whose noise ratio is kappa,

    propose    y' = y + d^2 grad ell(y) + sqrt(v) eps         ell = log of exp(-U) at the level of y
    weigh      w *= exp(ell'(y') - ell(y)) N(y; y', d^2) / N(y'; y + d^2 grad ell(y), v)
    resample   where few points of a population have most of its weight
    move       Metropolis-adjusted Langevin moves in exp(ell')

with d^2 = kappa^2 - kappa'^2, what the noising adds between the two levels: N(y; y', d^2) is its
kernel, which leads back from y' to y. The proposal has the mean of y' given y, by Tweedie's
formula, and v the mean of its variances,

    v = d^2 (1 - d^2 E|grad ell|^2 / dim),

as E|grad ell|^2 = -E[Laplacian of ell]. So where U solves its equation weights are one up to errors
of a step, and elsewhere they hold what U gains or loses from level to level. Weights of single
paths multiply these errors, and their variance grows like an exponential of their sum; resampled,
it grows like the sum.

The mean weight of a population is unbiased for Z = int exp(-U(T, x)) dx, whatever U is, so that
independent populations tell log Z and its error by their spread. Points of one population hang
together. v and the steps of the moves are found by a population of their own before.

References: P. Del Moral, A. Doucet, A. Jasra (2006), "Sequential Monte Carlo samplers"; N. Chopin,
O. Papaspiliopoulos, "An introduction to sequential Monte Carlo" (2020), chapters 9 and 17.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mfgen._types import Batch, Key, Scalar
from mfgen.derive._score_based import score_noising
from mfgen.dynamics._noising_base import AbstractNoising
from mfgen.games._game import MFG
from mfgen.math._count import plain
from mfgen.models._base import AbstractModel
from mfgen.simulate._base import map_chunks
from mfgen.simulate._ends import evaluable_reference
from mfgen.simulate._frame import smooth_frame
from mfgen.simulate._integrator import positive_count
from mfgen.simulate._metropolis import WANTED, Energy, Walker, energy_of, move, walker_at
from mfgen.simulate._weighted import AbstractProposal, Weighted

_PILOTS = 128  # points of the population by which the proposals and steps are found
_FIRST, _GAIN = 0.5, 0.5  # the first step in squares of the noise, and what its log gains by a move
_LEFT = 0.5  # effective part of a population below which it is resampled
_FEWEST = 4  # populations, whose spread is the error


class SequentialProposal(AbstractProposal):
    """Points of the reference, carried down the noise levels in populations that are resampled.

    Arguments:
        levels: the number of noise levels.
        moves: Metropolis-adjusted Langevin moves at each of them.
        populations: independent ones, at least 4; n points are divided among them, rounded up.
    """

    levels: int = eqx.field(static=True, default=200, converter=plain)
    moves: int = eqx.field(static=True, default=1, converter=plain)
    populations: int = eqx.field(static=True, default=16, converter=plain)

    def __check_init__(self):
        positive_count("SequentialProposal", "levels", self.levels)
        positive_count("SequentialProposal", "moves", self.moves)
        if positive_count("SequentialProposal", "populations", self.populations) < _FEWEST:
            raise ValueError(
                f"`SequentialProposal` got populations = {self.populations}, expected at least "
                f"{_FEWEST}: the error of log Z is told by their spread."
            )

    def __call__(
        self, game: MFG, model: AbstractModel, n: int, *, key: Key, chunk: int
    ) -> Weighted:
        score_noising("SequentialProposal", game)
        found = _populations(self, game, model, -(-n // self.populations), key, chunk)
        points, logs = found
        return Weighted(points.reshape(-1, points.shape[-1]), logs.reshape(-1), self.populations)


class _Level(NamedTuple):
    """What changes from level to level: its number, v / d^2, and the step of the moves."""

    number: Int[Array, ""]
    share: Scalar
    step: Scalar


class _State(NamedTuple):
    """A population: walkers in y, log weights of mean one, and the mean weight that was left."""

    walkers: Walker
    logs: Float[Array, "n"]
    log_mean: Scalar


class _Levels(eqx.Module):
    """The potentials of all levels in the coordinate y."""

    game: MFG
    model: AbstractModel
    noising: AbstractNoising
    times: Float[Array, "levels"]

    def noising_time(self, index: Array) -> Scalar:
        return self.noising.horizon - self.times[index]

    def added(self, index: Array) -> Scalar:
        """d^2, by which noise grows from a level to the one before it."""
        before, here = (self.noising.ratio(self.noising_time(i)) for i in (index - 1, index))
        return (before - here) * (before + here)

    def energy(self, index: Array) -> Energy:
        """-ell of a level."""
        signal = self.noising.signal(self.noising_time(index))
        inner = energy_of("SequentialProposal", self.model, self.times[index], jnp.zeros(0))
        return lambda y: (inner((signal * y).astype(y.dtype)) - y.size * jnp.log(signal)).astype(
            y.dtype
        )


@eqx.filter_jit
def _populations(
    proposal: SequentialProposal, game: MFG, model: AbstractModel, size: int, key: Key, chunk: int
) -> tuple[Float[Array, "populations n dim"], Float[Array, "populations n"]]:
    reference = evaluable_reference("SequentialProposal", game)
    noising, clock = score_noising("SequentialProposal", game), smooth_frame(game).clock
    fractions = jnp.arange(proposal.levels + 1) / proposal.levels
    levels = _Levels(game, model, noising, jax.vmap(clock.time)(clock.span * fractions))
    first = noising.signal(levels.noising_time(jnp.asarray(0)))

    def begun(n: int, key: Key) -> _State:
        x = reference.sample(n, key=key)
        own = jax.vmap(reference.log_density)(x) + reference.dim * jnp.log(first)
        walkers = jax.vmap(lambda y: walker_at(levels.energy(jnp.asarray(0)), y))(x / first)
        logs = -walkers.value - own.astype(x.dtype)
        return _lighter(_State(walkers, logs, jnp.zeros((), x.dtype)))

    def populated(key: Key) -> tuple[Batch, Float[Array, "n"]]:
        start, go = jax.random.split(key)
        advance = lambda state, level: (_advance(levels, proposal.moves, state, level, go), None)
        state, _ = jax.lax.scan(advance, begun(size, start), found)
        signal = noising.signal(levels.noising_time(jnp.asarray(-1)))
        return signal * state.walkers.point, state.logs + state.log_mean

    keys = jax.random.split(key, 3)
    found = _pilot(levels, proposal.moves, begun(_PILOTS, keys[0]), keys[1])
    return map_chunks(
        populated, jax.random.split(keys[2], proposal.populations), max(chunk // size, 1)
    )


def _advance(levels: _Levels, moves: int, state: _State, level: _Level, key: Key) -> _State:
    """A population at the next level: proposed, weighed, resampled and moved."""
    keys = jax.random.split(jax.random.fold_in(key, level.number), 3)
    state = _resampled(_proposed(levels, state, level, keys[0]), keys[1])
    energy = levels.energy(level.number)
    go = lambda walkers, key: (_moved(energy, walkers, level.step, key)[0], None)
    walkers, _ = jax.lax.scan(go, state.walkers, jax.random.split(keys[2], moves))
    return state._replace(walkers=walkers)


def _proposed(levels: _Levels, state: _State, level: _Level, key: Key) -> _State:
    added, energy = levels.added(level.number), levels.energy(level.number)

    def one(at: Walker, key: Key) -> tuple[Walker, Scalar]:
        kick = jax.random.normal(key, at.point.shape, at.point.dtype)
        move = -added * at.slope + jnp.sqrt(level.share * added) * kick
        there = walker_at(energy, (at.point + move).astype(at.point.dtype))
        kernels = 0.5 * (kick @ kick - move @ move / added + kick.size * jnp.log(level.share))
        return there, at.value - there.value + kernels.astype(at.value.dtype)

    keys = jax.random.split(key, state.logs.shape[0])
    walkers, gains = jax.vmap(one)(state.walkers, keys)
    # A point at which U is not finite has no weight, and regains none.
    logs = jnp.where(jnp.isfinite(gains), state.logs + gains, -jnp.inf)
    return _lighter(_State(walkers, logs, state.log_mean))


def _lighter(state: _State) -> _State:
    """The same with weights of mean one: their mean goes over to that of the population."""
    mean = jax.nn.logsumexp(state.logs) - jnp.log(state.logs.shape[0])
    return state._replace(logs=state.logs - mean, log_mean=state.log_mean + mean)


def _resampled(state: _State, key: Key) -> _State:
    """A systematic sample of the population by its weights, where these have become uneven."""
    n, weights = state.logs.shape[0], jnp.exp(state.logs)
    places = (jnp.arange(n) + jax.random.uniform(key, (), weights.dtype)) / n
    sums = jnp.cumsum(weights)
    chosen = jnp.clip(jnp.searchsorted(sums / sums[-1], places), 0, n - 1)
    uneven = jnp.sum(jnp.square(weights)) * _LEFT > n
    index = jnp.where(uneven, chosen, jnp.arange(n))
    walkers = jax.tree.map(lambda leaf: leaf[index], state.walkers)
    return state._replace(walkers=walkers, logs=jnp.where(uneven, 0.0, state.logs))


def _moved(
    energy: Energy, walkers: Walker, step: Scalar, key: Key
) -> tuple[Walker, Float[Array, "n"]]:
    keys = jax.random.split(key, walkers.value.shape[0])
    return jax.vmap(lambda walker, key: move(energy, walker, step, key))(walkers, keys)


def _pilot(levels: _Levels, moves: int, state: _State, key: Key) -> _Level:
    """All levels, their variances and steps found by a population that adapts them on its way."""
    dim = state.walkers.point.shape[1]

    def at(carry: tuple[_State, Scalar], index: Array):
        state, log_ratio = carry
        keys = jax.random.split(jax.random.fold_in(key, index), 3)
        slopes = jnp.sum(jnp.square(state.walkers.slope), axis=1)
        mean = jnp.sum(jnp.exp(state.logs) * slopes) / (slopes.size * dim)
        before, here = (levels.noising.ratio(levels.noising_time(i)) for i in (index - 1, index))
        # Of data without width it is the least: the noise alone narrows.
        least = jnp.square(here / before)
        share = jnp.clip(1 - levels.added(index) * mean, least, 1.0).astype(mean.dtype)
        level = _Level(index, share, mean)
        state = _resampled(_proposed(levels, state, level, keys[0]), keys[1])
        energy, unit = levels.energy(index), jnp.square(here)

        def go(carry, key):
            walkers, log_ratio = carry
            walkers, chances = _moved(energy, walkers, jnp.exp(log_ratio) * unit, key)
            gained = _GAIN * (jnp.mean(chances) - WANTED)
            return (walkers, (log_ratio + gained).astype(log_ratio.dtype)), None

        begin = state.walkers, log_ratio
        (walkers, log_ratio), _ = jax.lax.scan(go, begin, jax.random.split(keys[2], moves))
        step = (jnp.exp(log_ratio) * unit).astype(mean.dtype)
        return (state._replace(walkers=walkers), log_ratio), level._replace(step=step)

    begin = state, jnp.log(jnp.asarray(_FIRST, state.logs.dtype))
    return jax.lax.scan(at, begin, jnp.arange(1, levels.times.size))[1]
