"""The interface of samplers, and methods for one point run on many.

A sampler carries one point X(0) of the first density of a game to X(T) at its horizon, in a
normalizing flow X(T) to X(0). It says how far it came, so that an unfinished integration is told
from a finished one and never passes for it.
"""

import contextlib
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float

from mfgen import _check
from mfgen._types import Batch, Given, Key, Scalar, State
from mfgen.dynamics._noising import TimeReversal
from mfgen.dynamics._noising_check import check_resolved
from mfgen.games._game import MFG
from mfgen.math import _entry
from mfgen.models._base import AbstractModel

_STILL = 1e-3  # acceptance of a chain that does not move


class Arrival(NamedTuple):
    """The end of a path.

    Attributes:
        point: its end, shape `[dim]`.
        time: the game time there; short of the end of the game if a step limit was hit.
        acceptance: the share of proposals that a Metropolis corrector took; 1 where there is none.
    """

    point: State
    time: Scalar
    acceptance: Scalar | float = 1.0


class Unfinished(RuntimeError):
    """Paths hit the step limit of `Adaptive` before their end, or ended in values not finite.

    What was computed is kept, so that it can be looked at and the rest done again.

    Attributes:
        points: `[n, dim]`, where the paths are; for `log_prob` and `inverse_error` the points that
            were asked for.
        values: `[n]`, the result of `log_prob` or `inverse_error`, nan where the path did not
            arrive; `None` for samples.
        times: `[n]`, the game time reached.
        arrived: `[n]`, whether the path arrived at a finite value.
    """

    def __init__(
        self,
        message: str,
        points: Float[np.ndarray, "n dim"],
        values: Float[np.ndarray, "n"] | None,
        times: Float[np.ndarray, "n"],
        arrived: Bool[np.ndarray, "n"],
    ):
        super().__init__(message)
        self.points, self.values, self.times, self.arrived = points, values, times, arrived


class AbstractSampler(eqx.Module):
    """A method that draws from the last density of a game.

    To add one, give `__call__` for a single point, and in `check` refuse games it is not valid for
    with a `TypeError` that names the method.

    Attributes:
        reversible: whether it also carries points of a normalizing flow's reference back to time 0.
    """

    reversible: ClassVar[bool] = False

    def __check_init__(self):
        _check.declared(self)

    @abstractmethod
    def __call__(self, game: MFG, model: AbstractModel, x: State, *, key: Key) -> Arrival:
        """Carries x, a point of the reference, to the end of time where the data are."""

    def check(self, game: MFG) -> None:
        """Raises a `TypeError` unless the method is valid for the game; called once, untraced."""
        return


def check_played(owner: str, game: MFG, model: AbstractModel) -> None:
    """Raises a `TypeError` in the name of `owner` unless it got a game and a model."""
    fix = "pass the game first, such as `score_based(VP(), data)`"
    _check.of_kind(owner, "game", game, MFG, fix)
    fix = "pass a model such as `score_potential(game, key=key)`, or the `value` of a solution"
    _check.of_kind(owner, "model", model, AbstractModel, fix)


@contextlib.contextmanager
def at_points(owner: str, game: MFG, model: AbstractModel, dim: int) -> Iterator[None]:
    """Says so where the body fails because the model is not one of points of that dimension."""
    try:
        yield
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        if str(error).startswith("`") and not isinstance(error, _check.Unfit):
            raise
        x = jax.ShapeDtypeStruct((dim,), jnp.result_type(float))
        try:
            jax.eval_shape(lambda t, x: model.control(game, t, x), x.update(shape=()), x)
        except (TypeError, ValueError, LookupError, AttributeError) as refusal:
            raise _check.Unfit(
                f"`{owner}` got a model `{type(model).__name__}` that cannot be evaluated at "
                f"points of {dim} features ({_check.reason(refusal)}), expected one of this game: "
                "make it from the game, or correct its function."
            ) from error
        raise


def check_points(owner: str, game: MFG, x: Given) -> Batch:
    """The points as an array `[n, dim]` of floats, checked in the name of `owner`.

    Raises:
        ValueError: on another shape, no points, or entries that are not finite.
    """
    points = _entry.given(x, f"`{owner}` got points with")
    wanted = "dim" if game.initial is None else game.initial.dim
    fits = points.ndim == 2 and points.shape[0] > 0 and wanted in ("dim", points.shape[1])
    if not fits:
        raise ValueError(
            f"`{owner}` got points of shape {points.shape}, expected [n, {wanted}] with n >= 1: "
            "pass one row for each point."
        )
    points = _entry.single(points, f"`{owner}` got points with")
    rows = np.zeros(1) if isinstance(points, Tracer) else ~np.isfinite(points).all(axis=1)
    if rows.any():
        raise ValueError(
            f"`{owner}` got {rows.sum()} of {rows.size} points with nan or infinite entries, "
            f"expected finite numbers: drop row {int(np.argmax(rows))}."
        )
    if isinstance(game.dynamics.of_points, TimeReversal):
        check_resolved(game.dynamics.of_points.noising, points.dtype, owner)
    return game.domain.admit(owner, points)


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


def check_accepted(owner: str, acceptance: Float[Array, "n"] | float) -> None:
    """Warns of chains that stood still, by their number, and refuses if all of them did.

    Raises:
        RuntimeError: in the name of `owner`, if no chain accepted more than one of a thousand.
    """
    if isinstance(acceptance, Tracer):
        return
    shares = np.asarray(acceptance)
    still = int(np.sum(~(shares > _STILL)))
    said = (
        f"`{owner}` got {still} of {shares.size} Metropolis chains that stood still (they accepted "
        f"at most {_STILL:g} of their proposals; the mean of all is {shares.mean():.3g}), expected "
        "them to move: raise `warmup`, and look whether the potential is finite and trained where "
        "they begin."
    )
    if still == shares.size:
        raise RuntimeError(said)
    if still:
        warnings.warn(said, stacklevel=3)


def check_finished(
    owner: str,
    points: Batch,
    times: Float[Array, "n"],
    last: float,
    values: Float[Array, "n"] | None = None,
) -> None:
    """Raises unless every path reached game time `last` and ended in finite values.

    Values under a transformation of the caller are not known yet and pass.

    Arguments:
        owner: the public name that followed the paths.
        points, values, times: as in `Unfinished`.
        last: where paths end.

    Raises:
        Unfinished: in the name of `owner`, with the number of points and the time reached.
    """
    found = points if values is None else values
    if isinstance(found, Tracer) or isinstance(times, Tracer):
        return
    places, reached = np.asarray(points), np.asarray(times)
    gone = np.abs(reached - last) > 1e-4 * max(last, 1e-4)
    finite = np.asarray(np.isfinite(np.asarray(found)).reshape(reached.size, -1).all(axis=1))
    kept = None if values is None else np.where(gone, np.nan, np.asarray(values))
    if gone.any():
        worst = reached[gone]
        worst = worst[np.argmax(np.abs(worst - last))]
        message = (
            f"`{owner}` stopped at game time {worst:.5g} on the way to {last:.5g} for "
            f"{gone.sum()} of {gone.size} points, expected to arrive: raise max_steps or the "
            "tolerance of `Adaptive`, or use `RungeKutta4`; `points`, `values` and `times` of this "
            "error keep what was reached."
        )
        raise Unfinished(message, places, kept, reached, ~gone & finite)
    if not finite.all():
        message = (
            f"`{owner}` got values that are not finite for {(~finite).sum()} of {finite.size} "
            f"points, the first in row {int(np.argmin(finite))}, expected a model that is finite "
            "along its paths: take more steps or train it further, and look whether that point is "
            "far from the data."
        )
        raise Unfinished(message, places, kept, reached, finite)
