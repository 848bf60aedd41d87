"""Mass of a potential's density far outside of the points that are drawn of it.

If x follows the density q, and y = m + r (x - m) for any m and r > 0, then

    q(A) = E[ q(y) / q(x) r^dim ; y in A ]:

points scaled outward tell the mass where no point lies. A potential that falls at infinity, so that
exp(-U) is not normalisable, or one that has found a minimum far from the data, shows a mass there
that may be many times that of all points. It is told along the directions in which points lie.
"""

import math
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from mfgen._types import Scalar, State
from mfgen.metrics.likelihood import evaluate
from mfgen.simulate.weighted import Weighted

FAR = 1.5  # times the distance of the farthest point drawn: beyond, nothing is known
_FACTORS = tuple(2.0 ** (k / 2) for k in range(1, 13))  # r, from 1.4 to 64
_OUTSIDE = 0.01  # the mass there that is refused


def extent(drawn: Weighted) -> tuple[Float[np.ndarray, "dim"], float]:
    """The weighted mean of points, and the distance of the farthest from it."""
    points, shares = np.asarray(drawn.points, np.float64), np.exp(_log_shares(drawn))
    centre = shares @ points
    return centre, float(np.linalg.norm(points - centre[None, :], axis=1).max())


def refuse_escape(owner: str, log_density: Callable[[State], Scalar], drawn: Weighted) -> None:
    """Raises if a density has mass far outside of the weighted points that are drawn of it.

    Raises:
        ValueError: in the name of `owner`, with the mass and where it is seen.
    """
    mass, factor = outside(log_density, drawn)
    if not mass <= _OUTSIDE:
        raise ValueError(
            f"`{owner}` got a potential with {mass:.2g} times its mass at more than {FAR} times "
            f"the distance of the farthest of {len(drawn.points)} points that its sampler draws "
            f"(seen at {factor:.3g} times their distances), expected next to none: exp(-U) is not "
            "normalisable, or untrained there. Train it with spread residual points "
            "(`HJB(collocation=SpreadData())`), or use `FlowLikelihood`."
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


def _log_shares(drawn: Weighted) -> Float[np.ndarray, "n"]:
    """The logarithms of the weights, divided by their sum."""
    logs = np.asarray(drawn.log_weights, np.float64)
    logs = logs - logs.max()
    return logs - math.log(np.exp(logs).sum())
