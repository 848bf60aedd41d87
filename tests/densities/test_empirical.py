"""A data set as a law: resampled, and noised into an exact mixture."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from mfgen.densities import Empirical
from mfgen.densities._base import expectation

POINTS = np.array([[0.0, 1.0], [2.0, -1.0], [4.0, 3.0]], np.float32)


def test_samples_are_data_points_equally_often(key):
    n = 9000
    samples = np.asarray(Empirical(POINTS).sample(n, key=key))
    counts = [np.all(samples == point, axis=1).sum() for point in POINTS]
    assert sum(counts) == n
    assert np.all(abs(np.array(counts) - n / 3) < 4 * np.sqrt(n * 2 / 9))


def test_moments_and_particles_are_those_of_the_data():
    law = Empirical(POINTS)
    mean, covariance = law.moments()
    np.testing.assert_allclose(mean, POINTS.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(covariance, np.cov(POINTS.T, ddof=0), rtol=1e-5)
    np.testing.assert_allclose(expectation(law, lambda x: x[0] ** 3), 72.0 / 3, rtol=1e-6)


def test_noised_law_is_the_mixture_over_the_data():
    x = jnp.array([0.5, 0.3])
    value = jax.jit(lambda s: Empirical(POINTS).noised(0.5, s).log_density(x))(0.7)
    densities = norm.pdf(np.asarray(x)[None, :], 0.5 * POINTS, 0.7).prod(axis=1)
    np.testing.assert_allclose(value, np.log(densities.mean()), rtol=1e-5)


@pytest.mark.parametrize("points", [np.zeros(3), np.zeros((0, 2))])
def test_empirical_refuses(points):
    with pytest.raises(ValueError, match=r"`Empirical` got points of shape .*non-empty matrix"):
        Empirical(points)
