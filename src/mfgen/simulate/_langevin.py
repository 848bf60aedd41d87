"""Samplers that use the Langevin dynamics of a density whose score is known.

At a fixed time of a score-based game grad log rho = -p, and

    x' = x + h grad log rho(x) + sqrt(2 h) xi

leaves rho invariant up to a bias of order h. `PredictorCorrector` interleaves it with the
reversed diffusion, to correct the density between two predictions. Its step is

    h = 2 (r sigma)^2,      r = `signal_to_noise`, sigma the noise of the present time.

Song et al. take h = 2 (r |xi| / |grad log rho|)^2; here both norms are replaced by their root mean
squares sqrt(dim) and sqrt(dim) / sigma, since a step that depends on the point or on the draw
changes the invariant density, badly so in few dimensions. The bias it leaves in the variance is at
most the fraction r^2, and vanishes as sigma falls below the finest scale of the data.

References: Y. Song et al. (2021), arXiv 2011.13456, algorithms 2, 4 and 5; Y. Song, S. Ermon
(2019), arXiv 1907.05600 (the step in proportion to sigma^2).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from mfgen._types import Key, Scalar, State, Time
from mfgen.derive._score_based import score_dynamics
from mfgen.dynamics._dynamics import positive
from mfgen.games._game import MFG
from mfgen.math._count import count, plain
from mfgen.models._base import AbstractModel, score
from mfgen.simulate._base import AbstractSampler, Arrival
from mfgen.simulate._diffusion import end_time, euler, steered_field, walk
from mfgen.simulate._frame import from_frame, random_frame, to_frame


class PredictorCorrector(AbstractSampler):
    """Euler-Maruyama steps of the reversed diffusion, each followed by Langevin corrections.

    Arguments:
        steps: the number of predictions.
        corrections: Langevin steps after each of them.
        signal_to_noise: r, the size of a correction relative to the noise.

    Raises:
        TypeError: when used on a game that is not score-based.
    """

    steps: int = eqx.field(static=True, default=100, converter=plain)
    corrections: int = eqx.field(static=True, default=1, converter=plain)
    signal_to_noise: float = eqx.field(static=True, default=0.16)

    def __check_init__(self):
        count("PredictorCorrector", "steps", self.steps)
        count("PredictorCorrector", "corrections", self.corrections)
        positive("PredictorCorrector", "signal_to_noise", self.signal_to_noise)

    def __call__(self, game: MFG, model: AbstractModel, x: State, *, key: Key) -> Arrival:
        dynamics = score_dynamics("PredictorCorrector", game)
        noising = dynamics.noising
        frame = random_frame(game)
        field = steered_field(frame, game, model)
        fixed = game.dynamics.fixed

        def correct(t: Scalar, x: State, step: Scalar, key: Key) -> State:
            return diffuse(model, t, x, step, self.corrections, key, fixed)

        def advance(w: State, tau: Scalar, after: Scalar, key: Key) -> State:
            predict_key, correct_key = jax.random.split(key)
            w = euler(game, frame, field, w, tau, after, predict_key)
            t = frame.clock.time(after)
            noise = noising.noise(dynamics.noising_time(t))
            step = 2 * jnp.square(self.signal_to_noise * noise)
            x = from_frame(frame, t, w)
            return to_frame(frame, t, correct(t, x, step, correct_key))

        return Arrival(walk(game, frame, advance, self.steps, x, key), end_time(game))

    def check(self, game: MFG) -> None:
        score_dynamics("PredictorCorrector", game)


class Langevin(AbstractSampler):
    """Langevin dynamics in the last density of a score-based game, from points of the first one.

    It needs no other time of the model, but passes slowly between modes that are far apart.

    Arguments:
        steps: the number of steps.
        step: h, in squared units of the data; below the variance of the narrowest direction.

    Raises:
        TypeError: when used on a game that is not score-based.
    """

    steps: int = eqx.field(static=True, converter=plain)
    step: float = eqx.field(static=True)

    def __check_init__(self):
        count("Langevin", "steps", self.steps)
        positive("Langevin", "step", self.step)

    def __call__(self, game: MFG, model: AbstractModel, x: State, *, key: Key) -> Arrival:
        score_dynamics("Langevin", game)
        step = jnp.asarray(self.step)
        end, fixed = end_time(game), game.dynamics.fixed
        return Arrival(diffuse(model, end, x, step, self.steps, key, fixed), end)

    def check(self, game: MFG) -> None:
        score_dynamics("Langevin", game)


def diffuse(
    model: AbstractModel, t: Time, x: State, step: Scalar, count: int, key: Key, fixed: int = 0
) -> State:
    """`count` Langevin steps in the density whose score the model gives at time t.

    The last `fixed` entries, a label, stay: it is the density of the point given its label.
    """
    t, step = jnp.asarray(t, x.dtype), step.astype(x.dtype)
    label = x[x.size - fixed :]

    @jax.checkpoint
    def body(x: State, index: Array) -> tuple[State, None]:
        kick = jax.random.normal(jax.random.fold_in(key, index), x.shape, x.dtype)
        slope = score(model, t, jnp.concatenate([x, label]))[: x.size]
        return x + step * slope + jnp.sqrt(2 * step) * kick, None

    point = jax.lax.scan(body, x[: x.size - label.size], jnp.arange(count))[0]
    return jnp.concatenate([point, label])
