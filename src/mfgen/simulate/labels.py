"""Samples of a conditional flow: points given a label.

The reference gives its points the wanted label, which the flow leaves as it is: what arrives are
draws of x given y. Densities need no function of their own: `log_prob` of the rows (x, y) is
log rho(x | y). By Bayes' rule a flow with labels is a classifier,

    P(y | x) = rho(x | y) P(y) / sum_y' rho(x | y') P(y').
"""

from typing import Any

from jaxtyping import Array, Float

from mfgen._types import Given, Key
from mfgen.math import entry
from mfgen.models.base import AbstractModel
from mfgen.problem.game import MFG
from mfgen.problem.labels import at_label
from mfgen.simulate.sampler import sample
from mfgen.simulate.solved import of_solutions


@of_solutions
def sample_given(
    game: MFG, model: AbstractModel, label: Given, n: int, *, key: Key, **options: Any
) -> Float[Array, "n dim"]:
    """Draws of a conditional flow's points, given a label.

    Arguments:
        game, model: a flow from `LabelledPoints`, and the model of its control.
        label: one row of labels, `[labels]`.
        n: the number of samples.
        key: random key.
        options: `method` and `chunk`, as in `sample`.

    Returns:
        The points, without their label, `[n, dim]`.

    Raises:
        TypeError: for a game without labels.
        ValueError: for a label of another shape, or not finite.

    Example:

        threes = sample_given(game, model, one_hot(3, 10), 100, key=key)
        fit = log_prob(game, model, labelled(threes, one_hot(3, 10)))
    """
    game = at_label(game, entry.floating("sample_given", label=label)[0])
    return sample(game, model, n, key=key, **options)[:, : -game.dynamics.fixed]
