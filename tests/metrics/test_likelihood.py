import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities import Gaussian
from mfgen.metrics import kl, mean_log_likelihood, one_shot_error

TRUTH = Gaussian(jnp.array([0.5, -1.0]), jnp.array([0.5, 2.0]))
MODEL = Gaussian(jnp.zeros(2), jnp.eye(2))
# sum over coordinates of (v + m^2 - 1 - log v) / 2.
EXACT = 0.5 * (0.5 + 0.25 - 1 - math.log(0.5) + 2.0 + 1.0 - 1 - math.log(2.0))


def test_kl_of_gaussians(key, within):
    samples = TRUTH.sample(3000, key=key)
    estimate = kl(TRUTH, MODEL.log_density, samples)
    within(estimate, EXACT)
    values = jax.vmap(MODEL.log_density)(samples)
    assert kl(TRUTH, values, samples) == pytest.approx(estimate, rel=1e-5)


def test_kl_error_is_calibrated(key, calibrated):
    def replicate(seed):
        samples = TRUTH.sample(100, key=jax.random.fold_in(key, seed))
        return kl(TRUTH, MODEL.log_density, samples)

    calibrated(replicate, 100, EXACT)


def test_kl_is_zero_at_the_truth_and_infinite_off_support(key):
    samples = TRUTH.sample(100, key=key)
    assert kl(TRUTH, TRUTH.log_density, samples) == (0.0, 0.0)
    estimate = kl(TRUTH, lambda x: jnp.where(x[0] > 0, 0.0, -jnp.inf), samples)
    assert estimate.value == math.inf
    assert math.isnan(estimate.standard_error)


def test_kl_refuses_values_of_other_points(key):
    with pytest.raises(ValueError, match="evaluate both at the same points"):
        kl(TRUTH, jnp.zeros(5), TRUTH.sample(6, key=key))


def test_likelihood_in_original_units(key, within):
    # z = (x - 3) / 2 is N(0, 1): x has density N(3, 4), and minus its entropy as mean.
    z = jax.random.normal(key, (2000,))
    standard = -0.5 * z**2 - 0.5 * math.log(2 * math.pi)
    estimate = mean_log_likelihood(standard, -math.log(2.0))
    within(estimate, -0.5 * math.log(2 * math.pi * math.e * 4.0))


def test_one_shot_error_of_known_numbers():
    reference = np.array([0.0, 1.0, 2.0, 3.0])
    error = one_shot_error(reference + np.array([1.0, 1.0, 3.0, -1.0]), reference)
    assert error.bias.value == pytest.approx(1.0)
    assert error.absolute.value == pytest.approx(1.5)
    assert error.centred.value == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("part", "exact"),
    [
        # Errors are 1 - E for an exponential E of mean 2: skew, so that the bias matters.
        ("bias", -1.0),
        ("absolute", 1.0 + 4.0 * math.exp(-0.5) - 2.0),
        ("centred", 4.0 / math.e),
    ],
)
def test_one_shot_errors_are_calibrated(calibrated, part, exact):
    def replicate(seed):
        errors = 1.0 - np.random.default_rng(seed).exponential(2.0, size=400)
        return getattr(one_shot_error(errors, np.zeros(400)), part)

    calibrated(replicate, 200, exact)
