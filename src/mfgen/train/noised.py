"""Noised data: the points at which score models are trained and their residuals are measured.

    y = alpha(s) x + sigma(s) eps,   x from the data, eps ~ N(0, I), s from a law of noise levels

The laws are written for log kappa (kappa = sigma / alpha), the clock on which a score-based
problem looks the same at all levels. Draws are stratified over the batch: sample i of n comes from
the i-th of n slices of equal probability, which removes most of the variance due to the level.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen import _check
from mfgen._types import Batch, Key
from mfgen.derive.score_based import score_dynamics
from mfgen.models.base import AbstractModel
from mfgen.problem.game import MFG
from mfgen.problem.noising import AbstractNoising, TimeReversal

Times = Float[Array, "n"]


class Noised(NamedTuple):
    """Noised data: noising times `[n]`, game times `[n]`, points `[n, dim]`, noise `[n, dim]`."""

    s: Times
    t: Times
    y: Batch
    eps: Batch


class AbstractNoiseLaw(eqx.Module):
    """The law of the noise level in training. To add one, give `ratios(noising, n, key=)`."""

    @abstractmethod
    def ratios(self, noising: AbstractNoising, n: int, *, key: Key) -> Times:
        """n noise ratios kappa, stratified and in increasing order of strata."""


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

    def ratios(self, noising: AbstractNoising, n: int, *, key: Key) -> Times:
        low = noising.ratio(noising.start) if self.low is None else jnp.asarray(self.low)
        high = noising.ratio(noising.horizon) if self.high is None else jnp.asarray(self.high)
        _check_ratios("LogUniform", noising, [r for r in (self.low, self.high) if r is not None])
        fraction = (jnp.arange(n) + jax.random.uniform(key, (n,))) / n
        return jnp.exp(jnp.log(low) + fraction * jnp.log(high / low))


class Levels(AbstractNoiseLaw):
    """kappa uniform on a finite set of levels.

    Arguments:
        levels: the noise ratios, positive.
    """

    levels: tuple[float, ...] = eqx.field(static=True)

    def ratios(self, noising: AbstractNoising, n: int, *, key: Key) -> Times:
        _check_ratios("Levels", noising, self.levels)
        shift = jax.random.uniform(key)
        index = jnp.floor((jnp.arange(n) + shift) * len(self.levels) / n).astype(int)
        return jnp.asarray(self.levels)[jnp.minimum(index, len(self.levels) - 1)]


def _check_ratios(owner: str, noising: AbstractNoising, ratios: Sequence[float]) -> None:
    with jax.ensure_compile_time_eval():
        ends = [float(noising.ratio(s)) for s in (noising.start, noising.horizon)]
    # The ends of the interval may be rounded.
    outside = [r for r in ratios if not 0.999 * ends[0] <= r <= 1.001 * ends[1]]
    if outside or (owner == "Levels" and not ratios):
        raise ValueError(
            f"`{owner}` got noise ratios {list(ratios)}, expected numbers from {ends[0]:.4g} to "
            f"{ends[1]:.4g}, those of the noising: choose others, or a noising that has them."
        )


def noised(noising: AbstractNoising, law: AbstractNoiseLaw, batch: Batch, *, key: Key) -> Noised:
    """Noises each row of a batch `[n, dim]` to a level of its own."""
    level_key, noise_key = jax.random.split(key)
    s = jax.vmap(noising.time)(law.ratios(noising, batch.shape[0], key=level_key))
    # The model is called at the game time, which is rounded: noise to the time that it will see.
    t = noising.horizon - s
    s = noising.horizon - t
    eps = jax.random.normal(noise_key, batch.shape, batch.dtype)
    signal, noise = jax.vmap(noising.signal)(s), jax.vmap(noising.noise)(s)
    return Noised(s, t, signal[:, None] * batch + noise[:, None] * eps, eps)


def noising_of(game: MFG, owner: str) -> AbstractNoising:
    """The noising process of a score-based game.

    Raises:
        TypeError: in the name of `owner` if the game is not score-based, or names no data.
        ValueError: if it has a discount, with which -U is no log-density.
    """
    if isinstance(game.dynamics, TimeReversal) and game.discount > 0:
        raise ValueError(
            f"`{owner}` got a score-based game with discount = {game.discount:g}, expected 0: only "
            "without it is exp(-U) a density; leave `discount` out."
        )
    return score_dynamics(owner, game, named=True).noising


def process_of(game: MFG, owner: str) -> AbstractNoising:
    """The noising that the dynamics of a game run backwards, whatever its costs are.

    It tells where points of its particles lie and how times are counted, which is all that the
    residual of the game's own equation asks for.

    Raises:
        TypeError: in the name of `owner` for other dynamics.
    """
    if not isinstance(game.dynamics, TimeReversal):
        raise TypeError(
            f"`{owner}` got a game with dynamics `{type(game.dynamics).__name__}`, expected "
            "`TimeReversal` of a noising such as `VP()`: take `UniformTime()` for other games."
        )
    return game.dynamics.noising


def scaled_score(model: AbstractModel, noising: AbstractNoising, point: Noised) -> Array:
    """sigma(s) times the model's score at one noised point, shape `[dim]`."""
    return -noising.noise(point.s) * model.costate(point.t, point.y)
