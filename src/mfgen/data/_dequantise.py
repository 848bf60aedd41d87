"""Dequantisation: measured values are rounded, and a rounded value has no density.

Where a feature was recorded on a lattice of width w, U(-w/2, w/2) is added to it. The likelihoods
reported afterwards are those of the dequantised data. For a distribution P on the lattice
log P(x) >= E log rho(x + U) + log w for each such feature (Theis, van den Oord and Bethge 2015,
arXiv 1511.01844): what a continuous model reports is a bound for the discrete data.
"""

import numpy as np
from jaxtyping import Float

# Two values closer than this part of the range of a feature differ by rounding of the arithmetic.
_RELATIVE_ROUNDING = 1e-9


def resolution(samples: Float[np.ndarray, "n dim"]) -> Float[np.ndarray, "dim"]:
    """Return for each feature the smallest gap between distinct values, or 0 if no value repeats.

    Arguments:
        samples: `[n, dim]`, without constant features.
    """
    return np.array([_resolution(column) for column in samples.T])


def dequantise(
    samples: Float[np.ndarray, "n dim"],
    width: Float[np.ndarray, "dim"],
    *,
    rng: np.random.Generator,
) -> Float[np.ndarray, "n dim"]:
    """Return `samples + U(-width / 2, width / 2)`, in float64.

    Arguments:
        samples: `[n, dim]`.
        width: `[dim]`, the width of the lattice of each feature; 0 leaves it alone.
        rng: the source of noise.
    """
    return samples + width[None, :] * (rng.random(samples.shape) - 0.5)


def _resolution(column: Float[np.ndarray, "n"]) -> float:
    gaps = np.diff(np.sort(column.astype(np.float64)))
    distinct = gaps > _RELATIVE_ROUNDING * gaps.sum()
    return 0.0 if distinct.all() else float(gaps[distinct].min())
