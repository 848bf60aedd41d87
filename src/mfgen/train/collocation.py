"""Where a residual is measured, and in which clock.

A residual penalty needs points (t, x). For a score-based game they are noised data; each residual
is multiplied by ds / d(log kappa) = 2 sigma^2 / g^2, so that it is a residual per unit of log kappa
and weighs all noise levels alike. For other games the time is uniform and the factor one.

With few data the noised samples leave gaps; extra noise fills them without touching the score
matching term: y + signal sqrt(extra^2 + kappa^2) eps'.

Rows of a batch stand in the order of their strata of time. Where m of n points are enough they are
a systematic sample, i_j = floor((j n + k) / m) with one random k < n for all: every stratum of m is
met once, and every row is as likely as any other, m / n, so that the mean over the sample is
unbiased for the mean over the batch. (Without k the same strata would be seen in every step.)

Reference: W. G. Cochran, "Sampling techniques" (1977), chapter 8 (systematic sampling).
"""

from abc import abstractmethod
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mfgen._types import Batch, Key, Scalar, Time
from mfgen.problem.game import MFG
from mfgen.problem.noising import AbstractForward, AbstractNoising, log_ratio_speed
from mfgen.train.noised import AbstractNoiseLaw, LogUniform, Noised, noised, process_of


class Collocation(NamedTuple):
    """Points of a residual: game times `[n]`, points `[n, dim]`, factors `[n]`."""

    t: Float[Array, "n"]
    x: Batch
    factor: Float[Array, "n"]


class AbstractCollocation(eqx.Module):
    """The rule that places residual points; to add one, give `__call__(game, batch, *, key)`.

    `points` is how many are wanted; `None` stands for one for each row of the batch.
    """

    @abstractmethod
    def __call__(self, game: MFG, batch: Batch, points: int | None, *, key: Key) -> Collocation:
        """Times, points and factors at which the residual is measured."""


class NoisedData(AbstractCollocation):
    """The noised points of score matching themselves, or a systematic sample of them.

    Arguments:
        law: the law of the noise level; equal to that of the score-matching term (the default of
            both), the two terms share their points.
    """

    law: AbstractNoiseLaw = LogUniform()

    def __call__(self, game: MFG, batch: Batch, points: int | None, *, key: Key) -> Collocation:
        process, fixed = process_of(game, "NoisedData"), game.dynamics.fixed
        everything = noised(process, self.law, batch, key=key, fixed=fixed)
        chosen = _subset(everything, points, key)
        return Collocation(chosen.t, chosen.y, _factor(game, chosen))


class SpreadData(AbstractCollocation):
    """Noised points moved by extra noise of ratio sqrt(extra^2 + kappa^2).

    Arguments:
        extra: noise ratio added at the smallest level, in units of the data.
        law: the law of the noise level.
    """

    extra: float = eqx.field(static=True, default=0.22)
    law: AbstractNoiseLaw = LogUniform()

    def __call__(self, game: MFG, batch: Batch, points: int | None, *, key: Key) -> Collocation:
        noising, fixed = process_of(game, "SpreadData"), game.dynamics.fixed
        if not isinstance(noising, AbstractNoising):
            raise TypeError(
                f"`SpreadData` got a game of `{type(noising).__name__}`, expected a noising "
                "signal x + noise eps, such as `VP()`: take `NoisedData()`."
            )
        everything = noised(noising, self.law, batch, key=key, fixed=fixed)
        chosen = _subset(everything, points, key)
        ratio, signal = jax.vmap(noising.ratio)(chosen.s), jax.vmap(noising.signal)(chosen.s)
        width = signal * jnp.sqrt(jnp.square(ratio) + self.extra**2)
        shape = (len(chosen.s), chosen.y.shape[1] - fixed)
        move = jax.random.normal(jax.random.fold_in(key, 2), shape, chosen.y.dtype)
        move = jnp.pad(width[:, None] * move, ((0, 0), (0, fixed)))
        return Collocation(chosen.t, chosen.y + move, _factor(game, chosen))


class UniformTime(AbstractCollocation):
    """The rows of the batch at times uniform on [0, horizon], stratified; for any game."""

    def __call__(self, game: MFG, batch: Batch, points: int | None, *, key: Key) -> Collocation:
        n = batch.shape[0]
        fraction = (jnp.arange(n) + jax.random.uniform(key, (n,))) / n
        chosen = subset_index(n, points, key=key)
        times = game.dynamics.horizon * fraction[chosen]
        return Collocation(times, batch[chosen], jnp.ones(len(chosen)))


def subset_index(n: int, count: int | None, *, key: Key) -> Int[Array, "count"]:
    """Which of n stratified points are used if `count` are wanted, in increasing order.

    Each is as likely as any other, and each of `count` strata is met; all n if `count` is `None`
    or larger. For a step with the given key it is the same, whoever asks.
    """
    if count is None or count >= n:
        return jnp.arange(n)
    offset = jax.random.randint(jax.random.fold_in(key, 4), (), 0, n)
    # (j n + offset) // count, without products that 32 bits could not hold.
    whole, rest = np.divmod(np.arange(count, dtype=np.int64) * n, count)
    return jnp.asarray(whole, jnp.int32) + (jnp.asarray(rest, jnp.int32) + offset) // count


def others(n: int, chosen: Int[Array, "count"]) -> Int[Array, "rest"]:
    """Which of n points are not among the chosen ones."""
    left = jnp.ones(n, bool).at[chosen].set(False)
    return jnp.flatnonzero(left, size=n - len(chosen))


def log_ratio_factor(noising: AbstractForward, s: Time) -> Scalar:
    """2 sigma^2 / g^2, which makes a rate in time one per unit of log kappa."""
    return 1 / log_ratio_speed(noising, s)


def _subset(points: Noised, count: int | None, key: Key) -> Noised:
    index = subset_index(points.s.shape[0], count, key=key)
    return jax.tree.map(lambda leaf: leaf[index], points)


def _factor(game: MFG, points: Noised) -> Float[Array, "n"]:
    noising = process_of(game, "Collocation")
    return jax.vmap(lambda s: log_ratio_factor(noising, s))(points.s)
