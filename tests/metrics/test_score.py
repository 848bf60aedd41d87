"""The Girsanov bound for scores that are wrong in a known way."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.costs import Kinetic
from mfgen.densities import Gaussian, GaussianMixture
from mfgen.densities import _base as density
from mfgen.dynamics import VE, VP, Integrator, SubVP
from mfgen.functionals import CrossEntropy
from mfgen.games import MFG
from mfgen.metrics import girsanov_bound, score_error, score_profile
from mfgen.metrics._stratified import stratified_estimate, stratified_times
from mfgen.models import VectorField
from mfgen.zoo import score_based

TRUTH = Gaussian(jnp.array([1.0, -0.5]), jnp.array([[0.5, 0.2], [0.2, 1.5]]))
MIXTURE = GaussianMixture([0.3, 0.7], [[-1.0, 0.0], [1.0, 1.0]], [0.2, 0.4])
OFFSET = jnp.array([0.6, -0.8])


def shifted(noising, truth, offset):
    """The exact score plus a constant vector, as a model."""

    def costate(t, x):
        s = noising.horizon - t
        exact = density.score(truth.noised(noising.signal(s), noising.noise(s)))(x)
        return -(exact + offset)

    return VectorField(costate)


def squared_diffusion(noising):
    """The integral of g^2 ds over the game, by a fine midpoint rule."""
    edges = np.linspace(noising.start, noising.horizon, 20001)
    middles = jnp.asarray((edges[1:] + edges[:-1]) / 2)
    return float(jnp.sum(jax.vmap(noising.diffusion)(middles) ** 2)) * (edges[1] - edges[0])


@pytest.mark.parametrize("noising", [VP(), VE(), SubVP()], ids=lambda n: type(n).__name__)
def test_bound_of_a_constant_offset(key, within, noising):
    game = score_based(noising, TRUTH)
    bound = girsanov_bound(game, shifted(noising, TRUTH, OFFSET), TRUTH, key=key)
    # |offset|^2 = 1.
    exact = 0.5 * squared_diffusion(noising)
    within(bound, exact)
    assert bound.standard_error < 1e-3 * exact


def test_bound_is_the_range_times_the_error(key):
    noising = VE(0.05, 5.0)
    game, model = score_based(noising, TRUTH), shifted(noising, TRUTH, OFFSET)
    bound = girsanov_bound(game, model, TRUTH, n=512, key=key)
    error = score_error(game, model, TRUTH, n=512, key=key)
    assert float(bound.value) == pytest.approx(np.log(100.0) * float(error.value), rel=1e-5)


def test_exact_score_has_no_error(key):
    game = score_based(VP(), MIXTURE)
    error = score_error(game, shifted(VP(), MIXTURE, 0.0), MIXTURE, n=256, key=key)
    assert float(error.value) < 1e-9


def test_profile_of_a_constant_offset(key):
    noising = VP()
    s = jnp.array([0.05, 0.3, 0.9])
    profile = score_profile(
        score_based(noising, TRUTH),
        shifted(noising, TRUTH, OFFSET),
        TRUTH,
        noising.horizon - s,
        n=64,
        key=key,
    )
    np.testing.assert_allclose(profile.value, jax.vmap(noising.noise)(s) ** 2, rtol=1e-4)
    np.testing.assert_allclose(profile.standard_error, 0.0, atol=1e-5)


def test_data_are_noised_by_the_truth(key, within):
    # The zero score errs by sigma^2 E|grad log eta|^2 = sigma^2 tr C^-1 for a Gaussian eta.
    noising, s = VP(), 0.3
    game, zero = score_based(noising, TRUTH), VectorField(lambda t, x: jnp.zeros_like(x))
    profile = score_profile(game, zero, TRUTH, [noising.horizon - s], n=4000, key=key)
    signal, noise = float(noising.signal(s)), float(noising.noise(s))
    covariance = signal**2 * np.asarray(TRUTH.moments()[1]) + noise**2 * np.eye(2)
    exact = noise**2 * np.trace(np.linalg.inv(covariance))
    assert abs(float(profile.value[0]) - exact) <= 4 * float(profile.standard_error[0])


def test_stratified_error_is_calibrated(key, calibrated):
    # The mean of log kappa is the middle of its range; one draw less per stratum would be biased.
    noising = VE(0.05, 5.0)

    def replicate(seed):
        times = stratified_times(noising, 16, key=jax.random.fold_in(key, seed))
        ratios = jax.vmap(noising.ratio)(noising.horizon - times)
        return stratified_estimate(jnp.log(ratios))

    calibrated(replicate, 100, 0.5 * (np.log(0.05) + np.log(5.0)))


def test_refuses_what_is_no_score_game(key):
    game = MFG(Integrator(sigma=1.0), Kinetic(), CrossEntropy(TRUTH))
    with pytest.raises(
        TypeError, match=r"`girsanov_bound` got a game .*build it with `score_based`"
    ):
        girsanov_bound(game, shifted(VP(), TRUTH, OFFSET), TRUTH, key=key)


def test_refuses_odd_numbers_and_times_outside(key):
    game, model = score_based(VP(), TRUTH), shifted(VP(), TRUTH, OFFSET)
    with pytest.raises(ValueError, match="pass n = 8"):
        score_error(game, model, TRUTH, n=7, key=key)
    with pytest.raises(ValueError, match=r"pass t = noising.horizon - s"):
        score_profile(game, model, TRUTH, [1.5], key=key)
