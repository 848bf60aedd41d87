"""Standardisation: inverse, moments, and likelihoods in original units."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from mfgen.data import Standardise, Whiten

SAMPLES = np.random.default_rng(0).normal(size=(500, 3)) * [1.0, 10.0, 0.1] + [5.0, -1e4, 0.0]


def test_each_feature_gets_mean_zero_and_unit_variance():
    scaled = Standardise.fit(SAMPLES).apply(SAMPLES)
    np.testing.assert_allclose(scaled.mean(axis=0), 0.0, atol=1e-10)
    np.testing.assert_allclose(scaled.std(axis=0), 1.0, rtol=1e-10)


def test_a_shared_scale_keeps_ratios_of_distances():
    scaling = Standardise.fit(SAMPLES, shared=True)
    scaled = scaling.apply(SAMPLES)
    np.testing.assert_allclose(scaled.var(axis=0).mean(), 1.0, rtol=1e-10)
    ratio = np.linalg.norm(SAMPLES[0] - SAMPLES[1]) / np.linalg.norm(scaled[0] - scaled[1])
    np.testing.assert_allclose(ratio, scaling.scale[0], rtol=1e-8)


@pytest.mark.parametrize("shared", [False, True])
def test_invert_undoes_apply(shared):
    scaling = Standardise.fit(SAMPLES, shared=shared)
    np.testing.assert_allclose(scaling.invert(scaling.apply(SAMPLES)), SAMPLES, rtol=1e-10)


def test_log_jacobian_takes_densities_to_original_units():
    scaling = Standardise(np.array([1.0, -2.0]), np.array([3.0, 0.5]))
    x = np.array([[2.0, -1.5]])
    scaled = norm.logpdf(scaling.apply(x)).sum() + scaling.log_jacobian
    np.testing.assert_allclose(scaled, norm.logpdf(x, [1.0, -2.0], [3.0, 0.5]).sum(), rtol=1e-12)


def test_precision_and_kind_of_samples_are_kept():
    scaling = Standardise.fit(SAMPLES)
    assert scaling.apply(SAMPLES.astype(np.float32)).dtype == np.float32
    batch = scaling.invert(jnp.zeros((2, 3)))
    np.testing.assert_allclose(batch, np.stack([scaling.mean] * 2), rtol=1e-6)


def test_a_constant_feature_is_refused():
    samples = SAMPLES.copy()
    samples[:, 2] = 4.0
    with pytest.raises(ValueError, match=r"`Standardise` got .* constant in feature 2.*drop"):
        Standardise.fit(samples)


def test_what_is_far_from_the_fit_is_counted_and_the_farthest_is_named():
    scaling = Standardise(np.array([1.0, -5.0]), np.array([2.0, 0.1]))
    samples = np.array([[1.0, -5.0], [1.0, -5.0 + 0.1 * 30], [1.0 - 2 * 25, -5.0], [9.0, -5.1]])
    found = scaling.outside(samples)
    assert found[:3] == (2, 1, 1)
    assert found.deviations == pytest.approx(30)
    assert scaling.outside(samples, deviations=3.0).rows == 3
    assert scaling.outside(samples[:1]).rows == 0
    assert scaling.outside(samples[:0]) == (0, 0, 0, 0.0)


def test_samples_of_the_fit_itself_are_never_farther_than_the_root_of_their_number():
    samples = np.zeros((300, 1))
    samples[7] = 1e6
    found = Standardise.fit(samples).outside(samples, deviations=17.0)
    assert (found.rows, found.row) == (1, 7)
    assert found.deviations <= np.sqrt(300)


def test_whitening_goes_back_and_knows_its_jacobian():
    rng = np.random.default_rng(0)
    factor = np.array([[0.5, 0.0], [3.0, 7.0]])
    scaling = Whiten(np.array([1.0, -20.0]), factor)
    z = rng.normal(size=(5, 2))
    np.testing.assert_allclose(scaling.apply(scaling.invert(z)), z, atol=1e-12)
    np.testing.assert_allclose(
        np.cov(scaling.invert(rng.normal(size=(9999, 2))).T)[1, 1], 58, rtol=0.1
    )
    assert scaling.log_jacobian == pytest.approx(-np.log(3.5))
