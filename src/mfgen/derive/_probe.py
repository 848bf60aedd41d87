"""Sample points of a check: times, places, velocities and costates drawn for a game.

Places come from the laws of the game: where the population starts, and the targets it is compared
with. Sizes of velocities and costates are spread evenly over their logarithm, from .01 to 10, since
a cost may change its character with the speed; their units are the game's own,

    speed    (spread of the places) / (horizon x gain), or less where L is infinite at it
    slope    |grad_v L| at that speed, divided by the gain

so that no verdict depends on the units of length, time or cost that a game is written in. A unit is
rounded to a power of ten.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfgen._types import Batch, Key
from mfgen.densities._base import AbstractDensity, Part, densities
from mfgen.densities._gaussian import Gaussian
from mfgen.games._game import MFG
from mfgen.math._linear_map import source_size

_COUNT = 192
_DEFAULT_DIM = 2
_SLOWER = 10.0 ** -np.arange(13)
_NEAR = np.array([1.0, 0.5, 0.25])


class Probe(NamedTuple):
    """Points of a check.

    Attributes:
        t, x: times `[n]` in (0, T) and places `[n, dim]`.
        v, w: pairs of controls `[n, control]`: far apart, close together, and on one ray.
        p: costates `[n, dim]`.
        speed, slope: the units of controls and costates.
    """

    t: Float[Array, "n"]
    x: Batch
    v: Float[Array, "n control"]
    w: Float[Array, "n control"]
    p: Batch
    speed: float = 1.0
    slope: float = 1.0

    @property
    def number(self) -> int:
        return self.t.shape[0]


def probe(game: MFG, rho: AbstractDensity | None, key: Key) -> Probe:
    """The points at which a game is looked at, in double precision if that is enabled."""
    dim = dimension(game) if rho is None else rho.dim
    control = source_size(game.dynamics.gain(jnp.asarray(0.5 * game.dynamics.horizon)), dim)
    keys = jax.random.split(key, 7)
    t = game.dynamics.horizon * jax.random.uniform(keys[0], (_COUNT,), float, 0.02, 0.98)
    x = _places(game, rho, dim, keys[1])
    speed, slope = _units(game, t, x, control)
    v, far = _spread(keys[2], control, speed), _spread(keys[3], control, speed)
    size = jnp.linalg.norm(v, axis=1, keepdims=True)
    near = v + 0.05 * size * jax.random.normal(keys[4], v.shape, float)
    ray = v * jax.random.uniform(keys[5], (_COUNT, 1), float, 1.2, 4.0)
    kind = jnp.arange(_COUNT)[:, None] % 4
    w = jnp.where(kind == 0, near, jnp.where(kind == 1, ray, far))
    return Probe(t, x, v, w, _spread(keys[6], dim, slope), speed, slope)


def dimension(game: MFG) -> int:
    """The dimension of the densities in a game; 2 if there are none."""
    return next((law.dim for law in densities((game.initial, game))), _DEFAULT_DIM)


def doubled(part: Part) -> Part:
    """The part with its arrays in double precision, if that is enabled, so that none is mixed."""
    is_real = lambda leaf: eqx.is_array(leaf) and jnp.issubdtype(leaf.dtype, jnp.floating)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, float) if is_real(leaf) else leaf, part)


def normal_like(law: AbstractDensity) -> Gaussian:
    """The normal law of the same mean and covariance, with a ridge where a law is flat."""
    mean, covariance = law.moments()
    size = jnp.trace(covariance) / law.dim
    ridge = jnp.where(size > 0, 1e-6 * size, 1e-12)
    return Gaussian(mean, covariance + ridge * jnp.eye(law.dim))


def laws(game: MFG, rho: AbstractDensity | None) -> list[AbstractDensity]:
    """Where the population is: the first density and the targets, those that have samples."""
    found = [] if rho is None else [rho]
    for law in densities((game.terminal, game.interaction)):
        try:
            law.sample(1, key=jax.random.key(0))
            law.moments()
        except Exception:  # known by its energy only
            continue
        if all(law is not other and law.dim == other.dim for other in found):
            found.append(law)
    return found


def _places(game: MFG, rho: AbstractDensity | None, dim: int, key: Key) -> Batch:
    """Each law in turn, so that the first few of them are of all laws."""
    samples = [jnp.asarray(law.sample(_COUNT, key=key), float) for law in laws(game, rho)]
    if not samples:
        return jax.random.normal(key, (_COUNT, dim), float)
    turn = jnp.arange(_COUNT) % len(samples)
    return jnp.stack(samples)[turn, jnp.arange(_COUNT)]


def _units(game: MFG, t: Float[Array, "n"], x: Batch, control: int) -> tuple[float, float]:
    some = slice(0, 16)
    spread = float(jnp.sqrt(jnp.mean(jnp.var(x, axis=0))))
    gain = jnp.abs(jnp.asarray(jax.vmap(game.dynamics.gain)(t[some]))).reshape(16, -1)
    steered = _positive(float(jnp.median(jnp.max(gain, axis=1))))
    speed = _power(_positive(spread) / (float(game.dynamics.horizon) * steered))
    sizes = jnp.asarray(speed * _SLOWER[:, None] * _NEAR)
    directions = jax.random.normal(jax.random.key(1), (16, control), float)
    directions = directions / jnp.linalg.norm(directions, axis=1, keepdims=True)

    def look(t, x, direction):
        cost = jax.value_and_grad(lambda v: game.lagrangian(t, x, v))
        value, slope = jax.vmap(jax.vmap(lambda size: cost(size * direction)))(sizes)
        return value, jnp.linalg.norm(slope, axis=-1)

    try:
        value, slope = map(np.asarray, eqx.filter_jit(jax.vmap(look))(t[some], x[some], directions))
    except Exception:  # what the cost raises is told of by the questions about it
        return speed, 1.0
    allowed = np.isfinite(value).all(axis=2).mean(axis=0) >= 0.5
    index = int(np.argmax(allowed))
    steep = slope[:, index][np.isfinite(slope[:, index]).all(axis=1)]
    slope = float(np.median(steep, axis=0).max()) if len(steep) else 1.0
    return float(speed * _SLOWER[index]), _power(_positive(slope) / steered)


def _positive(value: float) -> float:
    return value if np.isfinite(value) and value > 0 else 1.0


def _power(value: float) -> float:
    return float(10.0 ** np.round(np.log10(value)))


def _spread(key: Key, dim: int, unit: float) -> Float[Array, "n dim"]:
    direction_key, size_key = jax.random.split(key)
    directions = jax.random.normal(direction_key, (_COUNT, dim), float)
    directions = directions / jnp.linalg.norm(directions, axis=1, keepdims=True)
    sizes = unit * 10 ** jax.random.uniform(size_key, (_COUNT, 1), float, -2.0, 1.0)
    return sizes * directions
