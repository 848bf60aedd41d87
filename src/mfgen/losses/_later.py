"""A discounted game from a later time on, with the paths that lead there taken as given.

    paid at t:  e^{-r max(t - s, 0)} L(t, x, v)          in the money of s, no discount beside

The controls are those of the game itself, at parameters that are held still up to s: particles come
to where they are at s by them, and nothing is learnt from that. Before s costs have the weight one
and are to be taken off again; weights e^{r (s - t)} there would be beyond all rounding.
"""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from mfgen._types import Control, Costate, Scalar, State, Time
from mfgen.costs._lagrangian import AbstractLagrangian
from mfgen.games._game import MFG
from mfgen.models._base import AbstractModel

_ROUNDING = 1e-5  # of the horizon, by which a node may be off


def later(game: MFG, model: AbstractModel, start: Scalar, moved: Any) -> tuple[MFG, AbstractModel]:
    """The game in the money of a time, and the model that is trained from it on.

    Arguments:
        game, model: a game, and what plays in it.
        start: s.
        moved: whether s is later than the start of the game.
    """
    lagrangian = _Faded(game.lagrangian, start, jnp.asarray(game.discount, start.dtype))
    same = dataclasses.replace(game, lagrangian=lagrangian, discount=0.0)
    edge = jnp.where(moved, start + _ROUNDING * game.dynamics.horizon, -jnp.inf)
    return same, _Later(model, game, edge)


class _Faded(AbstractLagrangian):
    """e^{-r max(t - s, 0)} L."""

    lagrangian: AbstractLagrangian
    start: Scalar
    discount: Scalar

    def __call__(self, t: Time, x: State, v: Control) -> Scalar:
        return jnp.exp(-self.discount * jnp.maximum(t - self.start, 0)) * self.lagrangian(t, x, v)


class _Later(AbstractModel):
    """A model in its own game, held still up to a time."""

    model: AbstractModel
    game: MFG
    edge: Scalar

    def costate(self, t: Time, x: State) -> Costate:
        return self._at(t).costate(t, x)

    def control(self, game: MFG, t: Time, x: State) -> Control:
        return self._at(t).control(self.game, t, x)

    def inside(self, x: State) -> State:
        return self.model.inside(x)

    def _at(self, t: Time) -> AbstractModel:
        late = jnp.asarray(t) > self.edge
        held = lambda leaf: (
            jnp.where(late, leaf, jax.lax.stop_gradient(leaf))
            if eqx.is_inexact_array(leaf)
            else leaf
        )
        return jax.tree.map(held, self.model)
