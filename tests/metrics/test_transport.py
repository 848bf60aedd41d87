"""Wasserstein distances: exact cases, Gaussians, potentials, and calibrated errors."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from mfgen.metrics import _transport, sliced_wasserstein2, wasserstein2


def cloud(seed, n, dim):
    return np.random.default_rng(seed).normal(size=(n, dim))


def test_translation_is_exact():
    x, shift = cloud(0, 50, 3), np.array([1.0, -2.0, 0.5])
    assert wasserstein2(x, x + shift).value == pytest.approx(np.linalg.norm(shift), rel=1e-6)


def test_least_over_all_permutations():
    x, y = cloud(1, 6, 2), cloud(2, 6, 2)
    costs = cdist(x, y) ** 2
    best = min(costs[range(6), list(p)].mean() for p in itertools.permutations(range(6)))
    assert wasserstein2(x, y).value == pytest.approx(math.sqrt(best), rel=1e-6)


def test_on_a_line_it_sorts():
    x, y = cloud(3, 80, 1), 2 * cloud(4, 80, 1)
    # The same points in the plane go through the assignment.
    plane = wasserstein2(np.c_[x, 0 * x], np.c_[y, 0 * y])
    line = wasserstein2(x, y)
    assert line.value == pytest.approx(plane.value, rel=1e-6)
    # Dual solutions of a discrete problem are not unique: errors agree up to a gap of order 1/n.
    assert line.standard_error == pytest.approx(plane.standard_error, rel=0.1)


def test_of_gaussians_on_a_line(within):
    # W2^2 = (difference of means)^2 + (difference of deviations)^2.
    x, y = cloud(5, 2000, 1), 2.0 + 0.5 * cloud(6, 2000, 1)
    within(wasserstein2(x, y), math.sqrt(4.25))


def test_of_gaussians_in_the_plane(within):
    covariance = np.array([[1.5, 0.5], [0.5, 0.8]])
    values = np.linalg.eigvalsh(covariance)
    x, y = cloud(7, 600, 2), cloud(8, 600, 2) @ np.linalg.cholesky(covariance).T + [3.0, -1.0]
    # From the identity the Bures term is the sum of (1 - sqrt(eigenvalue))^2.
    exact = math.sqrt(10.0 + np.sum((1 - np.sqrt(values)) ** 2))
    within(wasserstein2(x, y), exact)


@pytest.mark.parametrize("dim", [1, 2])
def test_error_is_calibrated(calibrated, dim):
    # Around its own mean, which at finite n lies above the distance of the laws.
    def replicate(seed):
        return wasserstein2(cloud((seed, 0), 60, dim), 1.0 + cloud((seed, 1), 60, dim))

    calibrated(replicate, 150, None)


@pytest.mark.usefixtures("x64")
def test_potentials_are_dual():
    x, y = cloud(9, 40, 2), cloud(10, 40, 2) + 1.0
    costs = cdist(x, y, "sqeuclidean")
    matched = costs[:, linear_sum_assignment(costs)[1]]
    phi, psi = _transport._potentials(jnp.asarray(matched))
    slack = matched - phi[:, None] - psi[None, :]
    np.testing.assert_allclose(jnp.diagonal(slack), 0.0, atol=1e-12)
    # The relaxation stops once a step is below a thousandth of the mean cost.
    assert slack.min() >= -1e-3 * np.diag(matched).mean()


@pytest.mark.usefixtures("x64")
def test_potentials_on_a_line_are_dual_for_unequal_sizes():
    x, y = cloud(11, 12, 1)[:, 0], 2 * cloud(12, 9, 1)[:, 0]
    line = jax.jit(lambda x, y: _transport._line(x, y, _transport._pair_levels(12, 9)))
    cost, phi, psi = line(jnp.asarray(x), jnp.asarray(y))
    slack = (x[:, None] - y[None, :]) ** 2 - phi[:, None] - psi[None, :]
    assert slack.min() >= -1e-12
    # No duality gap.
    assert float(cost) == pytest.approx(float(phi.mean() + psi.mean()), rel=1e-12)


def test_sliced_translation(key, within):
    x, shift = cloud(13, 40, 4), np.array([1.0, -2.0, 0.5, 0.0])
    estimate = sliced_wasserstein2(x, x + shift, key=key, projections=2000)
    within(estimate, float(np.linalg.norm(shift)) / 2)


def test_sliced_on_a_line_is_the_distance(key):
    x, y = cloud(14, 30, 1), 2 * cloud(15, 30, 1)
    sliced, exact = sliced_wasserstein2(x, y, key=key, projections=3), wasserstein2(x, y)
    assert sliced == pytest.approx(exact, rel=1e-5)


def test_sliced_of_repeated_points(key):
    # Every point twice is the same law, at another size.
    x, y = cloud(16, 60, 2), cloud(17, 50, 2)
    once = sliced_wasserstein2(x, y, key=key, projections=16)
    twice = sliced_wasserstein2(np.repeat(x, 2, axis=0), y, key=key, projections=16)
    assert twice.value == pytest.approx(once.value, rel=1e-5)


@pytest.mark.parametrize("size", [1.0, 0.01])
def test_sliced_error_is_calibrated(key, calibrated, size):
    # For large clouds the samples dominate, for small ones the directions.
    def replicate(seed):
        x, y = size * cloud((seed, 2), 60, 2), 1.0 + size * cloud((seed, 3), 50, 2)
        return sliced_wasserstein2(x, y, key=jax.random.fold_in(key, seed), projections=16)

    calibrated(replicate, 150, None)


def test_refuses_a_single_direction(key):
    with pytest.raises(ValueError, match="use a few hundred"):
        sliced_wasserstein2(cloud(0, 5, 2), cloud(1, 5, 2), key=key, projections=1)
