"""Weights of a residual penalty along the game: w in  E w(t) |R(t, X)|^q.

    Flat         w = 1
    RatioPower   w = kappa^a,   kappa = noise / signal the noise ratio at time t (score games)

Residuals of score games are already taken per unit of log kappa (`mfgen.losses._collocation`), so
the flat weight treats every factor of noise alike. A negative power favours the data end, a
positive one the noisy end.

Reference: B. J. Zhang, M. A. Katsoulakis (2023), arXiv 2304.13534, section 5 (HJB regularisers).
"""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp

from mfgen import _check
from mfgen._types import Scalar, Time
from mfgen.games._game import MFG
from mfgen.losses._noised import process_of


class AbstractWeighting(eqx.Module):
    """A nonnegative function of game time. To add one, give `__call__(game, t)`."""

    @abstractmethod
    def __call__(self, game: MFG, t: Time) -> Scalar:
        """The weight w(t)."""


class Flat(AbstractWeighting):
    """w = 1."""

    def __call__(self, game: MFG, t: Time) -> Scalar:
        return jnp.asarray(1.0)


class RatioPower(AbstractWeighting):
    """w = kappa(t)^exponent, with the noise ratio kappa of a score-based game.

    Arguments:
        exponent: negative to favour the data end.

    Raises:
        TypeError: when used on a game that is not score-based.
    """

    exponent: float = eqx.field(static=True)

    def __check_init__(self):
        _check.numbers(self, "exponent")

    def __call__(self, game: MFG, t: Time) -> Scalar:
        noising = process_of(game, "RatioPower")
        return noising.ratio(noising.horizon - t) ** self.exponent
