"""Splits of data into a part to estimate from and a part to judge the estimate by.

K-fold cross-validation judges every point once, by an estimate from the other folds. Of many points
a random few are enough: the mean log-likelihood of N points has the error std / sqrt(N), and what
is compared is judged at the same ones, so that most of the error cancels.
"""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from mfgen._types import Key

Points = Float[np.ndarray, "_ dim"]


class Split(NamedTuple):
    """Points to estimate from and points to judge by, `[n, dim]` and `[k, dim]`."""

    train: Points
    held_out: Points


def folds(points: Points, count: int, rng: np.random.Generator, *, judged: int) -> list[Split]:
    """K-fold splits; about `judged` random points are judged in all if there are more."""
    order = rng.permutation(len(points))
    most = -(-judged // count)
    parts = np.array_split(order, count)
    return [Split(points[np.setdiff1d(order, part)], points[part[:most]]) for part in parts]


def holdout(points: Points, rng: np.random.Generator, *, fraction: float, most: int) -> list[Split]:
    """One split that holds out a fraction, of at most `most` random points."""
    order = rng.permutation(len(points))[:most]
    count = max(1, round(fraction * len(order)))
    return [Split(points[order[count:]], points[order[:count]])]


def generator(key: Key | None) -> np.random.Generator:
    """Random numbers of NumPy that follow from a key; the same ones each time without a key."""
    seed = 0 if key is None else int(jax.random.randint(key, (), 0, 2**31 - 1))
    return np.random.default_rng(seed)
