"""Neural models of a score-based game: a scalar potential and a vector field.

In game time t = S - s, with eta(s, .) the noised data,

    ScorePotential   U(t, x) = -Phi(s, x),   Phi a network for log eta(s, x)
    ScoreField       p(t, x) = -F(s, x),     F a network for grad log eta(s, x)

Both are preconditioned by the noise level (`mfgen.models.precondition`). The reference at the
noisy end is wired into the potential; with a small Hamilton-Jacobi-Bellman residual Phi is then a
normalised log-density at every time, read off in one evaluation.

References: B. J. Zhang, M. A. Katsoulakis (2023), arXiv 2304.13534, section 4.2 (U = -log eta);
T. Salimans, J. Ho, "Should EBMs model the energy or the score?" (2021) (potentials as scores).
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from mfgen._types import Costate, Key, Scalar, State, Time
from mfgen.models.base import AbstractPotential, AbstractVectorField
from mfgen.models.mlp import MLP, InnerProduct
from mfgen.models.precondition import Precondition, data_moments
from mfgen.problem.functional import CrossEntropy
from mfgen.problem.game import MFG
from mfgen.problem.noising import TimeReversal


class ScorePotential(AbstractPotential):
    """A scalar network for the value function U = -log eta of a score-based game.

    Arguments:
        precondition: noise-aware scaling, see `precondition(game)`.
        trunk: takes a point `[dim]` and a level, returns shape `[1]`.
    """

    precondition: Precondition
    trunk: Callable

    def log_density(self, s: Time, y: State) -> Scalar:
        """Phi(s, y), the model's log-density of the data noised up to time s."""
        z = self.precondition.point(s, y)
        gaussian = -0.5 * jnp.sum(jnp.square(z)) - y.size * (
            jnp.log(self.precondition.width(s)) + 0.5 * jnp.log(2 * jnp.pi)
        )
        correction = self.trunk(z, self.precondition.level(s))[0]
        return gaussian + self.precondition.amplitude(s) * correction

    def __call__(self, t: Time, x: State) -> Scalar:
        return -self.log_density(self.precondition.noising.horizon - t, x)


class ScoreField(AbstractVectorField):
    """A vector network for the score grad log eta of a score-based game.

    Arguments:
        precondition: noise-aware scaling, see `precondition(game)`.
        trunk: takes a point `[dim]` and a level, returns shape `[dim]`.
    """

    precondition: Precondition
    trunk: Callable

    def score(self, s: Time, y: State) -> State:
        """The model's grad log eta(s, y), shape `[dim]`."""
        scaling = self.precondition
        z = scaling.point(s, y)
        gain = scaling.spread / scaling.noising.ratio(s)
        return (gain * self.trunk(z, scaling.level(s)) - z) / scaling.width(s)

    def costate(self, t: Time, x: State) -> Costate:
        return -self.score(self.precondition.noising.horizon - t, x)


def score_potential(game: MFG, *, key: Key, inner: bool = False, **network: Any) -> ScorePotential:
    """A `ScorePotential` with a fully connected trunk for a score-based game.

    Arguments:
        game: from `score_based`.
        key: random key for the initial weights.
        inner: whether the scalar is an inner product of the point with a vector output
            (`InnerProduct`), better from about 8 dimensions on.
        network: options of `MLP` (`width`, `depth`, `frequencies`, `scale`, `activation`).
    """
    scaling = precondition(game)
    dim = len(scaling.mean)
    if inner:
        return ScorePotential(scaling, InnerProduct(MLP(dim, dim + 1, key=key, **network)))
    return ScorePotential(scaling, MLP(dim, 1, key=key, **network))


def score_field(game: MFG, *, key: Key, **network: Any) -> ScoreField:
    """A `ScoreField` with a fully connected trunk; arguments as for `score_potential`."""
    scaling = precondition(game)
    dim = len(scaling.mean)
    return ScoreField(scaling, MLP(dim, dim, key=key, **network))


def precondition(game: MFG) -> Precondition:
    """The noise-aware scaling of a score-based game, from the first two moments of its data.

    Raises:
        TypeError: if the game is not score-based (its dynamics is no `TimeReversal`, or its
            terminal cost no `CrossEntropy`).
    """
    dynamics, terminal = game.dynamics, game.terminal
    if not (isinstance(dynamics, TimeReversal) and isinstance(terminal, CrossEntropy)):
        raise TypeError(
            f"`precondition` got a game with dynamics `{type(dynamics).__name__}` and terminal "
            f"cost `{type(terminal).__name__}`, expected a score-based game: build it with "
            "`score_based`."
        )
    # The terminal cost may be that of data noised already; the law at the noisy end tells theirs.
    mean, covariance = terminal.target.moments()
    spread = jnp.sqrt(jnp.trace(covariance) / mean.size)
    if game.initial is not None:
        mean, spread = data_moments(dynamics.noising, game.initial, float(spread))
    return Precondition(dynamics.noising, tuple(jnp.asarray(mean).tolist()), float(spread))
