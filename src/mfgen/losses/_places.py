"""Points at which a game's equations are evaluated, and the law of the population there.

    NoisedData, UniformTime, ...    noised data, uniform times, a box     nothing is known of rho
    Paths                           flows, as one integral along paths    log rho is followed
    Windows                         discounted games from any time on     log rho is followed
    OwnPaths                        particles, with noise or without      the batch is the crowd

All terms at equal places share a pass (`AbstractBundle`).
"""

from typing import ClassVar, NamedTuple

import jax.numpy as jnp

from mfgen._types import Key, Scalar, State, Time
from mfgen.functionals._functional import AbstractFunctional, Population, needs_population
from mfgen.games._game import MFG
from mfgen.losses._objective import AbstractBundle


class Place(NamedTuple):
    """A point at which an equation is asked for.

    Attributes:
        t, x: time and point.
        factor: of the residual there.
        weight: of its penalty.
        key: of the probes.
        price: dI/drho there, a function of x at x alone; `None` if it needs no population.
    """

    t: Time
    x: State
    factor: Scalar | float
    weight: Scalar | float
    key: Key
    price: AbstractFunctional | None = None


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
        """Advice for values that are not finite."""
        return ""


class Tangent(AbstractFunctional):
    """A first variation as it is known at one point: its value and its gradient there."""

    point: State
    height: Scalar
    slope: State

    def value(self, rho: Population) -> Scalar:
        raise NotImplementedError("known at one point")

    def variation(self, rho: Population, x: State) -> Scalar:
        return self.height + self.slope @ (x - self.point)


def check_unpriced(owner: str, game: MFG, dim: int, parts: tuple[str, ...], fix: str) -> None:
    """Raises a `TypeError` if a first variation depends on the population, which is not known."""
    for part in parts:
        cost = getattr(game, part)
        if needs_population(cost, jnp.zeros(dim)):
            raise TypeError(
                f"`{owner}` got the {part} cost `{type(cost).__name__}`, whose first variation "
                f"depends on the population, expected places where it is known: {fix}."
            )
