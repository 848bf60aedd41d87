"""A density in coordinates where a normal law is standard: values, samples, the same integral."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities import Gaussian, Unnormalised, laplace
from mfgen.densities._whitened import Whitened

MEAN = jnp.array([3.0, -200.0])
COVARIANCE = jnp.array([[0.04, 1.1], [1.1, 64.0]])
LAW = Gaussian(MEAN, COVARIANCE)
STANDARD = Whitened(LAW, MEAN, jnp.linalg.cholesky(COVARIANCE))


def test_a_normal_law_becomes_standard(key):
    points = jax.random.normal(key, (20, 2))
    found = jax.vmap(STANDARD.log_density)(points)
    exact = jax.vmap(Gaussian(jnp.zeros(2), jnp.ones(2)).log_density)(points)
    np.testing.assert_allclose(found, exact, rtol=1e-3)
    mean, covariance = STANDARD.moments()
    np.testing.assert_allclose(mean, 0.0, atol=1e-3)
    np.testing.assert_allclose(covariance, jnp.eye(2), atol=1e-3)
    drawn = STANDARD.sample(4000, key=key)
    assert jnp.max(jnp.abs(jnp.cov(drawn.T) - jnp.eye(2))) < 4 * (2 / 4000) ** 0.5


def test_the_integral_of_an_energy_stays(key):
    """log Z of V = |x - m|^2_C / 2 is log(2 pi) + log det C / 2, in whatever coordinates."""
    with jax.enable_x64(True):
        precision = np.linalg.inv(np.asarray(COVARIANCE, float))
        mean = np.asarray(MEAN, float)
        energy = lambda x: 0.5 * (x - mean) @ precision @ (x - mean)
        target = Unnormalised(energy, 2)
        near = laplace(target, jnp.asarray(mean) + 0.1)
        white = Whitened(target, near.mean, jnp.linalg.cholesky(near.moments()[1]))
        found = white.log_density(jnp.zeros(2)) + np.log(2 * np.pi)
        exact = np.log(2 * np.pi) + 0.5 * np.linalg.slogdet(np.asarray(COVARIANCE, float))[1]
        np.testing.assert_allclose(found, exact, rtol=1e-8)


def test_particles_move_with_the_coordinates(key):
    points, weights = STANDARD.particles()
    original, same = LAW.particles()
    np.testing.assert_array_equal(weights, same)
    back = MEAN[None] + points @ jnp.linalg.cholesky(COVARIANCE).T
    np.testing.assert_allclose(back, original, rtol=1e-3)


def test_what_is_no_factor_is_refused():
    with pytest.raises(ValueError, match=r"factor of shape \(3, 3\), expected \(2,\) and \(2, 2\)"):
        Whitened(LAW, MEAN, jnp.eye(3))
    with pytest.raises(ValueError, match="not lower triangular with a positive diagonal"):
        Whitened(LAW, MEAN, COVARIANCE)
