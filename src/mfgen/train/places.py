"""Where the equations of a game are asked for, and what is known of the population there.

    mfgen.train.collocation    noised data, uniform times, a box             nothing is known of rho
    mfgen.train.paths          flows along their paths, as one integral      log rho is followed
    mfgen.train.windows        discounted games from any time on             log rho is followed
    mfgen.train.own_paths      particles of any game, with noise or without  the batch is the crowd

All terms at equal places share a pass (`AbstractBundle`).
"""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import jax

from mfgen._types import Key, Scalar, State, Time
from mfgen.problem.functional import AbstractFunctional, Population, needs_population
from mfgen.problem.game import MFG
from mfgen.train.objective import AbstractBundle


class Place(NamedTuple):
    """A point at which an equation is asked for.

    Attributes:
        t, x: time and point.
        factor: of the residual there.
        weight: of its penalty.
        prices: dI/drho there for "hjb", its gradient for "hjb_gradient".
        key: of the probes.
    """

    t: Time
    x: State
    factor: Scalar
    weight: Scalar | float
    prices: Mapping[str, Any]
    key: Key


class AbstractPlaces(AbstractBundle):
    """The rule where a residual is measured; give `evaluate`, and say which equations it can ask.

    Attributes:
        asks: the equations, as in `Residual`.
        prefix: of the names of residuals there.
        counts: whether it is single points that are asked, of which a part can be taken, and at
            which gradient forms are content with a costate.
    """

    asks: ClassVar[frozenset[str]]
    prefix: ClassVar[str] = ""
    counts: ClassVar[bool] = False

    def needs_data(self) -> bool:
        """Whether the rows of the batch are looked at."""
        return True

    def check(self, owner: str, game: MFG, of: tuple[str, ...]) -> None:
        """Raises in the name of `owner` for a game that cannot be asked so, before a training."""

    def admits(self, owner: str, game: MFG) -> None:
        """Raises in the name of `owner` for a game that has no such places."""

    def advice(self) -> str:
        """What to do where it is not finite."""
        return ""


def priced(names: tuple[str, ...], functional: AbstractFunctional, rho: Population, x: State):
    """What equations ask of a first variation at a point: its value, or its gradient."""
    at = lambda x: functional.variation(rho, x)
    return {name: jax.grad(at)(x) if name.endswith("gradient") else at(x) for name in names}


def check_unpriced(owner: str, game: MFG, dim: int, parts: tuple[str, ...], fix: str) -> None:
    """Raises a `TypeError` if a first variation depends on the population, which is not known."""
    point = jax.ShapeDtypeStruct((dim,), float)
    for part in parts:
        cost = getattr(game, part)
        if needs_population(cost, point):
            raise TypeError(
                f"`{owner}` got the {part} cost `{type(cost).__name__}`, whose first variation "
                f"depends on the population, expected places where it is known: {fix}."
            )
