"""Where a residual is measured, and in which clock.

A residual penalty needs points (t, x). For a score-based game they are noised data; each residual
is multiplied by ds / d(log kappa) = 2 sigma^2 / g^2, so that it is a residual per unit of log kappa
and weighs all noise levels alike. For other games the time is uniform and the factor one.

With few data the noised samples leave gaps; extra noise fills them without touching the score
matching term: y + signal sqrt(extra^2 + kappa^2) eps'.
"""

from abc import abstractmethod
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfgen._types import Batch, Key, Scalar, Time
from mfgen.problem.game import MFG
from mfgen.problem.noising import AbstractNoising, log_ratio_speed
from mfgen.train.noised import AbstractNoiseLaw, LogUniform, Noised, noised, noising_of


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
    """The noised points of score matching themselves, or every k-th of them.

    Arguments:
        law: the law of the noise level; equal to that of the score-matching term (the default of
            both), the two terms share their points.
    """

    law: AbstractNoiseLaw = LogUniform()

    def __call__(self, game: MFG, batch: Batch, points: int | None, *, key: Key) -> Collocation:
        chosen = _subset(noised(noising_of(game, "NoisedData"), self.law, batch, key=key), points)
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
        noising = noising_of(game, "SpreadData")
        chosen = _subset(noised(noising, self.law, batch, key=key), points)
        ratio, signal = jax.vmap(noising.ratio)(chosen.s), jax.vmap(noising.signal)(chosen.s)
        width = signal * jnp.sqrt(jnp.square(ratio) + self.extra**2)
        move = jax.random.normal(jax.random.fold_in(key, 2), chosen.y.shape, chosen.y.dtype)
        return Collocation(chosen.t, chosen.y + width[:, None] * move, _factor(game, chosen))


class UniformTime(AbstractCollocation):
    """The rows of the batch at times uniform on [0, horizon], stratified; for any game."""

    def __call__(self, game: MFG, batch: Batch, points: int | None, *, key: Key) -> Collocation:
        count = batch.shape[0] if points is None else min(points, batch.shape[0])
        fraction = (jnp.arange(count) + jax.random.uniform(key, (count,))) / count
        return Collocation(game.dynamics.horizon * fraction, batch[:count], jnp.ones(count))


def subset_index(n: int, count: int | None) -> np.ndarray:
    """Which of n stratified points are used if `count` are wanted: every k-th keeps the strata."""
    if count is None or count >= n:
        return np.arange(n)
    return np.arange(count) * n // count


def log_ratio_factor(noising: AbstractNoising, s: Time) -> Scalar:
    """2 sigma^2 / g^2, which makes a rate in time one per unit of log kappa."""
    return 1 / log_ratio_speed(noising, s)


def _subset(points: Noised, count: int | None) -> Noised:
    index = subset_index(points.s.shape[0], count)
    return jax.tree.map(lambda leaf: leaf[index], points)


def _factor(game: MFG, points: Noised) -> Float[Array, "n"]:
    noising = noising_of(game, "Collocation")
    return jax.vmap(lambda s: log_ratio_factor(noising, s))(points.s)
