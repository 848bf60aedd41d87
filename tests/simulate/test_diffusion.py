"""The laws of the random samplers after finitely many steps, and their weak orders."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities import Gaussian
from mfgen.dynamics import VE, VP, SubVP
from mfgen.simulate import EulerMaruyama, StochasticHeun, sample


def variance_after(noising, variance, steps, heun):
    """Variance at the horizon of the scheme on one-dimensional N(0, variance) data, by recursion.

    With z = x / signal the reversed VE process of noise level kappa = e^-tau on Gaussian data is
    linear, dz = -2 theta z dtau + sqrt(2) kappa dW, theta = kappa^2 / (variance + kappa^2). It is
    stepped as w = z / sqrt(variance + kappa^2).
    """
    ends = (float(noising.ratio(s)) for s in (noising.horizon, noising.start))
    tau = np.linspace(*(-np.log(end) for end in ends), steps + 1)
    theta = 1 / (1 + variance * np.exp(2 * tau))
    h, spread = tau[1] - tau[0], 1.0
    for before, after in itertools.pairwise(theta):
        # In w the contraction -2 theta is slowed by the shrinking unit, + theta.
        if heun:
            spread = (1 - h / 2 * (before + after * (1 - h * before))) ** 2 * spread
            spread += (1 - h / 2 * after) ** 2 * h * (before + after)
        else:
            spread = (1 - h * before) ** 2 * spread + 2 * h * before
    exact = variance * float(noising.signal(noising.start)) ** 2
    exact += float(noising.noise(noising.start)) ** 2
    return spread * exact, exact


CASES = [
    (VP(), EulerMaruyama(20)),
    (VE(), StochasticHeun(5)),
    (SubVP(), StochasticHeun(5)),
]


@pytest.mark.parametrize(("noising", "method"), CASES, ids=["VP-euler", "VE-heun", "SubVP-heun"])
def test_gaussian_law_after_finitely_many_steps(noising, method, solved, key):
    variance, n = 0.64, 40_000
    game, model, last = solved(noising, Gaussian([1.2], variance))
    heun = isinstance(method, StochasticHeun)
    expected, exact = variance_after(noising, variance, method.steps, heun)
    drawn = np.asarray(sample(game, model, n, key=key, method=method, chunk=n))[:, 0]
    error = expected * np.sqrt(2 / n)
    assert abs(expected - exact) > 8 * error  # the finite-step law differs from the limit
    assert abs(drawn.var(ddof=1) - expected) < 4 * error + 1e-3 * expected
    assert abs(drawn.mean() - float(last.mean[0])) < 4 * np.sqrt(expected / n) + 1e-3


@pytest.mark.parametrize(("heun", "order"), [(False, 1.0), (True, 2.0)])
def test_weak_orders_of_the_recursions(heun, order):
    # The recursions agree with the samplers (above), so their order is that of the samplers. Heun's
    # local errors cancel on data of exactly the frame's spread, hence an order above two there.
    biases = []
    for steps in (200, 400, 800):
        got, exact = variance_after(VE(), 1.0, steps, heun)
        biases.append(abs(got - exact))
    observed = np.log2(np.divide(biases[:-1], biases[1:]))
    assert np.all(observed > order - 0.3)


@pytest.mark.slow
def test_mixture_moments_within_bias_and_noise(solved, mixture, key):
    game, model, last = solved(VP(), mixture())
    mean, covariance = last.moments()
    n, results = 20_000, {}
    for method in (EulerMaruyama(64), EulerMaruyama(128), StochasticHeun(32), StochasticHeun(64)):
        drawn = sample(game, model, n, key=key, method=method, chunk=n)
        results[type(method), method.steps] = drawn
    for kind, coarse, fine in ((EulerMaruyama, 64, 128), (StochasticHeun, 32, 64)):
        drawn = np.asarray(results[kind, fine])
        centred = drawn - drawn.mean(axis=0)
        products = centred[:, :, None] * centred[:, None, :]
        noise = 4 * products.std(axis=0) / np.sqrt(n)
        # Halving the step of a method of order one leaves as much bias as it removed.
        bias = np.abs(np.cov(np.asarray(results[kind, coarse]).T) - np.cov(drawn.T)) + noise
        assert np.all(np.abs(np.cov(drawn.T) - covariance) < noise + bias)
        assert np.all(np.abs(drawn.mean(axis=0) - mean) < 4 * drawn.std(axis=0) / np.sqrt(n) + 5e-3)


@pytest.mark.parametrize("method", [EulerMaruyama(1), EulerMaruyama(5), StochasticHeun(3)])
def test_translation_has_an_exact_law(method, translation, key):
    sigma, horizon, n = 0.6, 2.0, 20_000
    game, model, q = translation(sigma, horizon)
    drawn = np.asarray(sample(game, model, n, key=key, method=method, chunk=n))
    variance = np.array([0.3, 0.8]) + sigma**2 * horizon
    mean = np.array([0.5, 1.0]) - horizon * np.asarray(q)
    assert np.all(np.abs(drawn.mean(axis=0) - mean) < 4 * np.sqrt(variance / n))
    assert np.all(np.abs(drawn.var(axis=0, ddof=1) - variance) < 4 * variance * np.sqrt(2 / n))
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 4 / np.sqrt(n)


def test_deterministic_games_have_no_noise(translation, key):
    game, model, q = translation(0.0)
    start = jnp.array([0.2, -0.3])
    for method in (EulerMaruyama(4), StochasticHeun(4)):
        arrival = method(game, model, start, key=key)
        np.testing.assert_allclose(arrival.point, start - 2.0 * q, rtol=1e-6)
        assert float(arrival.time) == 2.0


def test_samples_are_differentiable_in_the_start(solved, key):
    # On Gaussian data the sampler is affine: its slope is the product of the contractions.
    game, model, _ = solved(VE(), Gaussian([0.0], 1.0))
    slope = jax.jacrev(lambda x: EulerMaruyama(20)(game, model, x, key=key).point)(jnp.ones(1))
    ends = (float(VE().ratio(s)) for s in (VE().horizon, VE().start))
    tau = np.linspace(*(-np.log(end) for end in ends), 21)
    theta = 1 / (1 + np.exp(2 * tau))
    widths = np.sqrt(1 + np.exp(-2 * tau))
    expected = np.prod(1 - (tau[1] - tau[0]) * theta[:-1]) * widths[-1] / widths[0]
    np.testing.assert_allclose(slope, [[expected]], rtol=2e-3)


@pytest.mark.parametrize("method", [EulerMaruyama, StochasticHeun])
def test_bad_steps_are_refused(method):
    with pytest.raises(ValueError, match=rf"`{method.__name__}` got steps = 0.*pass steps >= 1"):
        method(0)
