import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities import Gaussian
from mfgen.dynamics import VP
from mfgen.simulate import Langevin, PredictorCorrector, sample
from mfgen.simulate._langevin import diffuse


def test_langevin_on_a_gaussian_has_its_closed_form_law(solved, key):
    # x' = (1 - h / v) x + sqrt(2 h) xi keeps the variance v / (1 - h / (2 v)).
    game, model, last = solved(VP(), Gaussian([0.5], 0.3))
    variance, n = float(last.moments()[1][0, 0]), 40_000
    step = 0.4 * variance
    drawn = np.asarray(sample(game, model, n, key=key, method=Langevin(40, step), chunk=n))
    expected = variance / (1 - 0.5 * step / variance)
    assert abs(drawn.var(ddof=1) - expected) < 4 * expected * np.sqrt(2 / n)
    assert abs(drawn.mean() - float(last.mean[0])) < 4 * np.sqrt(expected / n)


def test_corrections_leave_the_present_density_but_for_the_stated_bias(solved, key):
    game, model, last = solved(VP(), Gaussian([0.5], 0.3))
    n, ratio, noise = 40_000, 0.5, float(VP().noise(VP().start))
    variance = float(last.moments()[1][0, 0])
    start = last.sample(n, key=jax.random.key(5))
    step, keys = jnp.asarray(2 * (ratio * noise) ** 2), jax.random.split(key, n)
    move = lambda x, key: diffuse(model, game.dynamics.horizon, x, step, 20, key)
    drawn = np.asarray(jax.jit(jax.vmap(move))(start, keys))
    bound = variance * (4 * np.sqrt(2 / n) + ratio**2 * noise**2 / variance)
    assert abs(drawn.var(ddof=1) - variance) < bound
    assert not np.allclose(drawn, start, atol=noise)  # the points moved


@pytest.mark.slow
def test_predictor_corrector_reaches_the_data(solved, mixture, key):
    game, model, last = solved(VP(), mixture())
    mean, covariance = last.moments()
    n = 10_000
    drawn = {
        steps: np.asarray(
            sample(game, model, n, key=key, method=PredictorCorrector(steps, 2), chunk=n)
        )
        for steps in (32, 64)
    }
    centred = drawn[64] - drawn[64].mean(axis=0)
    noise = 4 * (centred[:, :, None] * centred[:, None, :]).std(axis=0) / np.sqrt(n)
    # As the predictor is of order one, halving its step leaves as much bias as it removed.
    bias = np.abs(np.cov(drawn[32].T) - np.cov(drawn[64].T)) + noise
    assert np.all(np.abs(np.cov(drawn[64].T) - covariance) < noise + bias)
    spread = drawn[64].std(axis=0) / np.sqrt(n)
    assert np.all(np.abs(drawn[64].mean(axis=0) - mean) < 4 * spread + 5e-3)


def test_games_without_a_known_score_are_refused(translation, key):
    game, model, _ = translation(0.5)
    for method in (PredictorCorrector(), Langevin(10, 0.1)):
        with pytest.raises(TypeError, match=rf"`{type(method).__name__}` got a game"):
            sample(game, model, 4, key=key, method=method)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="`PredictorCorrector` got corrections = 0"):
        PredictorCorrector(10, 0)
    with pytest.raises(ValueError, match="`PredictorCorrector` got signal_to_noise = -1"):
        PredictorCorrector(signal_to_noise=-1.0)
    with pytest.raises(ValueError, match="`Langevin` got step = 0"):
        Langevin(10, 0.0)


def test_predictor_corrector_has_the_law_of_its_recursion(solved, key):
    """On Gaussian data both are linear; in units of the present law, theta = sigma^2 / variance,

    a prediction is w' = (1 - h theta) w + sqrt(2 h theta) xi and a correction
    w' = (1 - 2 r^2 theta') w + 2 r sqrt(theta') xi, with theta' after the prediction.
    """
    noising, variance, n, steps, corrections, r = VP(smallest_ratio=0.8), 0.64, 40_000, 6, 2, 0.4
    game, model, last = solved(noising, Gaussian([1.2], variance))
    ends = (float(noising.ratio(s)) for s in (noising.horizon, noising.start))
    tau = np.linspace(*(-np.log(end) for end in ends), steps + 1)
    theta, h, spread = 1 / (1 + variance * np.exp(2 * tau)), tau[1] - tau[0], 1.0
    for before, after in itertools.pairwise(theta):
        spread = (1 - h * before) ** 2 * spread + 2 * h * before
        for _ in range(corrections):
            spread = (1 - 2 * r**2 * after) ** 2 * spread + 4 * r**2 * after
    expected = spread * float(last.moments()[1][0, 0])
    method = PredictorCorrector(steps, corrections, r)
    drawn = np.asarray(sample(game, model, n, key=key, method=method, chunk=n))[:, 0]
    assert abs(drawn.var(ddof=1) - expected) < 4 * expected * np.sqrt(2 / n) + 1e-3 * expected
