"""Tempered sampling: Metropolis-adjusted corrections at every noise level of a potential.

At each time t of a score-based game U(t, .) is minus the log-density of the data noised to that
level. Noise is a temperature: at high levels the density has one mode, and at the last one the
modes of the data. A sampler that goes down the levels finds the modes where they are still joined,

    predict     one Euler-Maruyama step of the reversed diffusion to the next level,
    correct     Metropolis-adjusted Langevin moves in exp(-U(t, .)) there,

so that errors of a prediction are refused at once, and not carried on. It is
`PredictorCorrector` with the potential as a judge. The step of a move is r sigma(t)^2; each chain
adapts log r all the way, so the last level is followed by `MetropolisAdjusted` for a chain with a
fixed step.

References: Y. Song et al. (2021), arXiv 2011.13456, algorithm 2 (unadjusted); R. M. Neal (1996),
"Sampling from multimodal distributions using tempered transitions".
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from mfgen._types import Key, Scalar, State
from mfgen.derive._score_based import score_dynamics
from mfgen.games._game import MFG
from mfgen.math._count import plain
from mfgen.models._base import AbstractModel
from mfgen.simulate._base import AbstractSampler, Arrival
from mfgen.simulate._diffusion import end_time, euler, steered_field
from mfgen.simulate._frame import from_frame, random_frame, to_frame
from mfgen.simulate._integrator import positive_count
from mfgen.simulate._metropolis import WANTED, energy_of, move, walker_at

_FIRST = 0.5  # the first r: the step in squares of the noise
_GAIN = 0.3  # of log r for each move


class Tempered(AbstractSampler):
    """Steps of the reversed diffusion, each followed by Metropolis-adjusted Langevin moves.

    Arguments:
        steps: the number of predictions, at equal ratios of the noise ratio.
        corrections: moves after each of them.

    Raises:
        TypeError: when used on a game that is not score-based, or with a model that is no
            potential.

    Example:

        x = sample(game, model, 1000, key=key, method=MetropolisAdjusted(Tempered(100, 2)))
    """

    steps: int = eqx.field(static=True, default=100, converter=plain)
    corrections: int = eqx.field(static=True, default=1, converter=plain)

    def __check_init__(self):
        positive_count("Tempered", "steps", self.steps)
        positive_count("Tempered", "corrections", self.corrections)

    def __call__(self, game: MFG, model: AbstractModel, x: State, *, key: Key) -> Arrival:
        dynamics = score_dynamics("Tempered", game)
        frame = random_frame(game)
        field = steered_field(frame, game, model)
        moving, span = x.size - game.dynamics.fixed, frame.clock.span
        label = x[moving:]

        def level(state: tuple[State, Scalar], index: Array):
            w, log_ratio = state
            predict_key, correct_key = jax.random.split(jax.random.fold_in(key, index))
            tau, after = span * (index / self.steps), span * ((index + 1) / self.steps)
            w = euler(game, frame, field, w, tau, after, predict_key).astype(x.dtype)
            t = frame.clock.time(after)
            unit = jnp.square(dynamics.noising.noise(dynamics.noising_time(t)))
            energy = energy_of("Tempered", model, t, label)

            def correct(state, key):
                walker, log_ratio = state
                walker, chance = move(energy, walker, jnp.exp(log_ratio) * unit, key)
                return (walker, log_ratio + _GAIN * (chance - WANTED)), chance

            begin = walker_at(energy, from_frame(frame, t, w)[:moving]), log_ratio
            keys = jax.random.split(correct_key, self.corrections)
            (walker, log_ratio), chances = jax.lax.scan(correct, begin, keys)
            w = to_frame(frame, t, jnp.concatenate([walker.point, label]))
            return (w, log_ratio), jnp.mean(chances)

        begin = to_frame(frame, 0.0, x), jnp.log(jnp.asarray(_FIRST, x.dtype))
        (w, _), chances = jax.lax.scan(level, begin, jnp.arange(self.steps))
        point = from_frame(frame, game.dynamics.horizon, w)
        return Arrival(point, end_time(game), jnp.mean(chances))

    def check(self, game: MFG) -> None:
        score_dynamics("Tempered", game)
