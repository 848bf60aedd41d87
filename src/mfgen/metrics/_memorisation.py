"""Memorisation: are generated points closer to the training data than fresh data are?

With d(x) the distance from x to the nearest training point,

    ratio = mean d(generated) / mean d(held out).

A perfect model has ratio 1, a copier of its training data has 0; a blurred model has more than 1,
and so a model that copies half of the time and misses otherwise can hide. The probability

    P( d(generated) < d(held out) )

is 1/2 for a perfect model, 1 for a copier, and is not moved by a few outliers (it is the
Mann-Whitney statistic of the data-copying test). Both errors hold for the given training set; where
all points agree, as for copies alone, they are those of one point that does not.

Reference: C. Meehan, K. Chaudhuri, S. Dasgupta, "A non-parametric test to detect data-copying in
generative models" (2020), arXiv 2004.05675.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from mfgen._types import Given
from mfgen.metrics import _door
from mfgen.metrics._estimate import Estimate
from mfgen.metrics._pairwise import nearest_distance

Distances = Float[np.ndarray, "n"]


def memorisation_ratio(generated: Given, train: Given, held_out: Given) -> Estimate:
    """The mean distance to the nearest training point, of generated over held-out data.

    Arguments:
        generated: samples of the model, `[n, dim]`.
        train: what the model was trained on, `[k, dim]`.
        held_out: fresh data of the same law as `train`, `[m, dim]`.

    Returns:
        The ratio, with the error of a ratio of means; below 1 means memorisation.

    Raises:
        ValueError: samples of different dimension, not finite, or held-out data that all lie in
            the training set.
    """
    near, fresh = _distances("memorisation_ratio", generated, train, held_out)
    if fresh.max() == 0:
        raise ValueError(
            "`memorisation_ratio` got held-out points that are all training points, expected fresh "
            "data: split the data before training."
        )
    ratio = near.mean() / fresh.mean()
    variance = near.var(ddof=1) / len(near) + ratio**2 * fresh.var(ddof=1) / len(fresh)
    if near.max() == 0:
        variance = (fresh.mean() / len(near)) ** 2
    return Estimate(float(ratio), float(np.sqrt(variance) / fresh.mean()))


def copying_probability(generated: Given, train: Given, held_out: Given) -> Estimate:
    """The probability that a generated point lies closer to the training data than a fresh one.

    Arguments:
        generated: samples of the model, `[n, dim]`.
        train: what the model was trained on, `[k, dim]`.
        held_out: fresh data of the same law as `train`, `[m, dim]`.

    Returns:
        The probability, ties counted half, with the error of the Mann-Whitney statistic; above
        1/2 means memorisation.

    Raises:
        ValueError: samples of different dimension, or not finite.
    """
    near, fresh = _distances("copying_probability", generated, train, held_out)
    above = 1 - _rank(near, fresh)
    below = _rank(fresh, near)
    variance = above.var(ddof=1) / len(near) + below.var(ddof=1) / len(fresh)
    variance = variance if variance > 0 else 1 / min(len(near), len(fresh)) ** 2
    return Estimate(float(above.mean()), float(np.sqrt(variance)))


def _distances(
    owner: str, generated: Given, train: Given, held_out: Given
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "m"]]:
    clouds = _door.samples(owner, 2, generated=generated, train=train, held_out=held_out)
    centre = clouds[1].mean(axis=0)
    near, points, fresh = (jnp.asarray(cloud - centre) for cloud in clouds)
    distances = (np.asarray(nearest_distance(cloud, points), float) for cloud in (near, fresh))
    return next(distances), next(distances)


def _rank(distances: Distances, others: Float[np.ndarray, "m"]) -> Distances:
    # The share of the others that are smaller, ties counted half.
    ordered = np.sort(others)
    smaller = np.searchsorted(ordered, distances, side="left")
    not_larger = np.searchsorted(ordered, distances, side="right")
    return (smaller + not_larger) / (2 * len(others))
