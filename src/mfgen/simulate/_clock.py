"""Clocks: the variable along which a game is integrated, so that no end of the interval is stiff.

A clock maps tau in [0, span] to game time t in [0, horizon], increasing. In a score-based game all
that happens is a matter of the noise ratio kappa = noise / signal, which falls from kappa_max at
t = 0 to kappa_min at t = horizon while t itself crowds the last stages into a short end:

    `UniformClock`      tau = t                                              any other dynamics
    `LogRatioClock`     tau = log(kappa_max / kappa)                         random paths
    `SaturatingClock`   tau = asinh(c / kappa) - asinh(c / kappa_max)        smooth paths

On the log-ratio clock noise enters at a bounded rate. The flow without noise stands still while
kappa is much larger than the spread c of the data; the saturating clock, which is log(1 / kappa)
below c, hurries over that part and needs about half the steps.

Reference: T. Karras et al. (2022), arXiv 2206.00364, section 3 (steps by noise ratio, not by time).
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen._types import Scalar, Time
from mfgen.derive._score_based import reverses
from mfgen.dynamics._dynamics import AbstractDynamics
from mfgen.dynamics._noising import AbstractForward, TimeReversal, log_ratio_speed


class AbstractClock(eqx.Module):
    """An increasing map from tau in [0, span] to game time t in [0, horizon].

    To add one, give `span`, `time(tau)` with exact ends, and `speed(tau)` = dt / dtau.
    """

    @property
    @abstractmethod
    def span(self) -> Scalar:
        """The last tau."""

    @abstractmethod
    def time(self, tau: Time) -> Scalar:
        """The game time t at tau: exactly 0 at 0 and exactly the horizon at `span`."""

    @abstractmethod
    def speed(self, tau: Time) -> Scalar:
        """dt / dtau > 0 at tau."""


class UniformClock(AbstractClock):
    """tau = t.

    Arguments:
        horizon: the final time of the game.
    """

    horizon: float = eqx.field(static=True)

    @property
    def span(self) -> Scalar:
        return jnp.asarray(self.horizon)

    def time(self, tau: Time) -> Scalar:
        return jnp.asarray(tau)

    def speed(self, tau: Time) -> Scalar:
        return jnp.ones_like(jnp.asarray(tau))


class LogRatioClock(AbstractClock):
    """tau = log(kappa_max / kappa): equal steps multiply the noise ratio by equal factors.

    Arguments:
        dynamics: the reversed noising process.
    """

    dynamics: TimeReversal

    @property
    def span(self) -> Scalar:
        first, last = _ratios(self.dynamics.noising)
        return jnp.log(first / last)

    def time(self, tau: Time) -> Scalar:
        first, _ = _ratios(self.dynamics.noising)
        tau = jnp.asarray(tau)
        return _pin(self, self.dynamics, tau, first * jnp.exp(-tau))

    def speed(self, tau: Time) -> Scalar:
        s = self.dynamics.noising_time(self.time(tau))
        return 1 / log_ratio_speed(self.dynamics.noising, s)


class SaturatingClock(AbstractClock):
    """tau = asinh(c / kappa) - asinh(c / kappa_max): -log kappa for kappa << c, c / kappa above.

    Arguments:
        dynamics: the reversed noising process.
        spread: standard deviation c of the data.
    """

    dynamics: TimeReversal
    spread: Scalar

    @property
    def span(self) -> Scalar:
        first, last = _ratios(self.dynamics.noising)
        return jnp.arcsinh(self.spread / last) - jnp.arcsinh(self.spread / first)

    def time(self, tau: Time) -> Scalar:
        first, _ = _ratios(self.dynamics.noising)
        tau = jnp.asarray(tau)
        ratio = self.spread / jnp.sinh(tau + jnp.arcsinh(self.spread / first))
        return _pin(self, self.dynamics, tau, ratio)

    def speed(self, tau: Time) -> Scalar:
        s = self.dynamics.noising_time(self.time(tau))
        stretch = jnp.sqrt(1 + jnp.square(self.dynamics.noising.ratio(s) / self.spread))
        return stretch / log_ratio_speed(self.dynamics.noising, s)


def clock(dynamics: AbstractDynamics) -> AbstractClock:
    """The clock of a dynamics: by log noise ratio for a reversed noising, uniform for others."""
    points = dynamics.of_points
    if isinstance(points, TimeReversal) and reverses(points):
        return LogRatioClock(points)
    return UniformClock(dynamics.horizon)


def time_grid(dynamics: AbstractDynamics, steps: int) -> Float[Array, "nodes"]:
    """Game times at equal steps of the dynamics' clock, `[steps + 1]`, from 0 to the horizon.

    Arguments:
        dynamics: a reversed noising gives times at equal ratios of the noise ratio, other
            dynamics equidistant times.
        steps: the number of intervals, at least 1.
    """
    chosen = clock(dynamics)
    # Counting steps in integers reaches the last node exactly, adding them up would not.
    fractions = jnp.arange(steps + 1) / steps
    return jax.vmap(chosen.time)(chosen.span * fractions)


def _ratios(noising: AbstractForward) -> tuple[Scalar, Scalar]:
    return noising.ratio(noising.horizon), noising.ratio(noising.start)


def _pin(clock: AbstractClock, dynamics: TimeReversal, tau: Scalar, ratio: Scalar) -> Scalar:
    # Rounding must not carry an evaluation of the model out of the interval it was trained on.
    t = dynamics.noising.horizon - dynamics.noising.time(ratio)
    t = jnp.clip(t, 0.0, dynamics.horizon)
    return jnp.where(tau <= 0, 0.0, jnp.where(tau >= clock.span, dynamics.horizon, t))
