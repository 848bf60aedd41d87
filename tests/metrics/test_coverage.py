"""Two standard errors hold the truth in 93 to 97 % of samples: every metric, replicated.

A row names a metric at a law, how to draw it anew, the truth (`None`: the mean over replications,
for metrics that are biased at finite n and say so), and whether its error is cautious: more than
97 % are allowed where no symmetric interval does better, and for the classifier.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities import Gaussian
from mfgen.dynamics import VE
from mfgen.metrics import (
    Estimate,
    c2st,
    copying_probability,
    effective_fraction,
    energy_distance,
    kl,
    log_normaliser,
    mean_log_likelihood,
    memorisation_ratio,
    mmd2,
    one_shot_error,
    reverse_kl,
    score_error,
    sliced_wasserstein2,
    wasserstein2,
)
from mfgen.metrics._divergence import overlap
from mfgen.metrics._estimate import mean_number, mean_of_rows, root
from mfgen.metrics._importance import reweighted_mean
from mfgen.models import VectorField
from mfgen.zoo import score_based

pytestmark = pytest.mark.slow
COUNT = 300
TRAIN = np.random.default_rng(99).normal(size=(100, 2))
TRUTH, MODEL = Gaussian(jnp.zeros(4)), Gaussian(jnp.full(4, 0.3), 1.2)
SCORED = score_based(VE(0.1, 5.0), TRUTH)
ZERO = VectorField(lambda t, x: jnp.zeros_like(x))  # one for all, so that it is compiled once


class Row(NamedTuple):
    replicate: Callable[[int], Estimate]
    exact: float | None = None
    cautious: bool = False
    count: int = COUNT


def cloud(seed, n, dim, shift=0.0):
    """Points at a distance `shift` of the origin, in deviations."""
    return np.random.default_rng(seed).normal(size=(n, dim)) + shift / math.sqrt(dim)


def two(metric, n, m, dim, shift):
    return lambda seed: metric(cloud((seed, 0), n, dim), cloud((seed, 1), m, dim, shift))


def sliced(shift):
    def replicate(seed):
        x, y = cloud((seed, 0), 60, 2), cloud((seed, 1), 40, 2, shift)
        return sliced_wasserstein2(x, y, key=jax.random.key(seed), projections=16)

    return replicate


def weighted(metric):
    """The model N(0, 1) and the target N(.6, .7)."""

    def replicate(seed):
        x = np.random.default_rng(seed).normal(size=1000)
        logs = -0.5 * (x - 0.6) ** 2 / 0.7 - 0.5 * math.log(0.7) + 0.5 * x**2
        return metric(x, logs)

    return replicate


def drawn_kl(seed):
    return kl(TRUTH, MODEL.log_density, TRUTH.sample(100, key=jax.random.key(seed)))


def one_shot(part):
    def replicate(seed):
        errors = 1.0 - np.random.default_rng(seed).exponential(2.0, size=400)
        return getattr(one_shot_error(errors, np.zeros(400)), part)

    return replicate


def copies(metric):
    return lambda seed: metric(1.3 * cloud((seed, 0), 80, 2), TRAIN, cloud((seed, 1), 60, 2))


def variation(seed):
    """Above two dimensions the total variation is a mean over samples."""
    return overlap(TRUTH, MODEL, points=256, key=jax.random.key(seed)).total_variation


def wrong_score(seed):
    """The zero score, which errs by sigma^2 |grad log eta|^2."""
    return score_error(SCORED, ZERO, TRUTH, n=128, key=jax.random.key(seed))


def along_paths(seed):
    """Squares of particles that keep their noise: each column is one of them."""
    noise = np.random.default_rng(seed).normal(size=(1, 200))
    rows = jnp.asarray((np.linspace(0.5, 1.5, 6)[:, None] * noise) ** 2)
    return root(mean_of_rows(jnp.full(6, 1 / 6), rows))


def normal(seed):
    return mean_number(np.random.default_rng(seed).normal(size=50))


SPREAD = math.exp(0.36 / 1.3) / math.sqrt(0.7 * 1.3)
DISCREPANCIES = {"energy": energy_distance, "mmd": mmd2}
SIZES = ((60, 60, 1), (60, 40, 2), (60, 60, 10))
ROWS = {
    "mean": Row(normal, 0.0),
    "mean along paths": Row(along_paths, math.sqrt(np.mean(np.linspace(0.5, 1.5, 6) ** 2))),
    "kl": Row(drawn_kl, 4 * 0.5 * (1 / 1.2 + 0.09 / 1.2 - 1 + math.log(1.2))),
    "one-shot bias": Row(one_shot("bias"), -1.0),
    "one-shot absolute": Row(one_shot("absolute"), 4 * math.exp(-0.5) - 1),
    "one-shot centred": Row(one_shot("centred"), 4 / math.e),
    "log-likelihood": Row(lambda s: mean_log_likelihood(cloud(s, 100, 1)[:, 0] - 2, 1.0), -1.0),
    "normaliser": Row(weighted(lambda x, logs: log_normaliser(logs)), 0.0),
    "effective fraction": Row(weighted(lambda x, logs: effective_fraction(logs)), 1 / SPREAD),
    "reweighted mean": Row(weighted(reweighted_mean), 0.6),
    "reverse kl": Row(
        weighted(lambda x, logs: reverse_kl(logs)), 0.5 * (math.log(0.7) + 1.36 / 0.7 - 1)
    ),
    "memorisation": Row(copies(memorisation_ratio)),
    "copying": Row(copies(copying_probability)),
    "total variation": Row(variation),
    "score error": Row(wrong_score),
    **{
        f"{name} {n}, {m} points, {dim}-D, shift {shift}": Row(
            two(metric, n, m, dim, shift), 0.0 if shift == 0 else None, shift < 0.5 or dim == 10
        )
        for name, metric in DISCREPANCIES.items()
        for n, m, dim in SIZES
        for shift in (0.0, 0.1, 0.5, 1.0, 3.0)
    },
    **{
        f"W2 {dim}-D, shift {shift}": Row(two(wasserstein2, 60, 60, dim, shift), None, shift == 0)
        for dim in (1, 2)
        for shift in (0.0, 1.0, 3.0)
    },
    **{f"sliced W2, shift {shift}": Row(sliced(shift), None, shift == 0) for shift in (0.0, 1.0)},
    **{
        f"c2st, shift {shift}": Row(two(c2st, 40, 40, 2, shift), None, True, 100)
        for shift in (0.0, 1.0)
    },
}


@pytest.mark.parametrize("name", ROWS)
def test_two_errors_cover(covered, name):
    row = ROWS[name]
    estimates = [row.replicate(seed) for seed in range(row.count)]
    assert all(float(estimate.standard_error) > 0 for estimate in estimates)
    covered(estimates, row.exact, cautious=row.cautious)
