"""The HJB residual of potentials that solve the equation, or fail to in a known way."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities import GaussianMixture, isotropic
from mfgen.dynamics import VE, VP, SubVP
from mfgen.metrics import hjb_error, hjb_profile
from mfgen.models import Potential
from mfgen.zoo import score_based

MIXTURE = GaussianMixture([0.3, 0.7], [[-1.0, 0.0], [1.0, 1.0]], [0.2, 0.4])
TIMES = jnp.array([0.1, 0.5, 0.9])
GAUGE = 0.25


def exact(noising, truth):
    def value(t, x):
        s = noising.horizon - t
        return -truth.noised(noising.signal(s), noising.noise(s)).log_density(x)

    return value


def gauged(noising, truth):
    """The solution plus GAUGE log kappa: off by GAUGE nats per e-fold of noise, everywhere."""
    solution = exact(noising, truth)

    def value(t, x):
        return solution(t, x) + GAUGE * jnp.log(noising.ratio(noising.horizon - t))

    return Potential(value)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("noising", [VP(), VE(), SubVP()], ids=lambda n: type(n).__name__)
def test_profiles_of_the_solution_and_of_a_gauge(key, noising):
    truth = GaussianMixture(np.array([0.3, 0.7]), np.array([[-1.0], [1.0]]), np.array([0.2, 0.4]))
    game, data = score_based(noising, truth), truth.sample(20, key=key)
    zero = hjb_profile(game, Potential(exact(noising, truth)), data, TIMES, key=key)
    np.testing.assert_allclose(zero.value, 0.0, atol=1e-9)
    wrong = hjb_profile(game, gauged(noising, truth), data, TIMES, key=key)
    np.testing.assert_allclose(wrong.value, GAUGE, rtol=1e-8)
    np.testing.assert_allclose(wrong.times, TIMES)


def test_linear_perturbation(key):
    # Data N(0, I) under VP stay N(0, I), so U = |x|^2/2 and U + q.x has the residual
    # beta (q.x + |q|^2) / 2, that is sigma^2 (q.x + |q|^2) per unit of log kappa.
    noising, slope = VP(), jnp.array([0.6, -0.3])
    truth = isotropic(jnp.zeros(2), 1.0)
    solution = exact(noising, truth)
    model = Potential(lambda t, x: solution(t, x) + slope @ x)
    game, data = score_based(noising, truth), truth.sample(3000, key=key)
    square = float(slope @ slope)
    profile = hjb_profile(game, model, data, TIMES, key=key)
    sigma = np.asarray(jax.vmap(noising.noise)(noising.horizon - TIMES))
    expected = sigma**2 * np.sqrt(square + square**2)
    gap = np.abs(np.asarray(profile.value) - expected)
    assert np.all(gap <= 4 * np.asarray(profile.standard_error))


def test_error_of_a_gauge(key):
    noising = VE(0.1, 5.0)
    game, data = score_based(noising, MIXTURE), MIXTURE.sample(16, key=key)
    error = hjb_error(game, gauged(noising, MIXTURE), data, n=64, key=key)
    assert float(error.value) == pytest.approx(GAUGE, rel=1e-3)


def test_refuses_times_outside_the_game(key):
    game, data = score_based(VP(), MIXTURE), MIXTURE.sample(8, key=key)
    with pytest.raises(ValueError, match="`hjb_profile` got times"):
        hjb_profile(game, gauged(VP(), MIXTURE), data, [-0.5], key=key)


MIXTURE = GaussianMixture([0.3, 0.7], [[-1.0, 0.0], [1.0, 1.0]], [0.2, 0.4])


def test_error_of_a_drifting_gauge_is_calibrated(key, calibrated):
    """The solution plus (log kappa)^2 / 8 is off by (log kappa) / 4; times are stratified."""
    noising = VE(0.1, 5.0)
    game, data = score_based(noising, MIXTURE), MIXTURE.sample(16, key=key)

    def value(t, x):
        s = noising.horizon - t
        gauge = 0.125 * jnp.square(jnp.log(noising.ratio(s)))
        return gauge - MIXTURE.noised(noising.signal(s), noising.noise(s)).log_density(x)

    low, high = np.log(0.1), np.log(5.0)
    calibrated(
        lambda seed: hjb_error(game, Potential(value), data, 32, key=jax.random.fold_in(key, seed)),
        100,
        0.25 * np.sqrt((high**3 - low**3) / (3 * (high - low))),
    )
