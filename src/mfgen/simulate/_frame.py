"""Frames: the scaled point and the clock in which a game is integrated.

With x = centre(t) + scale(t) w and a clock t(tau), the particle dX = b dt + sigma dW moves by

    dw = [ (b - centre') / scale - w scale' / scale ] (dt/dtau) dtau
         + (sigma / scale) sqrt(dt/dtau) dW_tau.

In a score-based game both are those of the noised data, with mean m and spread c of the data,

    centre = signal m,                scale = signal sqrt(c^2 + kappa^2),
    dlog(centre)/ds = r(s),           dlog(scale)/ds = r(s) + theta dlog(kappa)/ds,
    theta = kappa^2 / (c^2 + kappa^2),

so the free drift -r x cancels and nothing of VP, VE or sub-VP is left: on the log-ratio clock

    dw = [ (2 sigma^2 / g) v / scale + theta w ] dtau + sqrt(2 theta) dW_tau,

with v the control and sigma, g the noise and diffusion of the noising. All rates are of order one
at every noise level, for Gaussian data of spread c the flow without noise does not move at all,
and float32 rounding stays relative to a point of unit size. In other games w = x, unfolded
where particles live on circles or between walls (`mfgen.math._space`).

References: T. Karras et al. (2022), arXiv 2206.00364; Y. Song et al. (2021), arXiv 2011.13456.
"""

import dataclasses
from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from mfgen._types import Scalar, State, Time
from mfgen.derive._score_based import is_score_based as is_score_based
from mfgen.derive._score_based import score_dynamics as score_dynamics
from mfgen.dynamics._noising import (
    AbstractNoising,
    TimeReversal,
    log_ratio_speed,
    reversed_noising,
)
from mfgen.games._game import MFG
from mfgen.math._linear_map import LinearMap
from mfgen.math._space import AbstractDomain
from mfgen.models._precondition import data_moments
from mfgen.simulate._clock import AbstractClock, LogRatioClock, SaturatingClock, clock

Field = Callable[[Time, State], State]


class AbstractFrame(eqx.Module):
    """A clock, and a scaled coordinate of space.

    To add one, give `clock`, `centre(t)` and `scale(t)`, and the rules by which a velocity b in x
    per unit of t, and its divergence, become those of w per unit of tau.
    """

    clock: eqx.AbstractVar[AbstractClock]

    @abstractmethod
    def centre(self, t: Time) -> State | Scalar:
        """The x that is w = 0 at game time t."""

    @abstractmethod
    def scale(self, t: Time) -> Scalar:
        """The size of x that is one unit of w at game time t."""

    def place(self, t: Time, w: State) -> State:
        """The point x with coordinate w at game time t."""
        return self.centre(t) + self.sizes(t, w.size) * w

    def sizes(self, t: Time, dim: int) -> State | Scalar:
        """The size of one unit of each coordinate of w: that of a label is one."""
        return self.scale(t)

    @abstractmethod
    def velocity(self, tau: Time, w: State, b: State) -> State:
        """dw/dtau at tau of a particle at w that moves with dx/dt = b."""

    @abstractmethod
    def divergence(self, tau: Time, dim: int, div_b: Array) -> Array:
        """The divergence in w of the velocity that belongs to a b of divergence `div_b`."""


class FixedFrame(AbstractFrame):
    """x = fold(w), w = x in Euclidean space: w goes on where walls turn x back.

    Arguments:
        clock: of the game.
        domain: where x lives.
    """

    clock: AbstractClock
    domain: AbstractDomain

    def place(self, t: Time, w: State) -> State:
        return self.domain.fold(w)

    def centre(self, t: Time) -> State | Scalar:
        return jnp.asarray(0.0)

    def scale(self, t: Time) -> Scalar:
        return jnp.asarray(1.0)

    def velocity(self, tau: Time, w: State, b: State) -> State:
        return self.clock.speed(tau) * self.domain.folded(w)[1] * b

    def divergence(self, tau: Time, dim: int, div_b: Array) -> Array:
        return self.clock.speed(tau) * div_b


class NoiseFrame(AbstractFrame):
    """w = (x - signal m) / (signal sqrt(c^2 + kappa^2)), for a reversed noising.

    Arguments:
        clock: a clock by noise ratio.
        dynamics: the reversed noising.
        mean, spread: mean m of the data, and their standard deviation c per coordinate.
        fixed: how many coordinates beside the point are labels, which stay as they are.
    """

    clock: LogRatioClock | SaturatingClock
    dynamics: TimeReversal
    noising: AbstractNoising
    mean: State | Scalar
    spread: Scalar
    fixed: int = eqx.field(static=True, default=0)

    def centre(self, t: Time) -> State | Scalar:
        centre = self.noising.signal(self.dynamics.noising_time(t)) * self.mean
        return jnp.pad(centre, (0, self.fixed)) if jnp.ndim(centre) else centre

    def scale(self, t: Time) -> Scalar:
        noising, s = self.noising, self.dynamics.noising_time(t)
        return jnp.hypot(noising.signal(s) * self.spread, noising.noise(s))

    def sizes(self, t: Time, dim: int) -> State | Scalar:
        scale = self.scale(t)
        if not self.fixed:
            return scale
        return jnp.concatenate([jnp.full(dim - self.fixed, scale), jnp.ones(self.fixed)])

    def velocity(self, tau: Time, w: State, b: State) -> State:
        t = self.clock.time(tau)
        sizes, point = self.sizes(t, w.size), w
        if self.fixed:
            point = w.at[-self.fixed :].set(0.0)
        # The free drift moves the centre as it moves x, so both leave the same rest.
        free = self.noising.rate(self.dynamics.noising_time(t)) * (self.centre(t) + sizes * point)
        return self.clock.speed(tau) * ((b + free) / sizes + self._growth(t) * point)

    def divergence(self, tau: Time, dim: int, div_b: Array) -> Array:
        t = self.clock.time(tau)
        rate = self.noising.rate(self.dynamics.noising_time(t))
        return self.clock.speed(tau) * (div_b + dim * (rate + self._growth(t)))

    def _growth(self, t: Time) -> Scalar:
        s = self.dynamics.noising_time(t)
        return jnp.square(self.noising.noise(s) / self.scale(t)) * log_ratio_speed(self.noising, s)


def random_frame(game: MFG) -> AbstractFrame:
    """The frame for random paths: the log-ratio clock for a reversed noising."""
    chosen = clock(game.dynamics)
    noising = reversed_noising(game.dynamics)
    if not isinstance(chosen, LogRatioClock) or noising is None:
        return FixedFrame(chosen, game.domain)
    mean, spread = data_moments(noising, game.initial, labels=game.dynamics.fixed)
    return NoiseFrame(chosen, chosen.dynamics, noising, mean, spread, game.dynamics.fixed)


def smooth_frame(game: MFG) -> AbstractFrame:
    """The frame for paths without noise: the saturating clock for a reversed noising."""
    frame = random_frame(game)
    if not isinstance(frame, NoiseFrame):
        return frame
    chosen = SaturatingClock(frame.dynamics, frame.spread)
    return dataclasses.replace(frame, clock=chosen)


def to_frame(frame: AbstractFrame, t: Time, x: State) -> State:
    """The coordinate w of the point x at game time t."""
    return ((x - frame.centre(t)) / frame.sizes(t, x.size)).astype(x.dtype)


def from_frame(frame: AbstractFrame, t: Time, w: State) -> State:
    """The point x with coordinate w at game time t."""
    return frame.place(t, w).astype(w.dtype)


def scaled_field(frame: AbstractFrame, field: Field) -> Field:
    """The velocity field (t, x) -> dx/dt written in the frame, (tau, w) -> dw/dtau."""

    def scaled(tau: Time, w: State) -> State:
        t = frame.clock.time(tau).astype(w.dtype)
        return frame.velocity(tau, w, field(t, from_frame(frame, t, w))).astype(w.dtype)

    return scaled


def noise_level(frame: AbstractFrame, game: MFG, tau: Time) -> LinearMap:
    """The diffusion (sigma / scale) sqrt(dt/dtau) of w per square root of tau."""
    t = frame.clock.time(tau)
    return game.dynamics.diffusion(t) / frame.scale(t) * jnp.sqrt(frame.clock.speed(tau))
