"""What every sampler gives, and how methods for one point are run on many.

A sampler carries one point X(0) of the first density of a game to X(T) at its horizon, in a
normalizing flow X(T) to X(0). It says how far it came, so that an unfinished integration is told
from a finished one and never passes for it.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float, Num

from mfgen._types import Batch, Key, Scalar, State
from mfgen.models.base import AbstractModel
from mfgen.problem.game import MFG


class Arrival(NamedTuple):
    """Where a path ended.

    Attributes:
        point: its end, shape `[dim]`.
        time: the game time there; short of the end of the game if a step limit was hit.
    """

    point: State
    time: Scalar


class AbstractSampler(eqx.Module):
    """A method that draws from the last density of a game.

    To add one, give `__call__` for a single point; refuse games it is not valid for with a
    `TypeError` that names the method.

    Attributes:
        reversible: whether it also carries points of a normalizing flow's reference back to time 0.
    """

    reversible: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, game: MFG, model: AbstractModel, x: State, *, key: Key) -> Arrival:
        """Carries x, a point of the reference, to the end of time where the data are."""


def check_points(owner: str, game: MFG, x: Num[ArrayLike, "..."]) -> Batch:
    """The points as an array `[n, dim]` of floats, checked in the name of `owner`.

    Raises:
        ValueError: on another shape, no points, or entries that are not finite.
    """
    points = jnp.asarray(x)
    if not jnp.issubdtype(points.dtype, jnp.floating):
        points = points.astype(float)
    wanted = "dim" if game.initial is None else game.initial.dim
    fits = points.ndim == 2 and points.shape[0] > 0 and wanted in ("dim", points.shape[1])
    if not fits:
        raise ValueError(
            f"`{owner}` got points of shape {points.shape}, expected [n, {wanted}] with n >= 1: "
            "pass one row for each point."
        )
    rows = np.zeros(1) if isinstance(points, Tracer) else ~np.isfinite(points).all(axis=1)
    if rows.any():
        raise ValueError(
            f"`{owner}` got {rows.sum()} of {rows.size} points with nan or infinite entries, "
            f"expected finite numbers: drop row {int(np.argmax(rows))}."
        )
    return points


def map_chunks(function: Callable[[Any], Any], samples: Any, chunk: int) -> Any:
    """`jax.vmap(function)(samples)`, at most `chunk` samples at a time.

    All chunks have one size, so the function is compiled once; the last one is filled up with
    samples from the front, whose results are dropped.
    """
    n = jax.tree.leaves(samples)[0].shape[0]
    rounds = -(-n // chunk)
    if rounds == 1:
        return jax.vmap(function)(samples)
    size = -(-n // rounds)
    index = (jnp.arange(rounds * size) % n).reshape(rounds, size)
    chunks = jax.tree.map(lambda leaf: leaf[index], samples)
    results = jax.lax.map(jax.vmap(function), chunks)
    return jax.tree.map(lambda leaf: leaf.reshape(rounds * size, *leaf.shape[2:])[:n], results)


def check_finished(owner: str, values: Array, times: Float[Array, "n"], last: float) -> None:
    """Raises unless every path reached game time `last` and ended in finite values.

    Values under a transformation of the caller are not known yet and pass.

    Raises:
        RuntimeError: in the name of `owner`, with the number of points and the time reached.
    """
    if isinstance(values, Tracer) or isinstance(times, Tracer):
        return
    gone = np.abs(np.asarray(times) - last) > 1e-4 * max(last, 1e-4)
    if gone.any():
        worst = np.asarray(times)[gone]
        worst = worst[np.argmax(np.abs(worst - last))]
        raise RuntimeError(
            f"`{owner}` stopped at game time {worst:.5g} on the way to {last:.5g} for "
            f"{gone.sum()} of {gone.size} points, expected to arrive: raise max_steps or the "
            "tolerance of `Adaptive`, or use `RungeKutta4`."
        )
    broken = ~np.isfinite(np.asarray(values)).reshape(times.shape[0], -1).all(axis=1)
    if broken.any():
        raise RuntimeError(
            f"`{owner}` got values that are not finite for {broken.sum()} of {broken.size} points, "
            "expected a model that is finite along its paths: take more steps or train it further."
        )
