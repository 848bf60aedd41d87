"""A control given as such: v(t, x), without a value function or its gradient.

    dX = [a(t, X) + g(t) v(t, X)] dt

A plain continuous normalizing flow (L = 0) has no Hamiltonian and its control follows from no
costate; flow matching regresses a velocity which need not be a gradient. Such a control can be
simulated, trained by likelihood and compared; what asks for grad U is refused.

References: R. T. Q. Chen et al. (2018), arXiv 1806.07366; W. Grathwohl et al., "FFJORD" (2019),
arXiv 1810.01367; Y. Lipman et al. (2023), arXiv 2210.02747.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp

from mfgen import _check
from mfgen._types import Control, Costate, Key, State, Time
from mfgen.games._game import MFG
from mfgen.models._base import AbstractModel
from mfgen.models._domain import FieldOnDomain, feature_count, initial_of
from mfgen.models._mlp import MLP


class Timed(eqx.Module):
    """A trunk as a function of time and place: its level runs from -1 to 1 over the game.

    Arguments:
        trunk: takes a point `[dim]` and a level in [-1, 1].
        horizon: the final time.
    """

    trunk: Callable
    horizon: float = eqx.field(static=True)

    def __call__(self, t: Time, x: State) -> Control:
        level = (2 / self.horizon) * jnp.asarray(t, x.dtype) - 1
        return self.trunk(x, level)


class ControlField(AbstractModel):
    """The model given by a control: v(t, x) = function(t, x).

    Arguments:
        function: takes a scalar time and a point of shape `[dim]`, returns shape `[control]`.
    """

    function: Callable

    def __check_init__(self):
        _check.a_function("ControlField", "function", self.function, "t and x that returns [dim]")

    def costate(self, t: Time, x: State) -> Costate:
        """Refuses: a control has no costate.

        Raises:
            TypeError: always.
        """
        raise TypeError(
            "`ControlField` has no costate grad U: it is a control and nothing more; use a "
            "potential such as `ot_flow_potential(game, key=key)` where one is needed."
        )

    def control(self, game: MFG, t: Time, x: State) -> Control:
        return self.function(t, x)


def control_field(game: MFG, *, key: Key, frequencies: int = 0, **network: Any) -> ControlField:
    """A `ControlField` with a fully connected trunk of x, its label and the normalised time.

    On circles it is periodic, and at walls it does not push into them.

    Arguments:
        game: a game with an initial density.
        key: random key for the initial weights.
        frequencies: random Fourier features of the point; none lets the flow be smooth.
        network: options of `MLP` (`width`, `depth`, `scale`, `activation`).

    Raises:
        ValueError: for a game without an initial density.
    """
    _check.options("control_field", MLP, network)
    dim, labels = initial_of("control_field", game).dim, game.dynamics.fixed
    inputs = feature_count(game.domain, dim)
    trunk = MLP(inputs, dim - labels, frequencies=frequencies, key=key, **network)
    field = Timed(trunk, game.dynamics.horizon)
    return ControlField(FieldOnDomain(field, game.domain) if game.domain.bounded else field)
