"""The normal law by its Cholesky factor: the same law as by eigenvectors, smooth everywhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities import CholeskyGaussian, Gaussian
from mfgen.densities._base import expectation

pytestmark = pytest.mark.usefixtures("x64")
MEAN, COVARIANCE = np.array([0.4, -1.0]), np.array([[0.5, 0.2], [0.2, 0.3]])


def test_the_same_law_as_by_eigenvectors(key):
    law, other = CholeskyGaussian(MEAN, COVARIANCE), Gaussian(MEAN, COVARIANCE)
    x = jnp.array([0.1, 0.7])
    assert jnp.allclose(law.log_density(x), other.log_density(x), rtol=1e-12)
    noised = [one.noised(0.7, 0.4).log_density(x) for one in (law, other)]
    assert jnp.allclose(*noised, rtol=1e-12)
    moments = expectation(law, lambda x: jnp.outer(x - MEAN, x - MEAN))
    assert jnp.allclose(moments, COVARIANCE, atol=1e-12)
    samples = law.sample(20_000, key=key)
    error = 4 * np.sqrt(2 / len(samples)) * 0.5
    assert jnp.allclose(jnp.cov(samples.T), COVARIANCE, atol=error)


def test_it_has_a_derivative_where_eigenvalues_meet():
    """d log N(x; 0, I + h D) / dh = (x.D x - tr D) / 2 at h = 0, D not diagonal."""
    change = jnp.array([[0.3, 0.5], [0.5, -0.1]])
    x = jnp.array([1.0, 2.0])
    log = lambda h: CholeskyGaussian(jnp.zeros(2), jnp.eye(2) + h * change).log_density(x)
    assert jnp.allclose(jax.grad(log)(0.0), 0.5 * (x @ change @ x - jnp.trace(change)), rtol=1e-12)


@pytest.mark.parametrize(
    ("mean", "covariance", "message"),
    [
        (MEAN, np.eye(3), "shape"),
        (MEAN, np.diag([1.0, -1.0]), "not positive definite"),
        (MEAN, np.array([[1.0, 0.5], [0.0, 1.0]]), "asymmetric"),
    ],
)
def test_what_is_no_covariance_is_refused(mean, covariance, message):
    with pytest.raises(ValueError, match=message):
        CholeskyGaussian(mean, covariance)
