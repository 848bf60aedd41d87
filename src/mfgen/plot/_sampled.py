"""Numbers that figures of solutions are drawn from: values and densities at points, and where."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from mfgen.densities._base import AbstractDensity, AbstractEvaluable
from mfgen.metrics._likelihood import evaluate
from mfgen.simulate._solution import Solution

_MOMENTS = 4  # times at which a solution is shown
_LIGHT = 1e-4  # of the largest weight: lighter particles are not shown


def value(solution: Solution, t: float, points: np.ndarray) -> np.ndarray:
    """U(t, x) at points `[n, dim]`."""
    places = jnp.asarray(points, jnp.result_type(float))
    u = eqx.Partial(solution.value, jnp.asarray(t, places.dtype))
    return np.asarray(evaluate(u, places))


def on_nodes(f: Any, nodes: np.ndarray) -> np.ndarray:
    """A function of a point at the nodes `[..., dim]` of a grid."""
    places = jnp.asarray(nodes.reshape(-1, nodes.shape[-1]), jnp.result_type(float))
    return np.asarray(evaluate(f, places)).reshape(nodes.shape[:-1])


def density(law: AbstractDensity, x: np.ndarray) -> np.ndarray:
    """A density on the line; of a law that is particles alone, a histogram."""
    if isinstance(law, AbstractEvaluable):
        return np.exp(on_nodes(law.log_density, x[:, None]))
    points, weights = (np.asarray(part, float) for part in law.particles())
    ends = np.linspace(x[0], x[-1], 31)
    heights, _ = np.histogram(points[:, 0], ends, weights=weights, density=True)
    return heights[np.clip(np.searchsorted(ends, x, side="right") - 1, 0, len(heights) - 1)]


def law(solution: Solution, t: float) -> AbstractDensity:
    """The law of the particles at a time."""
    assert solution.density is not None
    return solution.density(float(t))


def dim(solution: Solution) -> int:
    """The dimension of the space."""
    return law(solution, 0.0).dim


def times(solution: Solution) -> np.ndarray:
    """The times at which a solution is shown."""
    return np.linspace(0.0, solution.game.dynamics.horizon, _MOMENTS)


def reach(solution: Solution) -> np.ndarray:
    """Corners of the box of the particles that weigh something, `[2, dim]`."""
    corners = []
    for t in times(solution):
        points, weights = (np.asarray(part, float) for part in law(solution, t).particles())
        kept = points[weights >= _LIGHT * weights.max()]
        corners.append((kept.min(axis=0), kept.max(axis=0)))
    low, high = zip(*corners, strict=True)
    return np.stack([np.min(low, axis=0), np.max(high, axis=0)])
