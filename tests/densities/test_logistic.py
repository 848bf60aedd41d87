"""Logistic regression against quadrature, with points proposed by the Laplace approximation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities import Gaussian, Unnormalised, double_well, laplace, logistic_posterior
from mfgen.densities._logistic import Logistic
from mfgen.math._quadrature import box_rule
from mfgen.metrics import log_normaliser, log_weights
from mfgen.metrics._importance import reweighted_mean

RNG = np.random.default_rng(3)
FEATURES = RNG.normal(size=(25, 1))
LABELS = (RNG.uniform(size=25) < 1 / (1 + np.exp(-1.5 * FEATURES[:, 0] + 0.5))).astype(int)
SCALE = 2.0


@pytest.fixture(scope="module")
def exact():
    """log Z and the mean of theta, by a rule on a box of over six deviations around the mode."""
    rule = box_rule([(-8.0, 12.0), (-10.0, 10.0)], 50, n=6)
    z = rule.nodes @ np.append(FEATURES, np.ones((25, 1)), axis=1).T
    signs = 2 * LABELS[None, :] - 1
    prior = np.sum(rule.nodes**2, axis=1) / (2 * SCALE**2)
    mass = rule.weights * np.exp(-np.logaddexp(0.0, -signs * z).sum(axis=1) - prior)
    return np.log(mass.sum()), mass @ rule.nodes / mass.sum()


def test_the_energy_is_that_of_the_model():
    """log P(y) by the definition of the logistic function, and the prior."""
    theta = np.array([0.7, -0.3])
    chance = 1 / (1 + np.exp(-(FEATURES[:, 0] * theta[0] + theta[1])))
    logs = np.log(np.where(LABELS == 1, chance, 1 - chance))
    energy = Logistic(FEATURES, LABELS, SCALE)
    np.testing.assert_allclose(energy.log_likelihood(jnp.asarray(theta)), logs, rtol=1e-5)
    expected = -logs.sum() + theta @ theta / (2 * SCALE**2)
    assert energy(jnp.asarray(theta)) == pytest.approx(expected, rel=1e-5)


def test_the_normaliser_and_the_mean_agree_with_quadrature(exact, key):
    posterior = logistic_posterior(FEATURES, LABELS, SCALE)
    proposal = laplace(posterior)
    points = proposal.sample(4000, key=key)
    logs = log_weights(posterior, proposal.log_density, points)
    found = log_normaliser(logs)
    assert found.standard_error < 0.02
    assert abs(found.value - exact[0]) < 4 * found.standard_error
    for axis in range(2):
        mean = reweighted_mean(np.asarray(points[:, axis]), logs)
        assert abs(mean.value - exact[1][axis]) < 4 * mean.standard_error


def test_energies_stay_finite_far_away():
    energy = Logistic(FEATURES, LABELS, SCALE)
    value, slope = jax.value_and_grad(energy)(jnp.array([1e6, -1e6]))
    assert np.isfinite(value)
    assert np.isfinite(slope).all()


def test_laplace_is_exact_for_a_normal_law():
    normal = Gaussian([5.0, -3.0], [[2.0, 0.7], [0.7, 0.5]])
    found = laplace(Unnormalised(lambda x: -normal.log_density(x) - 4.0, 2))
    for one, other in zip(found.moments(), normal.moments(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4)
    # log Z ~ log pi(m) - log q(m), here 4.
    at_mode = 4.0 + normal.log_density(found.mean) - found.log_density(found.mean)
    assert at_mode == pytest.approx(4.0, rel=1e-4)


def test_laplace_finds_the_mode_on_its_side():
    law = double_well()
    for start in (-0.5, 0.5):
        mode = laplace(law, jnp.array([start, 1.0])).mean
        assert np.sign(mode[0]) == np.sign(start)
        np.testing.assert_allclose(jax.grad(law.energy)(mode), np.zeros(2), atol=1e-2)


def test_laplace_refuses_what_has_no_mode():
    symmetric = double_well(2, 1.0, -6.0, 0.0)
    with pytest.raises(ValueError, match="stationary point that is no mode"):
        laplace(symmetric)
    with pytest.raises(ValueError, match=r"found no mode.*pass a `start`"):
        laplace(Unnormalised(lambda x: x[0] + x[1] ** 2, 2))


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"features of shape \(25,\)"):
        logistic_posterior(FEATURES[:, 0], LABELS)
    with pytest.raises(ValueError, match="all finite"):
        logistic_posterior(np.where(FEATURES > 1, np.nan, FEATURES), LABELS)
    with pytest.raises(ValueError, match="expected 25 of them, each 0 or 1"):
        logistic_posterior(FEATURES, LABELS[:-1])
    with pytest.raises(ValueError, match="expected 25 of them, each 0 or 1"):
        logistic_posterior(FEATURES, 2 * LABELS - 1)
    with pytest.raises(ValueError, match="without a prior"):
        logistic_posterior(FEATURES, LABELS, 0.0)
