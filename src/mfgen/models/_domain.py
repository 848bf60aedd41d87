"""Models of a game on circles or between walls: functions of its features.

    U(t, x) = N(t, features(x)),      v_k(t, x) = tangent_k(x) N_k(t, features(x))

with the domain's features (`mfgen.math._space`), periodic on circles and even about walls: U
repeats itself exactly, and grad U . n = 0 at a wall. A control given as such gets a factor that is
zero at the walls and odd about them, so that it does not push particles into them.
"""

from collections.abc import Callable

import equinox as eqx

from mfgen import _check
from mfgen._types import Control, Scalar, State, Time
from mfgen.densities._base import AbstractDensity
from mfgen.games._game import MFG
from mfgen.math._space import AbstractDomain
from mfgen.models._base import AbstractPotential


class OnDomain(AbstractPotential):
    """The potential U(t, x) = potential(t, features(x)) of a game on a domain.

    Arguments:
        potential: takes a scalar time and the features, `[features]`, returns a scalar.
        domain: circles and walls, with `features(x)`.
    """

    potential: Callable[[Time, State], Scalar]
    domain: AbstractDomain

    def __call__(self, t: Time, x: State) -> Scalar:
        return self.potential(t, self.domain.features(x))


class FieldOnDomain(eqx.Module):
    """The control v(t, x) = tangent(x) function(t, features(x)).

    Arguments:
        function: takes a scalar time and the features, returns one number for each axis.
        domain: circles and walls.
    """

    function: Callable[[Time, State], Control]
    domain: AbstractDomain

    def __call__(self, t: Time, x: State) -> Control:
        found = self.function(t, self.domain.features(x))
        return self.domain.tangent(x)[: found.size] * found


def initial_of(owner: str, game: MFG) -> AbstractDensity:
    """The initial density of a game, from which a network takes its dimension.

    Raises:
        TypeError, ValueError: in the name of `owner`, if there is none.
    """
    _check.of_kind(owner, "game", game, MFG, "pass MFG(..., initial=density)")
    if game.initial is None:
        raise ValueError(
            f"`{owner}` got a game without an initial density, expected one to take the dimension "
            "from: declare `MFG(..., initial=density)`."
        )
    return game.initial


def feature_count(domain: AbstractDomain, dim: int) -> int:
    """How many features a point of `dim` coordinates has."""
    return dim + sum(domain.periodic)
