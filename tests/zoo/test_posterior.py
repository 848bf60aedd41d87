"""The posterior of real data: its size, and its normaliser by two proposals that must agree."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.data import breast_cancer
from mfgen.densities import Gaussian, GaussianMixture, laplace
from mfgen.densities._energy import check_energy
from mfgen.densities._logistic import Logistic
from mfgen.metrics import effective_sample_size, log_normaliser, log_weights
from mfgen.zoo import breast_cancer_posterior


@pytest.fixture(scope="module")
def approximation():
    return laplace(breast_cancer_posterior(0.5))


def test_it_has_a_coefficient_for_each_feature_and_an_intercept(key):
    posterior = breast_cancer_posterior()
    assert posterior.dim == 31
    check_energy("posterior", posterior.energy, jax.random.normal(key, (100, 31)))
    # All labels are as likely at theta = 0.
    count = len(breast_cancer().train)
    expected = -count * np.log(2)
    assert posterior.log_density(jnp.zeros(31)) == pytest.approx(expected, rel=1e-5)


def test_its_mode_predicts_the_test_data(approximation):
    data = breast_cancer()
    held_out = Logistic(data.test, data.labels.test)
    assert jnp.mean(held_out.log_likelihood(approximation.mean) > -np.log(2)) > 0.9


def test_the_prior_bounds_the_coefficients(approximation):
    variances = np.linalg.eigvalsh(np.asarray(approximation.moments()[1]))
    assert 0 < variances[0] < variances[-1] <= 0.5**2 * (1 + 1e-3)


@pytest.mark.slow
def test_the_normaliser_does_not_depend_on_the_proposal(approximation, key):
    """Proposals with wider tails than the Laplace approximation, of two kinds."""
    posterior, n = breast_cancer_posterior(0.5), 20_000
    mean, covariance = approximation.moments()
    both = jnp.stack([covariance, 1.2**2 * covariance])
    proposals = [
        GaussianMixture([0.5, 0.5], jnp.stack([mean, mean]), both),
        Gaussian(mean, 1.1**2 * covariance),
    ]
    found = []
    for proposal in proposals:
        points = proposal.sample(n, key=key)
        logs = log_weights(posterior, proposal.log_density, points)
        assert effective_sample_size(logs) > 0.1
        found.append(log_normaliser(logs))
    first, second = found
    error = np.hypot(first.standard_error, second.standard_error)
    assert error < 0.05
    assert abs(first.value - second.value) < 4 * error
    # The Laplace approximation of log Z is close in this posterior, and below.
    crude = posterior.log_density(mean) - approximation.log_density(mean)
    assert abs(crude - first.value) < 0.2
