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

A vanishes at the noisy end: there the potential is the normalised reference, which fixes its
additive function of time once the Hamilton-Jacobi-Bellman equation holds on the whole interval.

Reference: T. Karras et al., "Elucidating the design space of diffusion-based generative models"
(2022), arXiv 2206.00364, table 1 (input and output scaling).
"""

import equinox as eqx
import jax
import jax.numpy as jnp

from mfgen import _check
from mfgen._types import Scalar, State, Time
from mfgen.density.base import AbstractDensity
from mfgen.derive.score_based import score_dynamics, target
from mfgen.math import entry
from mfgen.problem.game import MFG
from mfgen.problem.noising import AbstractNoising

FLOOR = 0.05  # below kappa = c / 20 the correction to log eta no longer grows: it is then log pi


class Precondition(eqx.Module):
    """Noise-aware scaling for data of mean `mean` and standard deviation `spread`.

    Arguments:
        noising: the noising process.
        mean: mean of the data, shape `[dim]`.
        spread: root mean square deviation of the data per coordinate, a positive scalar.
    """

    noising: AbstractNoising
    mean: tuple[float, ...] = eqx.field(static=True)
    spread: float = eqx.field(static=True)

    def width(self, s: Time) -> Scalar:
        """signal sqrt(c^2 + kappa^2): the standard deviation of the noised data at time s."""
        noising = self.noising
        return jnp.sqrt(jnp.square(noising.signal(s) * self.spread) + jnp.square(noising.noise(s)))

    def point(self, s: Time, y: State) -> State:
        """z, the noised point shifted and scaled to unit variance, shape `[dim]`."""
        y = entry.point("Precondition", y, len(self.mean))
        mean = jnp.asarray(self.mean, dtype=y.dtype)
        return (y - self.noising.signal(s) * mean) / self.width(s)

    def level(self, s: Time) -> Scalar:
        """log kappa mapped affinely to [-1, 1] on [start, horizon]."""
        noising = self.noising
        low = jnp.log(noising.ratio(noising.start))
        high = jnp.log(noising.ratio(noising.horizon))
        return (2 * jnp.log(noising.ratio(s)) - low - high) / (high - low)

    def amplitude(self, s: Time) -> Scalar:
        """A(kappa), the scale of the correction to the Gaussian log-density."""
        last = self.noising.ratio(self.noising.horizon)
        return _decay(self.noising.ratio(s) / self.spread) - _decay(last / self.spread)


def precondition(game: MFG) -> Precondition:
    """The noise-aware scaling of a score-based game, from the first two moments of its data.

    Raises:
        TypeError: if the game is not score-based; it names the part that differs.
    """
    _check.of_kind("precondition", "game", game, MFG, "pass `score_based(VP(), data)`")
    dynamics = score_dynamics("precondition", game, named=True)
    # The terminal cost may be that of data noised already; the law at the noisy end tells theirs.
    mean, covariance = target(game).moments()
    spread = jnp.sqrt(jnp.trace(covariance) / mean.size)
    if game.initial is not None:
        mean, spread = data_moments(dynamics.noising, game.initial, float(spread))
    return Precondition(dynamics.noising, tuple(jnp.asarray(mean).tolist()), float(spread))


def data_moments(
    noising: AbstractNoising, initial: AbstractDensity | None, otherwise: float = 1.0
) -> tuple[State | Scalar, Scalar]:
    """Mean and standard deviation per coordinate of the data, from the law at the noisy end.

    That law has the moments alpha m and alpha^2 c^2 + sigma^2. Where rounding has swallowed the
    first term, or no law is given, c is `otherwise`; one is that of standardised data.
    """
    if initial is None:
        return jnp.asarray(0.0), jnp.asarray(otherwise)
    mean, covariance = initial.moments()
    signal, ratio = noising.signal(noising.horizon), noising.ratio(noising.horizon)
    square = jnp.trace(covariance) / initial.dim / jnp.square(signal) - jnp.square(ratio)
    resolved = 8 * jnp.finfo(square.dtype).eps * jnp.square(ratio)
    spread = jnp.sqrt(jnp.where(square > resolved, square, otherwise**2))
    return jax.lax.stop_gradient((mean / signal, spread))


def _decay(ratio: Time) -> Scalar:
    return 1 / jnp.sqrt(jnp.square(ratio) + FLOOR**2)
