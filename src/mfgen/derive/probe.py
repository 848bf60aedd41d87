"""Where a check looks: times, places, velocities and costates drawn for a game.

Places come from the first density of the game, or from a normal law; sizes of velocities and
costates are spread evenly over their logarithm, from .01 to 10, since a cost may change its
character with the speed.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen._types import Batch, Key
from mfgen.density.base import AbstractDensity
from mfgen.problem.game import MFG

_COUNT = 192
_DEFAULT_DIM = 2


class Probe(NamedTuple):
    """Points of a check.

    Attributes:
        t, x: times `[n]` in (0, T) and places `[n, dim]`.
        v, w: pairs of controls `[n, control]`: far apart, close together, and on one ray.
        p: costates `[n, dim]`.
    """

    t: Float[Array, "n"]
    x: Batch
    v: Float[Array, "n control"]
    w: Float[Array, "n control"]
    p: Batch

    @property
    def number(self) -> int:
        return self.t.shape[0]


def probe(game: MFG, rho: AbstractDensity | None, key: Key) -> Probe:
    """The points at which a game is looked at, in double precision if that is enabled."""
    dim = dimension(game) if rho is None else rho.dim
    gain = jax.eval_shape(game.dynamics.gain, 0.5).shape
    control = gain[1] if gain else dim
    keys = jax.random.split(key, 7)
    t = game.dynamics.horizon * jax.random.uniform(keys[0], (_COUNT,), float, 0.02, 0.98)
    if rho is None:
        x = jax.random.normal(keys[1], (_COUNT, dim), float)
    else:
        x = jnp.asarray(rho.sample(_COUNT, key=keys[1]), float)
    v, far = _spread(keys[2], control), _spread(keys[3], control)
    size = jnp.linalg.norm(v, axis=1, keepdims=True)
    near = v + 0.05 * size * jax.random.normal(keys[4], v.shape, float)
    ray = v * jax.random.uniform(keys[5], (_COUNT, 1), float, 1.2, 4.0)
    kind = jnp.arange(_COUNT)[:, None] % 4
    w = jnp.where(kind == 0, near, jnp.where(kind == 1, ray, far))
    return Probe(t, x, v, w, _spread(keys[6], dim))


def dimension(game: MFG) -> int:
    """The dimension of the densities in a game; 2 if there are none."""
    is_density = lambda part: isinstance(part, AbstractDensity)
    leaves = jax.tree.leaves(game, is_leaf=is_density)
    return next((leaf.dim for leaf in leaves if is_density(leaf)), _DEFAULT_DIM)


def _spread(key: Key, dim: int) -> Float[Array, "n dim"]:
    direction_key, size_key = jax.random.split(key)
    directions = jax.random.normal(direction_key, (_COUNT, dim), float)
    directions = directions / jnp.linalg.norm(directions, axis=1, keepdims=True)
    sizes = 10 ** jax.random.uniform(size_key, (_COUNT, 1), float, -2.0, 1.0)
    return sizes * directions
