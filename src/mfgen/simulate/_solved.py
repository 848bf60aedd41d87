"""Functions of a game and a model, called with a solution in the place of both.

    sample(game, model, n, key=key)        sample(solution, n, key=key)

A solution is a game with what plays in it, and more that may be known of it, such as a density: it
answers itself.
"""

import functools
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
from jaxtyping import Array, Float

from mfgen._types import Batch, Given
from mfgen.games._game import MFG
from mfgen.models._base import AbstractModel

Answer = TypeVar("Answer")


class AbstractSolution(eqx.Module):
    """A game with what plays in it; the methods take what the functions of their names do."""

    game: eqx.AbstractVar[MFG]
    model: eqx.AbstractVar[AbstractModel]

    @abstractmethod
    def sample(self, n: Any, **options: Any) -> Batch:
        """Draws from the density that is modelled."""

    @abstractmethod
    def sample_given(self, label: Given, n: int, **options: Any) -> Batch:
        """Draws of the points that have a label."""

    @abstractmethod
    def log_prob(self, x: Given, **options: Any) -> Float[Array, "n"]:
        """The log-density that is modelled, at points."""

    @abstractmethod
    def trajectories(self, x: Batch, **options: Any) -> Any:
        """Paths of particles that start at points."""


def of_solutions(function: Callable[..., Answer]) -> Callable[..., Answer]:
    """Lets a function of (game, model, ...) take a solution in the place of both."""

    @functools.wraps(function)
    def asked(*arguments: Any, **options: Any) -> Answer:
        if arguments and isinstance(arguments[0], AbstractSolution):
            return getattr(arguments[0], function.__name__)(*arguments[1:], **options)
        return function(*arguments, **options)

    return asked
