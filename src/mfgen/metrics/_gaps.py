"""Differences of two value functions, of their gradients and of their controls, in the mean square.

    || f ||^2 = (1/T) int_0^T E_rho(t) |f|^2 dt

in time by a Gauss-Legendre rule, in space by samples, whose spread gives the standard error.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen._types import Batch, Control, Costate, Key, Scalar, State, Time
from mfgen.games._game import MFG
from mfgen.math._quadrature import Rule
from mfgen.metrics._estimate import Estimate, Profile, mean_estimate, mean_of_rows, root
from mfgen.metrics._strong import Places
from mfgen.models._base import AbstractModel
from mfgen.simulate._solution import Solution

_CHUNK = 256


class Gap(NamedTuple):
    """The norm of a difference, the same at each time, and the norm of the reference."""

    overall: Estimate
    profile: Profile
    scale: float


Field = Callable[[MFG, AbstractModel, Time, State], Float[Array, "_"]]


def field_gap(
    field: Field, a: Solution, b: Solution, rule: Rule, places: Places, *, key: Key
) -> tuple[Gap, Estimate]:
    """The difference of a field of two solutions, and the mean of it that is left out.

    Arguments:
        field: `value`, `gradient` or `control`; of the first a constant is left out.
        a, b: the solutions, whose fields are those in the game of b.
        rule: nodes and weights in time.
        places: (t, key) -> points `[n, dim]`.

    Raises:
        TypeError: if one of them has no such field.
    """
    rows = []
    for t, time_key in zip(
        rule.nodes.tolist(), jax.random.split(key, len(rule.nodes)), strict=True
    ):
        x = places(t, time_key)
        rows.append(_rows(field, b.game, a.model, b.model, jnp.asarray(t, x.dtype), x))
    first, second = (jnp.stack(column) for column in zip(*rows, strict=True))
    share = jnp.asarray(rule.weights / rule.weights.sum(), first.dtype)
    gaps, sizes, offset = first - second, second, Estimate(0.0, 0.0)
    if field is value:
        offset = mean_of_rows(share, gaps[..., 0])
        gaps, sizes = gaps - offset.value, sizes - mean_of_rows(share, sizes[..., 0]).value
    squares, sizes = (jnp.sum(jnp.square(part), axis=-1) for part in (gaps, sizes))
    roots = map(jnp.asarray, root(Estimate(*jax.vmap(mean_estimate)(squares))))
    profile = Profile(jnp.asarray(rule.nodes, squares.dtype), *roots)
    scale = float(jnp.sqrt(share @ jnp.mean(sizes, axis=1)))
    return Gap(root(mean_of_rows(share, squares)), profile, scale), offset


def value(game: MFG, model: AbstractModel, t: Time, x: State) -> Float[Array, "1"]:
    """U."""
    return model.valued()(t, x)[None]


def gradient(game: MFG, model: AbstractModel, t: Time, x: State) -> Costate:
    """grad U."""
    return model.costate(t, x)


def control(game: MFG, model: AbstractModel, t: Time, x: State) -> Control:
    """The control that is played."""
    return model.control(game, t, x)


@eqx.filter_jit
def _rows(field: Field, game: MFG, a: AbstractModel, b: AbstractModel, t: Scalar, x: Batch):
    both = lambda x: (field(game, a, t, x), field(game, b, t, x))
    return jax.lax.map(both, x, batch_size=min(_CHUNK, x.shape[0]))
