"""Scaling of inputs and outputs with the noise level, in the coordinates of the noise ratio.

With kappa = noise / signal and data of mean m and standard deviation c (`spread`), the point
y / signal = x + kappa eps has variance c^2 + kappa^2. A network therefore sees

    z = (y / signal - m) / sqrt(c^2 + kappa^2)          (unit variance at every level)
    level = log kappa, mapped to [-1, 1].

Its output is scaled so that an untrained network is the Gaussian of the data's first two moments
and a trained one has to produce numbers of order one:

    score       grad log eta = ( -z + (c / kappa) F(z, level) ) / ( signal sqrt(c^2 + kappa^2) )
    potential   log eta = log N(z; 0, I) - d log( signal sqrt(c^2 + kappa^2) ) + A(kappa) f(z, l)
                A(kappa) = q(kappa / c) - q(kappa_max / c),   q(r) = (r^2 + .05^2)^(-1/2)

Labels go into the network as they are. A vanishes at the noisy end: there the potential is the
normalised reference, which fixes its additive function of time once the Hamilton-Jacobi-Bellman
equation holds on the whole interval.

Reference: T. Karras et al., "Elucidating the design space of diffusion-based generative models"
(2022), arXiv 2206.00364, table 1 (input and output scaling).
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from mfgen import _check
from mfgen._types import Batch, Key, Scalar, State, Time
from mfgen.densities._base import AbstractDensity
from mfgen.derive._score_based import score_dynamics, score_noising, target
from mfgen.dynamics._noising import AbstractForward, AbstractNoising
from mfgen.games._game import MFG
from mfgen.math import _entry

FLOOR = 0.05  # below kappa = c / 20 the correction to log eta no longer grows: it is then log pi
_PATHS, _LEVELS, _DEGREE = 2000, 24, 8  # of the moments along simulated paths


class AbstractScaling(eqx.Module):
    """How inputs and outputs of a network are scaled with the noise level.

    To add one, give the forward process `noising`, the coordinates `dim` of a point and `labels` of
    its label, and `centre`, `width`, `gain` and `amplitude`.
    """

    noising: eqx.AbstractVar[AbstractForward]
    labels: eqx.AbstractVar[int]

    @property
    @abstractmethod
    def dim(self) -> int:
        """Coordinates of a point."""

    @abstractmethod
    def centre(self, s: Time) -> State:
        """The mean of the noised data at time s."""

    @abstractmethod
    def width(self, s: Time) -> Scalar:
        """The standard deviation of the noised data at time s, per coordinate."""

    @abstractmethod
    def gain(self, s: Time) -> Scalar:
        """The scale of the correction to the score of the Gaussian."""

    @abstractmethod
    def amplitude(self, s: Time) -> Scalar:
        """A, the scale of the correction to the Gaussian log-density."""

    def point(self, s: Time, y: State) -> Array:
        """z, the noised point shifted and scaled to unit variance, shape `[dim]`."""
        y = _entry.point("Precondition", y, self.dim + self.labels)
        return (y[: self.dim] - self.centre(s).astype(y.dtype)) / self.width(s)

    def inputs(self, s: Time, y: State) -> State:
        """The inputs of a network: z, and the label as it is, `[dim + labels]`."""
        z = self.point(s, y)
        return jnp.concatenate([z, y[z.size :].astype(z.dtype)]) if self.labels else z

    def level(self, s: Time) -> Scalar:
        """log kappa mapped affinely to [-1, 1] on [start, horizon]."""
        noising = self.noising
        low = jnp.log(noising.ratio(noising.start))
        high = jnp.log(noising.ratio(noising.horizon))
        return (2 * jnp.log(noising.ratio(s)) - low - high) / (high - low)


class Precondition(AbstractScaling):
    """Noise-aware scaling for data of mean `mean` and standard deviation `spread`.

    Arguments:
        noising: the noising process.
        mean: mean of the data, shape `[dim]`.
        spread: root mean square deviation of the data per coordinate, a positive scalar.
        labels: coordinates of a label beside the point.
    """

    noising: AbstractNoising
    mean: tuple[float, ...] = eqx.field(static=True)
    spread: float = eqx.field(static=True)
    labels: int = eqx.field(static=True, default=0)

    @property
    def dim(self) -> int:
        return len(self.mean)

    def centre(self, s: Time) -> State:
        return self.noising.signal(s) * jnp.asarray(self.mean)

    def width(self, s: Time) -> Scalar:
        """signal sqrt(c^2 + kappa^2): the standard deviation of the noised data at time s."""
        noising = self.noising
        return jnp.sqrt(jnp.square(noising.signal(s) * self.spread) + jnp.square(noising.noise(s)))

    def gain(self, s: Time) -> Scalar:
        return self.spread / self.noising.ratio(s) / self.width(s)

    def amplitude(self, s: Time) -> Scalar:
        """A(kappa), the scale of the correction to the Gaussian log-density."""
        last = self.noising.ratio(self.noising.horizon)
        return _decay(self.noising.ratio(s) / self.spread) - _decay(last / self.spread)


class PathScaling(AbstractScaling):
    """The same for any forward process, whose moments are estimated along simulated paths.

    log width and centre are polynomials of the level. The law at the noisy end need not be
    Gaussian, so that the correction does not vanish there.

    Arguments:
        noising: the forward process.
        centres: coefficients of the mean of the noised data, highest power first, `[k, dim]`.
        widths: of the logarithm of its standard deviation, `[k]`.
        labels: coordinates of a label beside the point.
    """

    noising: AbstractForward
    centres: tuple[tuple[float, ...], ...] = eqx.field(static=True)
    widths: tuple[float, ...] = eqx.field(static=True)
    labels: int = eqx.field(static=True, default=0)

    @property
    def dim(self) -> int:
        return len(self.centres[-1])

    def centre(self, s: Time) -> State:
        return jnp.polyval(jnp.asarray(self.centres), self.level(s))

    def width(self, s: Time) -> Scalar:
        return jnp.exp(jnp.polyval(jnp.asarray(self.widths), self.level(s)))

    def gain(self, s: Time) -> Scalar:
        return jnp.sqrt(1 / jnp.square(self.noising.noise(s)) + 1 / jnp.square(self.width(s)))

    def amplitude(self, s: Time) -> Scalar:
        return _decay(self.noising.noise(s) / self.width(s))


def precondition(game: MFG) -> Precondition:
    """The noise-aware scaling of a score-based game, from the first two moments of its data.

    Raises:
        TypeError: if the game is not score-based, or has labels; it names the part that differs.
    """
    _check.of_kind("precondition", "game", game, MFG, "pass `score_based(VP(), data)`")
    noising = score_noising("precondition", game, named=True)
    if game.dynamics.fixed:
        raise TypeError(
            "`precondition` got a score-based game with labels, expected one of points alone: "
            "density estimates know no labels; make one of the points with each label."
        )
    return _preconditioned(game, noising)


def scaling(game: MFG) -> AbstractScaling:
    """The scaling of a network for a score-based game of any forward process, with labels or not.

    Raises:
        TypeError: if the game is not score-based; it names the part that differs.
    """
    _check.of_kind("precondition", "game", game, MFG, "pass `score_based(VP(), data)`")
    process = score_dynamics("precondition", game, named=True).noising
    if isinstance(process, AbstractNoising):
        return _preconditioned(game, process)
    return _path_scaling(game, process)


def _preconditioned(game: MFG, noising: AbstractNoising) -> Precondition:
    # The terminal cost may be that of data noised already; the law at the noisy end tells theirs.
    labels = game.dynamics.fixed
    mean, covariance = _of_points(target(game), labels)
    spread = jnp.sqrt(jnp.trace(covariance) / mean.size)
    if game.initial is not None:
        mean, spread = data_moments(noising, game.initial, float(spread), labels)
    centre = tuple(jnp.asarray(mean).tolist())
    return Precondition(noising, mean=centre, spread=float(spread), labels=labels)


def _path_scaling(game: MFG, process: AbstractForward) -> PathScaling:
    """Moments at some levels of simulated paths from the data, and polynomials through them."""
    labels, keys = game.dynamics.fixed, jax.random.split(jax.random.key(0), 2)
    rows = target(game).sample(_PATHS, key=keys[0])
    points = rows[:, : rows.shape[1] - labels]
    shares = 0.5 * (1 - jnp.cos(jnp.pi * jnp.arange(_LEVELS) / (_LEVELS - 1)))
    low, high = process.ratio(process.start), process.ratio(process.horizon)

    @jax.jit
    def moments(share: Scalar) -> tuple[State, Scalar]:
        s = process.time(low * (high / low) ** share)
        y = moved(process, s, points, key=keys[1])
        return jnp.mean(y, axis=0), 0.5 * jnp.log(jnp.mean(jnp.var(y, axis=0)))

    means, widths = jax.lax.map(moments, shares)
    level = np.asarray(2 * shares - 1)
    centres = np.polyfit(level, np.asarray(means), _DEGREE)
    logarithms = np.polyfit(level, np.asarray(widths), _DEGREE)
    return PathScaling(
        process,
        centres=tuple(map(tuple, centres.tolist())),
        widths=tuple(logarithms.tolist()),
        labels=labels,
    )


def moved(process: AbstractForward, s: Time, points: Batch, *, key: Key) -> Batch:
    """Each point noised to time s, on a path of its own, `[n, dim]`."""
    shape = points.shape if process.draws == 1 else (len(points), process.draws, points.shape[1])
    eps = jax.random.normal(key, shape, points.dtype)
    return jax.vmap(lambda x, eps: process.moved(s, x, eps))(points, eps)


def data_moments(
    noising: AbstractNoising,
    initial: AbstractDensity | None,
    otherwise: float = 1.0,
    labels: int = 0,
) -> tuple[State | Scalar, Scalar]:
    """Mean and standard deviation per coordinate of the data, from the law at the noisy end.

    That law has the moments alpha m and alpha^2 c^2 + sigma^2. Where rounding has swallowed the
    first term, or no law is given, c is `otherwise`; one is that of standardised data.
    """
    if initial is None:
        return jnp.asarray(0.0), jnp.asarray(otherwise)
    mean, covariance = _of_points(initial, labels)
    signal, ratio = noising.signal(noising.horizon), noising.ratio(noising.horizon)
    square = jnp.trace(covariance) / mean.size / jnp.square(signal) - jnp.square(ratio)
    resolved = 8 * jnp.finfo(square.dtype).eps * jnp.square(ratio)
    spread = jnp.sqrt(jnp.where(square > resolved, square, otherwise**2))
    return jax.lax.stop_gradient((mean / signal, spread))


def _of_points(law: AbstractDensity, labels: int) -> tuple[State, Array]:
    """Mean and covariance of the points of a law, without their labels."""
    mean, covariance = law.moments()
    dim = mean.size - labels
    return mean[:dim], covariance[:dim, :dim]


def _decay(ratio: Time) -> Scalar:
    return 1 / jnp.sqrt(jnp.square(ratio) + FLOOR**2)
