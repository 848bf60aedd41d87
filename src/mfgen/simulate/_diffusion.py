"""Samplers that follow the controlled diffusion dX = b*(t, X) dt + sigma(t) dW.

In the frame of the game (`mfgen.simulate._frame`) it reads dw = B(tau, w) dtau + D(tau) dW. The
noise is additive, so the Ito and the Stratonovich equation are the same. With step h and a
standard normal vector xi

    `EulerMaruyama`     w' = w + h B(tau, w) + D(tau) sqrt(h) xi                        weak order 1
    `StochasticHeun`    w~ = w + h B(tau, w) + Dm sqrt(h) xi
                        w' = w + (h/2) [B(tau, w) + B(tau + h, w~)] + Dm sqrt(h) xi     weak order 2
                        Dm Dm^T = (D D^T(tau) + D D^T(tau + h)) / 2

Both are of their order for deterministic games too, where sigma = 0.

Reference: P. E. Kloeden, E. Platen, "Numerical solution of stochastic differential equations"
(1992), sections 14.1 and 15.1.
"""

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from mfgen._types import Key, Scalar, State
from mfgen.games._game import MFG
from mfgen.math._count import count, plain
from mfgen.math._linear_map import LinearMap, image, source_size
from mfgen.models._base import AbstractModel, velocity
from mfgen.simulate._base import AbstractSampler, Arrival
from mfgen.simulate._frame import (
    AbstractFrame,
    Field,
    from_frame,
    noise_level,
    random_frame,
    scaled_field,
    to_frame,
)
from mfgen.simulate._integrator import AbstractStep, Slope, Value, along

Advance = Callable[[State, Scalar, Scalar, Key], State]
Kick = Callable[[MFG, AbstractFrame, State, Scalar, Scalar, Key], State]


class EulerMaruyama(AbstractSampler, AbstractStep):
    """The Euler-Maruyama method, one evaluation of the model in each step; weak order 1.

    Arguments:
        steps: the number of steps, equal on the clock of the game.
    """

    random: ClassVar[bool] = True
    steps: int = eqx.field(static=True, default=200, converter=plain)

    def __check_init__(self):
        count("EulerMaruyama", "steps", self.steps)

    def __call__(self, game: MFG, model: AbstractModel, x: State, *, key: Key) -> Arrival:
        return stepped(self, _first_kick, game, model, x, key)

    def advance(
        self, slope: Slope, value: Value, t: Scalar, after: Scalar, noise: tuple[Value, Value]
    ) -> Value:
        return along(along(value, after - t, slope(t, value)), 1.0, noise[0])


class StochasticHeun(AbstractSampler, AbstractStep):
    """Heun's method for additive noise, two evaluations in each step; weak order 2.

    Arguments:
        steps: the number of steps, equal on the clock of the game.
    """

    random: ClassVar[bool] = True
    steps: int = eqx.field(static=True, default=100, converter=plain)

    def __check_init__(self):
        count("StochasticHeun", "steps", self.steps)

    def __call__(self, game: MFG, model: AbstractModel, x: State, *, key: Key) -> Arrival:
        return stepped(self, _mean_kick, game, model, x, key)

    def advance(
        self, slope: Slope, value: Value, t: Scalar, after: Scalar, noise: tuple[Value, Value]
    ) -> Value:
        h, kick = after - t, along(noise[0], 1.0, noise[1])
        first = slope(t, value)
        second = slope(after, along(along(value, h, first), 0.5, kick))
        return along(along(along(value, 0.5 * h, first), 0.5 * h, second), 0.5, kick)


def steered_field(frame: AbstractFrame, game: MFG, model: AbstractModel) -> Field:
    """The drift b* of the model's control, in the frame."""
    return scaled_field(frame, lambda t, x: velocity(game, model, t, x))


def stepped(
    method: AbstractStep, kick: Kick, game: MFG, model: AbstractModel, x: State, key: Key
) -> Arrival:
    """A point carried to the horizon by the equal steps of a method on the frame's clock."""
    frame = random_frame(game)
    field = steered_field(frame, game, model)

    def advance(w: State, tau: Scalar, after: Scalar, key: Key) -> State:
        noise = kick(game, frame, w, tau, after, key)
        return method.advance(field, w, tau, after, (noise, noise))

    return Arrival(walk(game, frame, advance, method.count(None), x, key), end_time(game))


def euler(
    game: MFG, frame: AbstractFrame, field: Field, w: State, tau: Scalar, after: Scalar, key: Key
) -> State:
    """One Euler-Maruyama step from tau to `after`."""
    return w + (after - tau) * field(tau, w) + _first_kick(game, frame, w, tau, after, key)


def _first_kick(
    game: MFG, frame: AbstractFrame, w: State, tau: Scalar, after: Scalar, key: Key
) -> State:
    """Noise of a step by the diffusion at its beginning."""
    return _gaussian(game, noise_level(frame, game, tau) * jnp.sqrt(after - tau), w, key)


def _mean_kick(
    game: MFG, frame: AbstractFrame, w: State, tau: Scalar, after: Scalar, key: Key
) -> State:
    """Noise of a step whose covariance is the mean of those at its two ends."""
    first, last = noise_level(frame, game, tau), noise_level(frame, game, after)
    half = jnp.sqrt(0.5 * (after - tau))
    if first.ndim == 0:
        return _gaussian(game, jnp.hypot(first, last) * half, w, key)
    keys = jax.random.split(key)
    return _gaussian(game, first * half, w, keys[0]) + _gaussian(game, last * half, w, keys[1])


def _gaussian(game: MFG, deviation: LinearMap, w: State, key: Key) -> State:
    """A linear image of a standard normal vector, zero in a deterministic game."""
    if game.dynamics.deterministic:
        return jnp.zeros_like(w)
    size = source_size(deviation, w.size)
    return image(deviation.astype(w.dtype), jax.random.normal(key, (size,), w.dtype))


def walk(
    game: MFG, frame: AbstractFrame, advance: Advance, steps: int, x: State, key: Key
) -> State:
    """Runs `advance` over equal steps of the frame's clock, from x at time 0 to the horizon."""
    span = frame.clock.span

    @jax.checkpoint
    def body(w: State, index: Array) -> tuple[State, None]:
        tau, after = span * (index / steps), span * ((index + 1) / steps)
        return advance(w, tau, after, jax.random.fold_in(key, index)).astype(x.dtype), None

    w, _ = jax.lax.scan(body, to_frame(frame, 0.0, x), jnp.arange(steps))
    return from_frame(frame, game.dynamics.horizon, w)


def end_time(game: MFG) -> Scalar:
    """The horizon of the game as an array."""
    return jnp.asarray(game.dynamics.horizon)
