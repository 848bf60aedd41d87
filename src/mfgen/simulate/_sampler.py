"""Samples of a model: points of a game's reference, carried to where its data are.

That is from the first density to the horizon, and in a normalizing flow from the last one back.

In a score-based game the horizon is the smallest noise ratio of the noising: samples follow the
data times signal plus the noise of that level. Tweedie's formula removes this last noise,

    E[x_0 | y] = (y + sigma^2 grad log rho(y)) / signal,

which makes samples sharper and is the best guess of the clean point, not a draw of it.

Reference: B. Efron, "Tweedie's formula and selection bias" (2011).
"""

import equinox as eqx
import jax
import jax.numpy as jnp

from mfgen import _check
from mfgen._types import Batch, Count, Key, State
from mfgen.densities._base import AbstractDensity
from mfgen.derive._score_based import score_noising
from mfgen.dynamics._noising import TimeReversal
from mfgen.dynamics._noising_check import check_resolved
from mfgen.games._game import MFG
from mfgen.math._count import count
from mfgen.models._base import AbstractModel, score
from mfgen.simulate._base import (
    AbstractSampler,
    Arrival,
    at_points,
    check_accepted,
    check_finished,
    check_played,
    map_chunks,
)
from mfgen.simulate._diffusion import StochasticHeun
from mfgen.simulate._ends import reference
from mfgen.simulate._flow import ProbabilityFlow
from mfgen.simulate._solved import of_solutions


@of_solutions
def sample(
    game: MFG,
    model: AbstractModel,
    n: Count,
    *,
    key: Key,
    method: AbstractSampler | None = None,
    denoise: bool = False,
    chunk: Count = 1024,
) -> Batch:
    """Draws from the density that is modelled by a game whose particles play the model's control.

    Arguments:
        game, model: the game, with its reference density, and the model of its control.
        n: the number of samples.
        key: random key.
        method: `StochasticHeun(steps)`, `EulerMaruyama(steps)`, and for score-based or
            deterministic games `ProbabilityFlow(integrator)`; for score-based ones
            `PredictorCorrector(steps)`, `Langevin(steps, step)` and, for potentials,
            `MetropolisAdjusted(sampler)` and `Tempered(steps)`. If absent `StochasticHeun()`, and
            `ProbabilityFlow()` in a game without noise.
        denoise: return E[x_0 | y] in place of the sample y of a score-based game.
        chunk: samples at once; it changes speed and memory, not the samples.

    Returns:
        Samples, `[n, dim]`.

    Raises:
        ValueError: for n < 1 or a game without a reference density.
        TypeError: if the method does not apply to the game.
        Unfinished: a `RuntimeError`, if an adaptive integration hits its step limit, or samples are
            not finite; it keeps the places and times that were reached.
        RuntimeError: if a Metropolis corrector accepted nothing; it warns of single chains.

    Example:

        x = sample(game, model, 1000, key=key)
        x = sample(game, model, 1000, key=key, method=ProbabilityFlow(Adaptive(1e-5)))
    """
    check_played("sample", game, model)
    _check.a_key("sample", key)
    n = count("sample", "n", n)
    chunk = count("sample", "chunk", chunk)
    if method is None:
        method = ProbabilityFlow() if game.dynamics.deterministic else StochasticHeun()
    _check.of_kind("sample", "method", method, AbstractSampler, "pass `StochasticHeun()`")
    if game.data_at == "start" and not method.reversible:
        raise TypeError(
            f"`sample` got `{type(method).__name__}` for a normalizing flow, whose samples are "
            "carried backward, expected `ProbabilityFlow()`."
        )
    start = reference("sample", game)
    method.check(game)
    if denoise:
        score_noising("denoised", game)
    _check_resolved(game, start)
    with at_points("sample", game, model, start.dim):
        there = _sample(game, model, n, key, method, denoise, chunk)
    last = game.dynamics.horizon if game.data_at == "end" else 0.0
    check_finished("sample", there.point, there.time, last)
    check_accepted("sample", there.acceptance)
    return there.point


def _check_resolved(game: MFG, start: AbstractDensity) -> None:
    """Samples have the numbers of their start, which must resolve the times near the data."""
    dynamics = game.dynamics.of_points
    if isinstance(dynamics, TimeReversal):
        kinds = [leaf.dtype for leaf in jax.tree.leaves(start) if eqx.is_inexact_array(leaf)]
        check_resolved(dynamics.noising, jnp.result_type(*(kinds or [float])), "sample")


def denoised(game: MFG, model: AbstractModel, y: State) -> State:
    """E[x_0 | y], the mean of the clean data given a sample y of a score-based game, `[dim]`.

    A label beside the point stays as it is.

    Raises:
        TypeError: if the game is not score-based.
    """
    noising, dim = score_noising("denoised", game), y.size - game.dynamics.fixed
    t, s = jnp.asarray(game.dynamics.horizon, y.dtype), noising.start
    signal, noise = noising.signal(s), noising.noise(s)
    clean = (y + jnp.square(noise) * score(model, t, y)) / signal
    return jnp.concatenate([clean[:dim], y[dim:]]).astype(y.dtype)


@eqx.filter_jit
def _sample(
    game: MFG,
    model: AbstractModel,
    n: int,
    key: Key,
    method: AbstractSampler,
    denoise: bool,
    chunk: int,
) -> Arrival:
    def one(start: tuple[State, Key]) -> Arrival:
        there = method(game, model, start[0], key=start[1])
        return there._replace(point=denoised(game, model, there.point)) if denoise else there

    start_key, path_key = jax.random.split(key)
    starts = reference("sample", game).sample(n, key=start_key)
    return map_chunks(one, (starts, jax.random.split(path_key, n)), chunk)
