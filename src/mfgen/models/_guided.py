"""Classifier-free guidance: a model that is drawn towards its label.

    s_w(t, x, y) = (1 + w) s(t, x, y) - w s(t, x, 0)

where the label of zeros stands for none: of data with a share of unlabelled rows
(`LabelledPoints(..., unlabelled=0.1)`) the model learns the law of all points there. By Bayes' rule
the difference of the two scores is grad log P(y | x), so that s_w is the score of

    rho(x) P(y | x)^(1 + w)        at each noise level by itself.

These laws are not those of one process: that at s is not what noise makes of that at 0.
Guided samples therefore follow no density of the game. They are more typical of their label and
less varied than the law of x given y, the more so the larger w. So it is with exact scores, which
are equal where P(y | x) is one. Those of networks differ there by what they have wrong, and w times
that may drive a few paths out of the data.

Reference: J. Ho, T. Salimans, "Classifier-free diffusion guidance" (2022), arXiv 2207.12598.
"""

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
from jaxtyping import Array

from mfgen import _check
from mfgen._types import Control, Costate, State, Time
from mfgen.games._game import MFG
from mfgen.models._base import AbstractModel


class Guided(AbstractModel):
    """A model of points with labels whose control counts the label 1 + w times.

    Arguments:
        model: of a game with labels, trained on data some of which have none.
        weight: w; 0 for the model as it is.
        labels: coordinates of a label.
    """

    has_density: ClassVar[bool] = False
    model: AbstractModel
    weight: float
    labels: int = eqx.field(static=True)

    def __check_init__(self):
        _check.a_finite_number("Guided", "weight", self.weight)

    def costate(self, t: Time, x: State) -> Costate:
        return self._mixed(lambda x: self.model.costate(t, x), x)

    def control(self, game: MFG, t: Time, x: State) -> Control:
        return self._mixed(lambda x: self.model.control(game, t, x), x)

    def _mixed(self, function: Callable[[State], Array], x: State) -> Array:
        unlabelled = x.at[x.size - self.labels :].set(0.0)
        return (1 + self.weight) * function(x) - self.weight * function(unlabelled)
