"""Discrepancies against closed forms for Gaussians, under the null, and their errors."""

import math

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import cdist

from mfgen.metrics import _discrepancy, _pairwise, energy_distance, mmd2
from mfgen.metrics._discrepancy import median_distance

WIDTHS = (0.5, 2.0)


def cloud(seed, n, dim, mean=0.0, scale=1.0):
    return mean + scale * np.random.default_rng(seed).normal(size=(n, dim))


def exact_mmd2(dim, mean, scale):
    """N(0, I) against N(mean 1, scale^2 I): products of Gaussian kernels integrate to Gaussians."""

    def overlap(width, variance, shift):
        spread = 1 + variance / width**2
        return spread ** (-dim / 2) * math.exp(-dim * shift**2 / (2 * (width**2 + variance)))

    terms = [
        overlap(b, 2.0, 0) + overlap(b, 2 * scale**2, 0) - 2 * overlap(b, 1 + scale**2, mean)
        for b in WIDTHS
    ]
    return sum(terms) / len(terms)


def exact_energy(mean, scale):
    """N(0, 1) against N(mean, scale^2), by E|Z| of a normal Z."""

    def absolute(shift, deviation):
        ratio = shift / (deviation * math.sqrt(2))
        bell = deviation * math.sqrt(2 / math.pi) * math.exp(-(ratio**2))
        return bell + shift * math.erf(ratio)

    across = absolute(mean, math.hypot(1, scale))
    return 2 * across - absolute(0, math.sqrt(2)) - absolute(0, scale * math.sqrt(2))


@pytest.mark.parametrize(("dim", "mean", "scale"), [(1, 0.7, 1.0), (3, 0.2, 1.5)])
def test_mmd_of_gaussians(within, dim, mean, scale):
    x, y = cloud(0, 1500, dim), cloud(1, 1200, dim, mean, scale)
    within(mmd2(x, y, bandwidths=WIDTHS), exact_mmd2(dim, mean, scale))


@pytest.mark.parametrize(("mean", "scale"), [(0.7, 1.0), (0.0, 1.5)])
def test_energy_distance_of_gaussians(within, mean, scale):
    x, y = cloud(2, 1500, 1), cloud(3, 1200, 1, mean, scale)
    within(energy_distance(x, y), exact_energy(mean, scale))


@pytest.mark.parametrize(("mean", "scale"), [(0.0, 1.0), (0.5, 1.0), (1.5, 1.0)])
@pytest.mark.parametrize("metric", ["mmd", "energy"])
def test_unbiased_with_errors_that_cover(covered, metric, mean, scale):
    # From equal laws, where the second order is all there is, to distant ones. Between them, where
    # the estimate and its variance are low together, the spread itself covers 82 to 86 %.
    def replicate(seed):
        x, y = cloud((seed, 0), 60, 1), cloud((seed, 1), 40, 1, mean, scale)
        return mmd2(x, y, bandwidths=WIDTHS) if metric == "mmd" else energy_distance(x, y)

    exact = exact_mmd2(1, mean, scale) if metric == "mmd" else exact_energy(mean, scale)
    estimates = [replicate(seed) for seed in range(300)]
    values = np.array([estimate.value for estimate in estimates])
    assert abs(values.mean() - exact) <= 4 * values.std(ddof=1) / math.sqrt(300)
    covered(estimates, exact, cautious=mean == 0)


def test_second_order_is_that_of_the_centred_matrices():
    # By the definition: U-centring, with n - 2 and its kin in place of n, and double centring.
    x, y = cloud(10, 8, 2), cloud(11, 6, 2, 1.0)
    within = []
    for points in (x, y):
        n, table = len(points), -cdist(points, points)
        sums = table.sum(axis=1)
        centred = table - (sums[:, None] + sums[None, :]) / (n - 2)
        centred += table.sum() / ((n - 1) * (n - 2))
        np.fill_diagonal(centred, 0.0)
        within.append(np.sum(centred**2) / (n * (n - 3)))
    table = -cdist(x, y)
    centred = table - table.mean(axis=0, keepdims=True) - table.mean(axis=1, keepdims=True)
    across = np.sum((centred + table.mean()) ** 2) / (7 * 5)
    expected = 2 * within[0] / 56 + 2 * within[1] / 30 + 4 * across / 48

    assert _discrepancy._second_order(*tables(_discrepancy._negative_distance, x, y)) == (
        pytest.approx(expected, rel=1e-4)
    )


def test_variance_is_unbiased_for_equal_laws():
    # One kernel of width 1 on N(0, 1): moments of k and of its projection are Gaussian integrals.
    projection = 0.5 * (1 + 2 / 2) ** -0.5
    spread = (1 + 4) ** -0.5 - 2 * projection + 1 / (1 + 2)
    exact = spread * (2 / (60 * 59) + 2 / (40 * 39) + 4 / (60 * 40))
    kernel = _discrepancy._GaussianKernel(jnp.ones(1))
    variances = []
    for seed in range(300):
        x, y = cloud((seed, 0), 60, 1), cloud((seed, 1), 40, 1)
        rows = tables(kernel, x, y)
        second = _discrepancy._second_order(*rows)
        spread = _discrepancy._spread(*rows)
        variances.append(spread - second)
    mean = lambda a, b: np.exp(-0.5 * cdist(a, b, "sqeuclidean")).mean()
    kept = mean(x, x) + mean(y, y) - 2 * mean(x, y)
    reported = mmd2(x, y, bandwidths=(1.0,)).standard_error ** 2
    assert reported == pytest.approx(max(spread, second) + (spread / kept) ** 2, rel=1e-4)
    assert abs(np.mean(variances) - exact) <= 4 * np.std(variances, ddof=1) / math.sqrt(300)


def tables(kernel, x, y):
    x, y = jnp.asarray(x), jnp.asarray(y)
    within = [_discrepancy._rows(kernel, points, points, alone=True) for points in (x, y)]
    return within, [_discrepancy._rows(kernel, x, y), _discrepancy._rows(kernel, y, x)]


def test_energy_distance_is_the_double_sum_in_chunks(monkeypatch):
    # Two or three rows at once, with a rest.
    monkeypatch.setattr(_pairwise, "_ENTRIES", 23)
    x, y = cloud(4, 9, 2), cloud(5, 7, 2, 1.0)
    mean_x = cdist(x, x).sum() / (9 * 8)
    mean_y = cdist(y, y).sum() / (7 * 6)
    expected = 2 * cdist(x, y).mean() - mean_x - mean_y
    assert energy_distance(x, y).value == pytest.approx(expected, rel=1e-5)


def test_far_from_the_origin_nothing_is_lost():
    x, y = cloud(6, 200, 2), cloud(7, 200, 2, 0.5)
    near, far = energy_distance(x, y), energy_distance(x + 1e4, y + 1e4)
    assert far.value == pytest.approx(near.value, rel=1e-4)


def test_median_distance():
    points = np.array([[0.0, 0.0], [3.0, 4.0], [3.0, 0.0]]) + 100.0
    assert median_distance(points) == pytest.approx(4.0, rel=1e-5)


def test_refuses_bandwidths_that_are_not_widths():
    with pytest.raises(ValueError, match="pass widths in the units of the points"):
        mmd2(cloud(0, 5, 1), cloud(1, 5, 1), bandwidths=(1.0, 0.0))
