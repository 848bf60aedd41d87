"""Samples of a game with labels: points given a label.

The reference gives its points the wanted label, which the game leaves as it is: what arrives are
draws of x given y. Densities need no function of their own: `log_prob` of the rows (x, y) is
log rho(x | y). By Bayes' rule a model with labels is a classifier,

    P(y | x) = rho(x | y) P(y) / sum_y' rho(x | y') P(y').

Of data with unlabelled rows the label of zeros gives draws of all points, and the difference from
it guides (`mfgen.models._guided`).
"""

from typing import Any

import numpy as np
from jaxtyping import Array, Float

from mfgen._types import Given, Key
from mfgen.games._game import MFG
from mfgen.games._labels import at_label, labels_of
from mfgen.math import _entry
from mfgen.models._base import AbstractModel
from mfgen.models._guided import Guided
from mfgen.simulate._sampler import sample
from mfgen.simulate._solved import of_solutions


@of_solutions
def sample_given(
    game: MFG,
    model: AbstractModel,
    label: Given,
    n: int,
    *,
    key: Key,
    guidance: float = 0.0,
    **options: Any,
) -> Float[Array, "n dim"]:
    """Draws of the points of a game with labels, given a label.

    Arguments:
        game, model: a game with labels, and the model of its control.
        label: one row of labels, `[labels]`; zeros for draws of all points, where the data have
            unlabelled rows.
        n: the number of samples.
        key: random key.
        guidance: w of classifier-free guidance, (1 + w) s(x, y) - w s(x, 0); with w > 0 samples are
            more typical of their label, and follow no density of the game.
        options: `method`, `denoise` and `chunk`, as in `sample`.

    Returns:
        The points, without their label, `[n, dim]`.

    Raises:
        TypeError: for a game without labels.
        ValueError: for a label of another shape, or not finite, and for guidance by a model of
            data that all have labels.

    Example:

        threes = sample_given(game, model, one_hot(3, 10), 100, key=key)
        fit = log_prob(game, model, labelled(threes, one_hot(3, 10)))
        typical = sample_given(game, model, one_hot(3, 10), 100, key=key, guidance=2.0)
    """
    fixed = at_label(game, _entry.floating("sample_given", label=label)[0])
    labels = fixed.dynamics.fixed
    if guidance:
        if np.asarray(labels_of(game)).any(axis=1).all():
            raise ValueError(
                f"`sample_given` got guidance = {guidance:g} for data that all have labels, "
                "expected some without: the model has to know the law of all points; declare "
                "`LabelledPoints(points, labels, unlabelled=0.1)` and train on its rows."
            )
        model = Guided(model, guidance, labels)
    return sample(fixed, model, n, key=key, **options)[:, :-labels]
