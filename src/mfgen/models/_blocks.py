"""A potential put together from blocks of time, such as the steps of a minimising movement.

    U(t, x) = U_k((t - k h) / h, x),      k h <= t < (k + 1) h,      k = 0 ... K - 1

Each U_k is a potential on [0, 1]. Where two blocks meet U is their mean: a step of the Runge-Kutta
method that ends there and the next one then err by the same with opposite signs, to first order, so
fixed steps that fit into the blocks stay accurate to second order across the jumps, both ways.
"""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from mfgen._types import Costate, Scalar, State, Time
from mfgen.math._autodiff import Jet
from mfgen.models._base import AbstractPotential

_MEETING = 1e-4  # of a block: closer to its ends than that is at them


class Blocks(AbstractPotential):
    """Potentials that follow each other in time.

    Arguments:
        stacked: a potential whose arrays have the blocks as their first axis.
        length: h, the duration of a block.
    """

    stacked: AbstractPotential
    length: float = eqx.field(static=True)

    @property
    def count(self) -> int:
        """K, how many blocks there are."""
        return jax.tree.leaves(eqx.filter(self.stacked, eqx.is_array))[0].shape[0]

    def block(self, index: int | Int[Array, ""]) -> AbstractPotential:
        """U_k, on [0, 1]."""
        moving, fixed = eqx.partition(self.stacked, eqx.is_array)
        return eqx.combine(jax.tree.map(lambda leaf: leaf[index], moving), fixed)

    def __call__(self, t: Time, x: State) -> Scalar:
        return self._at(t, x, lambda block, part: block(part, x))

    def costate(self, t: Time, x: State) -> Costate:
        return self._at(t, x, lambda block, part: block.costate(part, x))

    def jet(self, t: Time, x: State, fixed: int = 0) -> Jet:
        found = self._at(t, x, lambda block, part: block.jet(part, x, fixed))
        return found._replace(time=found.time / self.length)

    def _at(self, t: Time, x: State, ask: Callable[[AbstractPotential, Scalar], Any]) -> Any:
        place = jnp.asarray(t, x.dtype) / self.length
        near = jnp.round(place)
        inside = jnp.clip(jnp.floor(place), 0, self.count - 1)
        meets = (jnp.abs(place - near) < _MEETING) & (near > 0) & (near < self.count)

        def one(index: Scalar) -> Any:
            part = jnp.clip(place - index, 0.0, 1.0)
            return ask(self.block(index.astype(int)), part)

        def mean() -> Any:
            return jax.tree.map(lambda a, b: (a + b) / 2, one(near - 1), one(near))

        return jax.lax.cond(meets, mean, lambda: one(inside))


def blocks(potentials: Sequence[AbstractPotential], length: float) -> Blocks:
    """`Blocks` of potentials that are alike but for their arrays.

    Arguments:
        potentials: U_0 ... U_(K-1), each on [0, 1].
        length: h, the duration of a block.

    Raises:
        ValueError: for no potentials, or such as differ in more than the values of their arrays.
    """
    parts = [eqx.partition(potential, eqx.is_array) for potential in potentials]
    shapes = [jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), moving) for moving, _ in parts]
    alike = all(
        eqx.tree_equal(fixed, parts[0][1]) is True and shape == shapes[0]
        for (_, fixed), shape in zip(parts, shapes, strict=True)
    )
    if not parts or not alike:
        raise ValueError(
            f"`blocks` got {len(parts)} potentials, expected one or more of the same kind and "
            "size: build all of them with the same options."
        )
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[moving for moving, _ in parts])
    return Blocks(eqx.combine(stacked, parts[0][1]), length)
