"""Collocation points of a residual, and the factor of its units.

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
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mfgen._types import Batch, Key, Scalar, Time
from mfgen.dynamics._noising import AbstractForward, AbstractNoising, log_ratio_speed
from mfgen.games._game import MFG
from mfgen.losses._laplacian import probe_keys
from mfgen.losses._noised import (
    AbstractNoiseLaw,
    LogUniform,
    Noised,
    forward_of,
    noised,
    process_of,
)
from mfgen.losses._objective import Terms, Weighted
from mfgen.losses._places import AbstractPlaces, Place, check_unpriced
from mfgen.math._chunk import chunked_mean
from mfgen.models._base import AbstractModel


class Collocation(NamedTuple):
    """Points of a residual: game times `[n]`, points `[n, dim]`, factors `[n]`."""

    t: Float[Array, "n"]
    x: Batch
    factor: Float[Array, "n"]


class AbstractCollocation(AbstractPlaces):
    """The rule that places residual points; to add one, give `__call__(game, batch, *, key)`.

    `points` is how many are wanted; `None` stands for one for each row of the batch. The terminal
    condition is asked for at the same points, at the horizon.
    """

    asks: ClassVar[frozenset[str]] = frozenset(
        {"hjb", "hjb_gradient", "terminal", "terminal_gradient"}
    )
    counts: ClassVar[bool] = True

    @abstractmethod
    def __call__(self, game: MFG, batch: Batch, points: int | None, *, key: Key) -> Collocation:
        """Times, points and factors at which the residual is measured."""

    def check(self, owner: str, game: MFG, of: tuple[str, ...]) -> None:
        if game.initial is not None:
            starts = {"hjb": "interaction", "terminal": "terminal"}
            parts = tuple(dict.fromkeys(starts[name.split("_")[0]] for name in of))
            fix = "pass `Residual(at=OwnPaths())`, where the batch is the crowd"
            check_unpriced(owner, game, game.initial.dim, parts, fix)

    def evaluate(
        self, terms: Terms, game: MFG, model: AbstractModel, batch: Batch, *, key: Key
    ) -> Weighted:
        return _apart(self, terms, game, model, batch, key)


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

    def evaluate(
        self, terms: Terms, game: MFG, model: AbstractModel, batch: Batch, *, key: Key
    ) -> Weighted:
        """A residual carries grad U along, which is all that score matching asks for.

        So where there is one of either, the n - m other points alone are evaluated for score
        matching, the m shared ones once for both.
        """
        kinds = [term.matches for _, term in terms]
        if sorted(kinds) != [False, True]:
            return _apart(self, terms, game, model, batch, key)
        first = kinds.index(True)
        pair = self._shared(terms[first], terms[1 - first], game, model, batch, key)
        return pair._replace(terms=pair.terms[:: 1 - 2 * first])

    def _shared(self, first, second, game: MFG, model: AbstractModel, batch, key: Key) -> Weighted:
        (score_weight, matching), (residual_weight, residual) = first, second
        residual.admits(game, model)
        noising = forward_of(game, "NoisedData")
        everything = noised(noising, self.law, batch, key=key, fixed=game.dynamics.fixed)
        n = batch.shape[0]
        shared = subset_index(n, residual.points, key=key)
        apart = others(n, shared)
        share = len(shared) / n

        def both(model, sample) -> tuple[Scalar, tuple[Scalar, Scalar]]:
            point, key = sample
            factor = log_ratio_factor(noising, point.s)
            penalty, costate = _at(residual, game, model, point.t, point.y, factor, key)
            values = (
                score_weight * share * matching.error(game, model, point, costate),
                residual_weight * penalty,
            )
            return values[0] + values[1], values

        chosen = jax.tree.map(lambda leaf: leaf[shared], everything)
        keys = probe_keys(key, len(shared))
        total, (matched, penalised) = chunked_mean(both, model, (chosen, keys), reports=True)
        if len(apart):
            rest = jax.tree.map(lambda leaf: leaf[apart], everything)
            error = lambda point: matching.error(game, model, point, None)
            left = score_weight * jnp.sum(jax.vmap(error)(rest)) / n
            total, matched = total + left, matched + left
        known = score_weight * matching.variate(game, model, everything, batch)
        total, matched = total - known, matched - known
        return Weighted(total, jax.lax.stop_gradient((matched, penalised)))


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


class UniformBox(AbstractCollocation):
    """Points uniform in a box at times uniform on [0, horizon], stratified; for any game.

    Arguments:
        low, high: ends of the box along each axis, numbers or `[dim]`.
    """

    low: Float[Array, "dim"] | float = eqx.field(converter=jnp.asarray)
    high: Float[Array, "dim"] | float = eqx.field(converter=jnp.asarray)

    def __check_init__(self):
        ends = jnp.shape(self.low), jnp.shape(self.high)
        shapes = {*ends} - {()}
        if len(shapes) > 1 or any(len(shape) > 1 for shape in shapes):
            raise ValueError(
                f"`UniformBox` got low of shape {ends[0]} and high of shape {ends[1]}, "
                "expected numbers or one of each axis: pass two of one shape."
            )
        if not bool(jnp.all(self.low < self.high)):
            raise ValueError(
                f"`UniformBox` got low = {self.low} and high = {self.high}, expected low < high "
                "along each axis: exchange or change them."
            )

    def needs_data(self) -> bool:
        return False

    def check(self, owner: str, game: MFG, of: tuple[str, ...]) -> None:
        super().check(owner, game, of)
        for end in (self.low, self.high):
            if game.initial is not None and jnp.shape(end) not in ((), (game.initial.dim,)):
                raise ValueError(
                    f"`UniformBox` got {jnp.size(end)} axes for a game in {game.initial.dim} "
                    "dimensions, expected as many: pass one number for each axis, or one for all."
                )

    def __call__(self, game: MFG, batch: Batch, points: int | None, *, key: Key) -> Collocation:
        drawn = jax.random.uniform(jax.random.fold_in(key, 6), batch.shape, batch.dtype)
        return UniformTime()(game, self.low + (self.high - self.low) * drawn, points, key=key)


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


def _at(term, game: MFG, model: AbstractModel, t: Time, x, factor: Scalar, key: Key):
    """Penalty of a residual at a point and of its terminal condition there; grad U or `None`."""
    value, costate = term.point(game, model, Place(t, x, factor, 1.0, key))
    if term.ending:
        value = value + term.end(game, model, x, game.terminal)
    return value, costate


def _alone(at: AbstractCollocation, weight, term, game: MFG, model, batch: Batch, key: Key):
    if term.matches:
        return jnp.asarray(weight * term(game, model, batch, key=key))
    term.admits(game, model)
    points = at(game, batch, term.points, key=key)
    keys = probe_keys(key, points.t.shape[0])

    def penalised(model: AbstractModel, sample) -> Scalar:
        (t, x, factor), key = sample
        return _at(term, game, model, t, x, factor, key)[0]

    return jnp.asarray(weight * chunked_mean(penalised, model, (tuple(points), keys)))


def _apart(at: AbstractCollocation, terms: Terms, game: MFG, model, batch: Batch, key: Key):
    values = [_alone(at, weight, term, game, model, batch, key) for weight, term in terms]
    return Weighted(jnp.sum(jnp.stack(values)), jax.lax.stop_gradient(tuple(values)))
