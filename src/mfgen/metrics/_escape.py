"""Mass of a potential's density far outside of the points that are drawn of it.

If x follows the density q, and y = m + r (x - m) for any m and r > 0, then

    q(A) = E[ q(y) / q(x) r^dim ; y in A ]:

points scaled outward tell the mass where no point lies, along the directions in which points do.
A potential that falls at infinity, so that exp(-U) is not normalisable, shows a mass there that may
be many times that of all points. In many dimensions it may fall in few directions only. They are
looked for by climbs on spheres about the points, along the gradient, from directions of points and
random ones: a density that decays is lower there than at nearly all of the points. How much mass
lies under a peak that is found so is not known.
"""

import math
import warnings
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfgen._types import Batch, Scalar, State
from mfgen.metrics._likelihood import evaluate
from mfgen.simulate._weighted import Weighted

FAR = 1.5  # times the distance of the farthest point drawn: beyond, nothing is known
_FACTORS = tuple(2.0 ** (k / 2) for k in range(1, 13))  # r, from 1.4 to 64
_OUTSIDE = 0.01  # the mass there that is refused
_SPHERES = (2.0, 8.0, 32.0)  # times that distance
_STARTS, _CLIMB, _ANGLE = 128, 60, 0.1  # climbs on each, their steps, and the size of a step
_LOW = 0.01  # share of the points that lie lower than what is warned of outside


def extent(drawn: Weighted) -> tuple[Float[np.ndarray, "dim"], float]:
    """The weighted mean of points, and the distance of the farthest from it."""
    points, shares = np.asarray(drawn.points, np.float64), np.exp(_log_shares(drawn))
    centre = shares @ points
    return centre, float(np.linalg.norm(points - centre[None, :], axis=1).max())


def check_escape(owner: str, log_density: Callable[[State], Scalar], drawn: Weighted) -> None:
    """Refuses mass far outside of the weighted points that are drawn of a density; warns of peaks.

    What lies under a peak is not known, and is left out of an integral that the points tell.

    Raises:
        ValueError: in the name of `owner`, with the mass and where it is seen.
    """
    fix = (
        "train it longer, or with residual points that are spread, "
        "`HJB(collocation=SpreadData())`, or use `FlowLikelihood`."
    )
    mass, factor = outside(log_density, drawn)
    if not mass <= _OUTSIDE:
        raise ValueError(
            f"`{owner}` got a potential with {mass:.2g} times its mass at more than {FAR} times "
            f"the distance of the farthest of {len(drawn.points)} points that its sampler draws "
            f"(seen at {factor:.3g} times their distances), expected next to none, as exp(-U) is "
            f"not normalisable or untrained there: {fix}"
        )
    share, distance = peak_outside(log_density, drawn)
    if not share <= _LOW:
        warnings.warn(
            f"`{owner}` got a potential that is lower somewhere at {distance:.3g} times the "
            f"distance of the farthest of {len(drawn.points)} points that its sampler draws than "
            f"at {share:.0%} of them, expected higher. exp(-U) is a density where the sampler "
            f"goes, not of all space, and chains may run away: {fix}",
            stacklevel=3,
        )


def outside(log_density: Callable[[State], Scalar], drawn: Weighted) -> tuple[float, float]:
    """The largest mass outside that a scaling of the points shows, and the factor r that does."""
    centre, farthest = extent(drawn)
    offsets = np.asarray(drawn.points, np.float64) - centre[None, :]
    here = np.asarray(evaluate(log_density, drawn.points), np.float64)
    found = [(0.0, 1.0)]
    for factor in _FACTORS:
        out = factor * np.linalg.norm(offsets, axis=1) > FAR * farthest
        places = jnp.asarray(centre[None, :] + factor * offsets, drawn.points.dtype)
        values = np.asarray(evaluate(log_density, places), np.float64)
        gains = _log_shares(drawn) + values - here + offsets.shape[1] * math.log(factor)
        with np.errstate(over="ignore"):
            found.append((float(np.exp(gains[out]).sum()), factor))
    return max(found)


def peak_outside(log_density: Callable[[State], Scalar], drawn: Weighted) -> tuple[float, float]:
    """The share of the weighted points that lie lower than the highest place found on spheres.

    With it the radius of that sphere about them, in distances of the farthest point.
    """
    centre, farthest = extent(drawn)
    offsets = np.asarray(drawn.points, np.float64)[: _STARTS // 2] - centre[None, :]
    others = np.random.default_rng(0).normal(size=(_STARTS - len(offsets), offsets.shape[1]))
    directions = np.concatenate([offsets, others])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    dtype = drawn.points.dtype
    starts, middle = jnp.asarray(directions, dtype), jnp.asarray(centre, dtype)
    radii = jnp.asarray([farthest * factor for factor in _SPHERES], dtype)
    heights = np.asarray(_climbed(log_density, starts, middle, radii))
    here = np.asarray(evaluate(log_density, drawn.points))
    best = int(np.argmax(heights))  # the first that is not a number, if there is one
    lower = ~(here >= heights[best])
    return float(np.exp(_log_shares(drawn))[lower].sum()), _SPHERES[best]


@eqx.filter_jit
def _climbed(
    log_density: Callable[[State], Scalar],
    starts: Batch,
    centre: State,
    radii: Float[Array, "spheres"],
) -> Float[Array, "spheres"]:
    """The greatest height that climbs on each sphere reach."""

    def one(direction: State, radius: Scalar) -> Scalar:
        height = lambda direction: log_density((centre + radius * direction).astype(centre.dtype))

        def step(direction: State, _):
            value, slope = jax.value_and_grad(height)(direction)
            slope = slope - (slope @ direction) * direction
            ahead = slope / jnp.maximum(jnp.linalg.norm(slope), 1e-30)
            moved = direction + _ANGLE * ahead
            return (moved / jnp.linalg.norm(moved)).astype(direction.dtype), value

        return jnp.max(jax.lax.scan(step, direction, length=_CLIMB)[1])

    on = lambda radius: jnp.max(jax.lax.map(lambda d: one(d, radius), starts, batch_size=_STARTS))
    return jax.lax.map(on, radii)


def _log_shares(drawn: Weighted) -> Float[np.ndarray, "n"]:
    """The logarithms of the weights, divided by their sum."""
    logs = np.asarray(drawn.log_weights, np.float64)
    logs = logs - logs.max()
    return logs - math.log(np.exp(logs).sum())
