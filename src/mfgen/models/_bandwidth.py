"""The bandwidth of a Gaussian kernel by cross-validation.

For a kernel covariance h^2 S the held-out log-likelihood is, with D_ji the squared distance of the
held-out point x_j to the centre m_i in the metric of S^-1,

    sum_j [ log sum_i exp(-D_ji / 2 h^2) - log n - d log h - (d/2) log 2 pi - (1/2) log det S ],

maximised over h on a grid and then by Brent's method between the neighbours of the best. Where the
best is at an end of the grid, the grid is continued beyond it: clusters far apart want a bandwidth
that is small beside the deviation of all.

Reference: B. W. Silverman, "Density estimation for statistics and data analysis" (1986), section
3.4.4.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize_scalar
from scipy.spatial.distance import cdist

from mfgen.models._heldout import Points, Split

Matrix = Float[np.ndarray, "dim dim"]
Bandwidths = Sequence[float] | Float[np.ndarray, "_"]

# In deviations of the data, finer than most structure and up to wider than all of it.
BANDWIDTHS = tuple(float(h) for h in np.geomspace(0.01, 3.0, 16))

# Further bandwidths beyond an end of the grid, at most.
_BEYOND = 60

# Directions in which the data do not vary are given this part of the mean variance.
_SMALLEST = 1e-8


class Bandwidth(NamedTuple):
    """The best bandwidth, and the mean held-out log-likelihood with it, in nats.

    Attributes:
        value: the bandwidth.
        log_likelihood: with it.
        inside: whether it is the best of all; else it is the last of those that were tried.
    """

    value: float
    log_likelihood: float
    inside: bool = True


def isotropic(points: Points) -> Matrix:
    """The mean variance of the coordinates times the identity."""
    return points.var(axis=0).mean() * np.eye(points.shape[1])


def correlated(points: Points) -> Matrix:
    """The covariance of the points, made positive definite where they do not vary."""
    covariance = np.cov(points, rowvar=False).reshape(points.shape[1], -1)
    smallest = _SMALLEST * np.trace(covariance) / len(covariance)
    return covariance + smallest * np.eye(len(covariance))


class _Distances(NamedTuple):
    """Of one split: each held-out point's least squared distance, the others beyond it, log det."""

    nearest: Float[np.ndarray, "k"]
    excess: Float[np.ndarray, "k n"]
    log_determinant: float


def best_bandwidth(
    splits: list[Split], shape: Callable[[Points], Matrix], bandwidths: Bandwidths
) -> Bandwidth:
    """The bandwidth of the largest held-out likelihood, for kernels of the given shape.

    Arguments:
        splits: at which it is judged; the shape is taken from the training part of each.
        shape: gives S for points.
        bandwidths: where to look first; one alone is taken.
    """
    measured = [_distances(split, shape) for split in splits]
    dim = splits[0].train.shape[1]
    loss = lambda log_h: -_log_likelihood(measured, dim, float(np.exp(log_h)))
    grid = list(np.unique(np.log(np.asarray(bandwidths, float))))
    losses = [loss(log_h) for log_h in grid]
    if len(grid) == 1:
        return Bandwidth(float(np.exp(grid[0])), -losses[0])
    for _ in range(_BEYOND):
        best = int(np.argmin(losses))
        if best == 0:
            grid.insert(0, 2 * grid[0] - grid[1])
            losses.insert(0, loss(grid[0]))
        elif best == len(grid) - 1:
            grid.append(2 * grid[-1] - grid[-2])
            losses.append(loss(grid[-1]))
        else:
            break
    best = int(np.argmin(losses))
    found = Bandwidth(float(np.exp(grid[best])), -losses[best], 0 < best < len(grid) - 1)
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    refined: Any = minimize_scalar(
        loss, bounds=(low, high), method="bounded", options={"xatol": 0.01}
    )
    if refined.fun < losses[best]:
        return Bandwidth(float(np.exp(refined.x)), -float(refined.fun), found.inside)
    return found


def _distances(split: Split, shape: Callable[[Points], Matrix]) -> _Distances:
    variances, basis = np.linalg.eigh(shape(split.train))
    train, held_out = (part @ (basis / np.sqrt(variances)) for part in split)
    squares = cdist(held_out, train, "sqeuclidean")
    nearest = squares.min(axis=1)
    # Single precision is enough for what is beyond the nearest, and halves time and memory.
    excess = (squares - nearest[:, None]).astype(np.float32)
    return _Distances(nearest, excess, float(np.log(variances).sum()))


def _log_likelihood(measured: list[_Distances], dim: int, h: float) -> float:
    totals, count = 0.0, 0
    for nearest, excess, log_determinant in measured:
        kernels = np.exp(excess * np.float32(-0.5 / h**2)).sum(axis=1, dtype=np.float64)
        volume = dim * np.log(np.sqrt(2 * np.pi) * h) + 0.5 * log_determinant
        values = np.log(kernels) - 0.5 * nearest / h**2 - np.log(excess.shape[1]) - volume
        totals, count = totals + values.sum(), count + len(values)
    return float(totals / count)
