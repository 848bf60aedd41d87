"""Importance weights against exact normalisers, means and divergences."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities import Gaussian, Unnormalised, double_well
from mfgen.metrics import (
    effective_fraction,
    effective_sample_size,
    log_normaliser,
    log_weights,
    reverse_kl,
)
from mfgen.metrics._importance import reweighted_mean

METRICS = [
    effective_sample_size,
    effective_fraction,
    log_normaliser,
    reverse_kl,
    lambda logs: reweighted_mean(np.zeros(len(logs)), logs),
]
# The model N(0, 1) and the target exp(3) N(m, v): log Z = 3, and the weights have a variance.
MEAN, VARIANCE, LOG_NORMALISER = 0.6, 0.7, 3.0
# E w^2 / (E w)^2 = int N(m, v)^2 / N(0, 1).
SPREAD = math.exp(MEAN**2 / (2 - VARIANCE)) / math.sqrt(VARIANCE * (2 - VARIANCE))


def drawn(seed, n=500):
    """Points of the model, and their log weights."""
    x = np.random.default_rng(seed).normal(size=n)
    target = -0.5 * (x - MEAN) ** 2 / VARIANCE - 0.5 * math.log(VARIANCE)
    return x, LOG_NORMALISER + target + 0.5 * x**2


def test_log_normaliser_of_double_wells(key, within):
    law, proposal = double_well(), Gaussian(jnp.zeros(2), jnp.array([4.0, 1.5]))
    points = proposal.sample(20_000, key=key)
    logs = log_weights(Unnormalised(law.energy, 2), proposal.log_density, points)
    within(log_normaliser(logs), law.log_normaliser)
    within(reweighted_mean(np.asarray(points[:, 0]) > 0, logs), law.upper)
    assert log_normaliser(logs).standard_error < 0.03


def test_exact_samples_have_equal_weights(key):
    law = double_well()
    points = law.sample(500, key=key)
    energy = Unnormalised(law.energy, 2)
    logs = log_weights(energy, jax.vmap(law.log_density)(points), points)
    assert effective_sample_size(logs) == pytest.approx(1.0, abs=1e-6)
    found = log_normaliser(logs)
    assert found.value == pytest.approx(law.log_normaliser, rel=1e-5)
    assert found.standard_error < 1e-6
    assert reverse_kl(logs).value == pytest.approx(0.0, abs=1e-6)
    mean = reweighted_mean(np.asarray(points[:, 0]), logs)
    assert mean.value == pytest.approx(float(points[:, 0].mean()), abs=1e-4)
    plain = float(points[:, 0].std(ddof=1)) / math.sqrt(500)
    assert mean.standard_error == pytest.approx(plain, rel=1e-4)


def test_one_dominating_weight():
    logs = np.append(np.full(9, -800.0), 0.0)
    assert effective_sample_size(logs) == pytest.approx(0.1)
    assert log_normaliser(logs).value == pytest.approx(-math.log(10))
    assert reweighted_mean(np.arange(10.0), logs) == (9.0, pytest.approx(math.nan, nan_ok=True))
    assert effective_sample_size([5.0]) == 1.0


@pytest.mark.parametrize("shift", [-1e5, 1e5])
def test_weights_beyond_the_range_of_floats(shift):
    x, logs = drawn(0)
    near, far = log_normaliser(logs), log_normaliser(logs + shift)
    assert far.value - shift == pytest.approx(near.value, abs=1e-8)
    assert far.standard_error == pytest.approx(near.standard_error)
    assert effective_sample_size(logs + shift) == pytest.approx(effective_sample_size(logs))
    assert reweighted_mean(x, logs + shift) == pytest.approx(reweighted_mean(x, logs))
    assert reverse_kl(logs + shift) == pytest.approx(reverse_kl(logs))


def test_points_without_weight_count_as_points():
    """Half of the points outside of the target: half of the mean weight and of the fraction."""
    logs = np.array([0.0, 0.0, -np.inf, -np.inf])
    assert effective_sample_size(logs) == 0.5
    assert log_normaliser(logs).value == pytest.approx(math.log(0.5))
    # sd(w) / (mean(w) sqrt n) with w = 1, 1, 0, 0.
    assert log_normaliser(logs).standard_error == pytest.approx(math.sqrt(1 / 3))
    assert reweighted_mean([1.0, 2.0, np.inf, np.nan], logs).value == 1.5
    assert reverse_kl(logs).value == math.inf


@pytest.mark.parametrize(
    ("metric", "exact"),
    [
        (lambda x, logs: log_normaliser(logs), LOG_NORMALISER),
        (lambda x, logs: effective_fraction(logs), 1 / SPREAD),
        (lambda x, logs: reweighted_mean(x, logs), MEAN),
        (lambda x, logs: reweighted_mean(x**2, logs), MEAN**2 + VARIANCE),
        # KL(N(0, 1) || N(m, v)).
        (
            lambda x, logs: reverse_kl(logs),
            0.5 * (math.log(VARIANCE) + (1 + MEAN**2) / VARIANCE - 1),
        ),
    ],
    ids=["normaliser", "effective", "mean", "square", "divergence"],
)
def test_errors_are_calibrated(calibrated, metric, exact):
    # With 4000 points the bias, of order 1/n, is far below the error of 200 replicates' mean.
    calibrated(lambda seed: metric(*drawn(seed, 4000)), 200, exact)


def test_effective_sample_size_of_normal_laws():
    found = effective_sample_size(drawn(0, 200_000)[1])
    assert found == pytest.approx(1 / SPREAD, rel=0.02)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("logs", "words"),
    [
        ([], "with n >="),
        (np.zeros((2, 2)), "pass one number per sample"),
        ([0.0, np.nan, 1.0], "1 of 3 log weights that are NaN or plus infinity"),
        ([0.0, np.inf, np.inf], "2 of 3 log weights"),
        ([-np.inf, -np.inf], "no sample where the target has mass"),
    ],
)
def test_bad_weights_are_refused(metric, logs, words):
    with pytest.raises(ValueError, match=words):
        metric(logs)


def test_bad_values_are_refused(key):
    with pytest.raises(ValueError, match="got 3 values for 2 weights"):
        reweighted_mean([1.0, 2.0, 3.0], [0.0, 0.0])
    with pytest.raises(ValueError, match="1 of 2 values that are NaN or infinite"):
        reweighted_mean([1.0, np.inf], [0.0, 0.0])
    law = double_well()
    with pytest.raises(ValueError, match="got 5 values in `model_log_density` for 6 samples"):
        log_weights(law, jnp.zeros(5), law.sample(6, key=key))
    with pytest.raises(ValueError, match="points with NaN or infinity in `samples`"):
        log_weights(law, jnp.zeros(1), np.array([[np.nan, 0.0]]))
