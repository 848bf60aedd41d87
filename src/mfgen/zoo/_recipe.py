"""A recipe: a game, a model of it, and the objective and settings that train the model.

    recipe = game (what is to be solved) + model (how it is represented) + objective (how it is fit)

Recipes are made by the functions of the zoo; `train` runs one.
"""

from typing import Any, NamedTuple

from mfgen._types import Given, Key
from mfgen.games._game import MFG
from mfgen.losses._objective import AbstractObjective
from mfgen.models._base import AbstractModel
from mfgen.trainers._history import History
from mfgen.trainers._loop import fit


class Recipe(NamedTuple):
    """A game, a model of it, and its training.

    Attributes:
        game: the declared game.
        model: an untrained model of its costate.
        objective: what is minimised.
        learning_rate: peak of the default schedule.
        batch_size: samples in a step.
    """

    game: MFG
    model: AbstractModel
    objective: AbstractObjective
    learning_rate: float = 5e-3
    batch_size: int = 256


def train(
    recipe: Recipe, data: Given, *, steps: int, key: Key, **settings: Any
) -> tuple[AbstractModel, History]:
    """Trains the recipe's model; further keyword arguments go to `fit` and override the recipe."""
    options: dict[str, Any] = {
        "learning_rate": recipe.learning_rate,
        "batch_size": recipe.batch_size,
    }
    return fit(
        recipe.game,
        recipe.model,
        recipe.objective,
        data,
        steps=steps,
        key=key,
        **(options | settings),
    )
