"""Scores and integrals that every density inherits from its interface."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities import Empirical, Gaussian
from mfgen.densities._base import (
    expectation,
    sampled_particles,
    score,
    weighted_moments,
)


def test_score_of_a_gaussian_is_minus_precision_times_offset(x64):
    covariance = np.array([[2.0, 0.3], [0.3, 1.0]])
    density = Gaussian([1.0, -2.0], covariance)
    x = jnp.array([0.4, 0.7])
    expected = -np.linalg.solve(covariance, np.array(x) - [1.0, -2.0])
    np.testing.assert_allclose(score(density)(x), expected, rtol=1e-12)


def test_expectation_integrates_a_pytree_of_polynomials_exactly(x64):
    density = Gaussian([1.0, -2.0], [4.0, 9.0])
    values = expectation(density, lambda x: {"mean": x, "fourth": (x[0] - 1.0) ** 4})
    np.testing.assert_allclose(values["mean"], [1.0, -2.0], rtol=1e-12)
    np.testing.assert_allclose(values["fourth"], 3 * 4.0**2, rtol=1e-12)


def test_sampled_particles_and_moments_are_within_their_standard_error():
    n = 4096
    density = Gaussian([1.0, -2.0], [4.0, 9.0])
    points, weights = sampled_particles(density, n)
    assert points.shape == (n, 2)
    np.testing.assert_allclose(weights.sum(), 1.0, rtol=1e-5)
    mean, covariance = weighted_moments(points, weights)
    assert np.all(abs(mean - jnp.array([1.0, -2.0])) < 4 * np.array([2.0, 3.0]) / np.sqrt(n))
    # The variance of a sample variance of a Gaussian is 2 var^2 / n, of a covariance var1 var2 / n.
    error = 4 * np.array([[np.sqrt(2) * 4, 6], [6, np.sqrt(2) * 9]]) / np.sqrt(n)
    assert np.all(abs(covariance - jnp.diag(jnp.array([4.0, 9.0]))) < error)


def test_weighted_moments_match_numpy(key):
    points = jax.random.normal(key, (7, 3))
    weights = jax.nn.softmax(jnp.arange(7.0))
    mean, covariance = weighted_moments(points, weights)
    np.testing.assert_allclose(mean, np.average(points, axis=0, weights=weights), rtol=1e-5)
    expected = np.cov(points.T, aweights=weights, ddof=0)
    np.testing.assert_allclose(covariance, expected, rtol=1e-4, atol=1e-6)


def test_moments_far_from_zero_are_those_near_it():
    # 20,000 points at 16384: about the origin their sum alone is rounded by more than they vary.
    points = np.round(64 * np.random.default_rng(0).normal(size=(20_000, 2))) / 64
    mean, covariance = Empirical(points + 16384.0).moments()
    np.testing.assert_allclose(mean - 16384.0, points.mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(covariance, np.cov(points.T, bias=True), atol=1e-5)


def test_moments_are_of_the_normalised_weights():
    points, weights = jnp.asarray([[0.0], [1.0], [3.0]]), jnp.asarray([0.25, 0.25, 0.5])
    mean, covariance = weighted_moments(points, weights)
    assert (float(mean[0]), float(covariance[0, 0])) == pytest.approx((1.75, 1.6875))
