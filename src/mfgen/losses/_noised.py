"""Noised data: the points at which score models are trained and their residuals are measured.

    y = alpha(s) x + sigma(s) eps,   x from the data, eps ~ N(0, I), s from a law of noise levels

The laws are written for log kappa (kappa = sigma / alpha), the clock on which a score-based
problem looks the same at all levels. Draws are stratified over the batch: sample i of n comes from
the i-th of n slices of equal probability, which removes most of the variance due to the level.
"""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen import _check
from mfgen._types import Batch, Costate, Key
from mfgen.derive._score_based import score_dynamics, score_noising
from mfgen.dynamics._noising import AbstractForward, AbstractNoising, TimeReversal
from mfgen.games._game import MFG

Times = Float[Array, "n"]


class Noised(NamedTuple):
    """Noised data at times of their own.

    Attributes:
        s, t: noising times and game times, `[n]`.
        y: the noised points beside their labels, `[n, dim + labels]`.
        eps: the standard normal vectors that they were noised by, `[n, dim]`, or along simulated
            paths `[n, draws, dim]`.
    """

    s: Times
    t: Times
    y: Batch
    eps: Array


class AbstractNoiseLaw(eqx.Module):
    """The law of the noise level in training. To add one, give `ratios(noising, n, key=)`."""

    @abstractmethod
    def ratios(self, noising: AbstractForward, n: int, *, key: Key) -> Times:
        """n noise ratios kappa, stratified and in increasing order of strata."""

    def below(self, noising: AbstractForward, ratio: float, n: int) -> int:
        """How many of the first of n may have a smaller ratio than this one: all, if unknown."""
        return n


class LogUniform(AbstractNoiseLaw):
    """log kappa uniform on an interval.

    Arguments:
        low, high: ends of the interval of kappa; `None` stands for the end of the noising.
    """

    low: float | None = eqx.field(static=True, default=None)
    high: float | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        _check.numbers(self, "low", "high")
        if self.low is not None and self.high is not None and not 0 < self.low < self.high:
            raise ValueError(
                f"`LogUniform` got low = {self.low} and high = {self.high}, expected 0 < low < "
                "high: exchange or change them."
            )

    def ratios(self, noising: AbstractForward, n: int, *, key: Key) -> Times:
        low = noising.ratio(noising.start) if self.low is None else jnp.asarray(self.low)
        high = noising.ratio(noising.horizon) if self.high is None else jnp.asarray(self.high)
        _check_ratios("LogUniform", noising, [r for r in (self.low, self.high) if r is not None])
        fraction = (jnp.arange(n) + jax.random.uniform(key, (n,))) / n
        return jnp.exp(jnp.log(low) + fraction * jnp.log(high / low))

    def below(self, noising: AbstractForward, ratio: float, n: int) -> int:
        with jax.ensure_compile_time_eval():
            low = float(noising.ratio(noising.start) if self.low is None else self.low)
            high = float(noising.ratio(noising.horizon) if self.high is None else self.high)
        part = math.log(ratio / low) / math.log(high / low)
        return min(max(math.ceil(part * n), 0), n)


class Levels(AbstractNoiseLaw):
    """kappa uniform on a finite set of levels.

    Arguments:
        levels: the noise ratios, positive.
    """

    levels: tuple[float, ...] = eqx.field(static=True)

    def ratios(self, noising: AbstractForward, n: int, *, key: Key) -> Times:
        _check_ratios("Levels", noising, self.levels)
        shift = jax.random.uniform(key)
        index = jnp.floor((jnp.arange(n) + shift) * len(self.levels) / n).astype(int)
        return jnp.asarray(self.levels)[jnp.minimum(index, len(self.levels) - 1)]


def _check_ratios(owner: str, noising: AbstractForward, ratios: Sequence[float]) -> None:
    with jax.ensure_compile_time_eval():
        ends = [float(noising.ratio(s)) for s in (noising.start, noising.horizon)]
    # The ends of the interval may be rounded.
    outside = [r for r in ratios if not 0.999 * ends[0] <= r <= 1.001 * ends[1]]
    if outside or (owner == "Levels" and not ratios):
        raise ValueError(
            f"`{owner}` got noise ratios {list(ratios)}, expected numbers from {ends[0]:.4g} to "
            f"{ends[1]:.4g}, those of the noising: choose others, or a noising that has them."
        )


def noised(
    noising: AbstractForward, law: AbstractNoiseLaw, batch: Batch, *, key: Key, fixed: int = 0
) -> Noised:
    """Noises each row of a batch `[n, dim]`, but for its last `fixed` entries, to its own level."""
    s, t, eps = levels(noising, law, batch, key=key, fixed=fixed)
    points, labels = jnp.split(batch, [batch.shape[1] - fixed], axis=1)
    y = jax.vmap(noising.moved)(s, points, eps)
    return Noised(s, t, jnp.concatenate([y, labels], axis=1), eps)


def levels(
    noising: AbstractForward, law: AbstractNoiseLaw, batch: Batch, *, key: Key, fixed: int
) -> tuple[Times, Times, Array]:
    """Noising times, game times and normal vectors of the rows of a batch."""
    level_key, noise_key = jax.random.split(key)
    s = jax.vmap(noising.time)(law.ratios(noising, batch.shape[0], key=level_key))
    # The model is called at the game time, which is rounded: noise to the time that it will see.
    t = noising.horizon - s
    s = noising.horizon - t
    count, dim = batch.shape[0], batch.shape[1] - fixed
    shape = (count, dim) if noising.draws == 1 else (count, noising.draws, dim)
    return s, t, jax.random.normal(noise_key, shape, batch.dtype)


def forward_of(game: MFG, owner: str) -> AbstractForward:
    """The forward process of a score-based game, with labels or without.

    Raises:
        TypeError: in the name of `owner` if the game is not score-based, or names no data.
        ValueError: if it has a discount, with which -U is no log-density.
    """
    if isinstance(game.dynamics.of_points, TimeReversal) and game.discount > 0:
        raise ValueError(
            f"`{owner}` got a score-based game with discount = {game.discount:g}, expected 0: only "
            "without it is exp(-U) a density; leave `discount` out."
        )
    return score_dynamics(owner, game, named=True).noising


def noising_of(game: MFG, owner: str) -> AbstractNoising:
    """The noising signal x + noise eps of a score-based game of points alone.

    Raises:
        TypeError, ValueError: as `forward_of`, for another forward process, and for labels.
    """
    forward_of(game, owner)
    noising = score_noising(owner, game, named=True)
    if game.dynamics.fixed:
        raise TypeError(
            f"`{owner}` got a score-based game with labels, expected one of points alone: measure "
            "it for each label by `log_prob` of rows (x, y), or samples of `sample_given`."
        )
    return noising


def process_of(game: MFG, owner: str) -> AbstractForward:
    """The noising that the dynamics of a game run backwards, whatever its costs are.

    It tells where points of its particles lie and how times are counted, which is all that the
    residual of the game's own equation asks for.

    Raises:
        TypeError: in the name of `owner` for other dynamics.
    """
    dynamics = game.dynamics.of_points
    if not isinstance(dynamics, TimeReversal):
        raise TypeError(
            f"`{owner}` got a game with dynamics `{type(dynamics).__name__}`, expected "
            "`TimeReversal` of a noising such as `VP()`: take `UniformTime()` for other games."
        )
    return dynamics.noising


def moving(game: MFG, of: Costate) -> Array:
    """The components of a costate along the point, without those along its label, `[dim]`."""
    return of[: of.size - game.dynamics.fixed]
