import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfgen as mg
from mfgen.densities import Gaussian
from mfgen.dynamics import VE, VP, SubVP
from mfgen.models import VectorField, score_field
from mfgen.simulate import (
    Adaptive,
    EulerMaruyama,
    ProbabilityFlow,
    RungeKutta4,
    StochasticHeun,
    denoised,
    sample,
)


@pytest.mark.parametrize("noising", [VP(), VE(), SubVP()], ids=["VP", "VE", "SubVP"])
def test_flow_samples_have_the_moments_of_the_data(noising, solved, mixture, key):
    game, model, last = solved(noising, mixture())
    n = 10_000
    drawn = sample(game, model, n, key=key, method=ProbabilityFlow(RungeKutta4(16)), chunk=n)
    drawn, (mean, covariance) = np.asarray(drawn), last.moments()
    centred = drawn - drawn.mean(axis=0)
    noise = 4 * (centred[:, :, None] * centred[:, None, :]).std(axis=0) / np.sqrt(n)
    assert np.all(np.abs(np.cov(drawn.T) - covariance) < noise)
    assert np.all(np.abs(drawn.mean(axis=0) - mean) < 4 * drawn.std(axis=0) / np.sqrt(n))


def test_adaptive_flows_end_at_a_fine_tolerance(solved, mixture, key):
    game, model, _ = solved(VP(), mixture())
    fixed, adaptive = (
        sample(game, model, 200, key=key, method=ProbabilityFlow(integrator))
        for integrator in (RungeKutta4(64), Adaptive(1e-6))
    )
    assert adaptive.dtype == jnp.float32
    np.testing.assert_allclose(adaptive, fixed, atol=1e-3)


def test_a_step_limit_is_an_error_that_says_how_far(translation, key):
    game, model, _ = translation(0.0)
    method = ProbabilityFlow(Adaptive(1e-6, max_steps=2))
    with pytest.raises(RuntimeError, match=r"`sample` stopped at game time 0\.\d+.*8 of 8 points"):
        sample(game, model, 8, key=key, method=method)


def test_samples_depend_on_the_key_not_on_the_chunk(translation):
    game, model, _ = translation(0.5)
    draw = lambda key, chunk: sample(
        game, model, 10, key=jax.random.key(key), method=EulerMaruyama(3), chunk=chunk
    )
    np.testing.assert_allclose(draw(0, 4), draw(0, 100), rtol=1e-6)
    np.testing.assert_allclose(draw(0, 10), draw(0, 1), rtol=1e-6)
    assert not np.allclose(draw(0, 4), draw(1, 4))
    assert len(np.unique(draw(0, 4), axis=0)) == 10


def test_a_second_call_does_not_trace_again(translation):
    game, _, q = translation(0.5)
    traces = []

    def costate(t, x):
        traces.append(t)
        return q

    model = VectorField(costate)
    sample(game, model, 6, key=jax.random.key(0))
    first = len(traces)
    assert first > 0
    sample(game, model, 6, key=jax.random.key(1))
    assert len(traces) == first


def test_changed_weights_do_not_trace_again(solved, mixture, key):
    game, _, _ = solved(VP(), mixture())
    model = score_field(game, width=8, depth=1, key=key)
    changed = jax.tree.map(lambda leaf: 1.1 * leaf if eqx.is_inexact_array(leaf) else leaf, model)
    draw = lambda model: sample(game, model, 6, key=key, method=EulerMaruyama(2))
    first = draw(model)
    with jax.no_tracing():
        second = draw(changed)
    assert not np.allclose(first, second)


def test_denoising_gives_the_posterior_mean(solved):
    target = Gaussian([1.0, 0.0], [0.3, 2.0])
    game, model, _ = solved(VP(smallest_ratio=0.5), target)
    noising, y = VP(smallest_ratio=0.5), jnp.array([0.2, 1.4])
    signal, noise = noising.signal(noising.start), noising.noise(noising.start)
    variance = jnp.array([0.3, 2.0])
    gain = variance * signal / (signal**2 * variance + noise**2)
    expected = target.mean + gain * (y - signal * target.mean)
    np.testing.assert_allclose(denoised(game, model, y), expected, rtol=1e-4)


def test_denoised_samples_lose_the_last_noise(solved, key):
    game, model, _ = solved(VE(smallest_ratio=0.5), Gaussian([0.0], 1.0))
    method, n = ProbabilityFlow(RungeKutta4(12)), 4000
    noisy, clean = (
        sample(game, model, n, key=key, method=method, denoise=denoise) for denoise in (False, True)
    )
    # y = x + .5 eps has variance 1.25, E[x | y] = y / 1.25 the variance .8.
    np.testing.assert_allclose(clean, noisy / 1.25, rtol=1e-4)
    assert abs(float(jnp.var(noisy)) - 1.25) < 4 * 1.25 * np.sqrt(2 / n)


def test_float64_is_kept(solved, mixture, key, x64):
    game, model, _ = solved(VP(), mixture())
    drawn = sample(game, model, 3, key=key, method=StochasticHeun(4))
    assert drawn.dtype == jnp.float64


def test_bad_calls_are_refused(solved, translation, mixture, key):
    game, model, _ = solved(VP(), mixture())
    with pytest.raises(ValueError, match=r"`sample` got n = 0, expected a positive integer"):
        sample(game, model, 0, key=key)
    with pytest.raises(ValueError, match=r"`sample` got chunk = 0"):
        sample(game, model, 4, key=key, chunk=0)
    homeless = eqx.tree_at(lambda game: game.initial, game, None)
    with pytest.raises(ValueError, match=r"`sample` got a game without an initial density"):
        sample(homeless, model, 4, key=key)
    other, field, _ = translation(0.5)
    with pytest.raises(TypeError, match=r"`ProbabilityFlow` got a game of `Integrator`"):
        sample(other, field, 4, key=key, method=ProbabilityFlow())
    with pytest.raises(TypeError, match=r"`denoised` got a game of `Integrator`"):
        sample(other, field, 4, key=key, denoise=True)


def test_values_that_are_not_finite_are_an_error(translation, key):
    game, _, _ = translation(0.5)
    model = VectorField(lambda t, x: jnp.where(x > 0.9, jnp.nan, x))
    with pytest.raises(RuntimeError, match=r"not finite for \d+ of 64 points"):
        sample(game, model, 64, key=key, method=EulerMaruyama(2))


def test_a_flow_to_a_divergence_and_a_linear_cost_is_sampled_from_where_they_are_least():
    """c KL(. || N(0, 1)) + a E x^2 / 2 is least at N(0, 1 / (1 + a / c))."""
    normal = mg.Gaussian(jnp.zeros(1), 1.0)
    end = 30.0 * mg.KL(normal) + mg.Linear(lambda x: 15.0 * x @ x)
    data = mg.Empirical(jnp.ones((4, 1)))
    game = mg.MFG(mg.Integrator(), mg.Kinetic(), end, initial=data, data_at="start")
    still = mg.models.Potential(lambda t, x: 0.0 * x[0])
    drawn = mg.sample(game, still, 20_000, key=jax.random.key(0))
    # Resampling repeats draws: their effective number is a part of them.
    assert abs(float(jnp.var(drawn)) - 0.5) < 4 * 0.5 * (2 / 20_000) ** 0.5 * 1.5
    with pytest.raises(TypeError, match="got a flow with the terminal cost `Sum`"):
        mg.log_prob(game, still, drawn[:2])
    steep = 30.0 * mg.KL(normal) + mg.Linear(lambda x: 3e5 * (x - 9) @ (x - 9))
    with pytest.raises(TypeError, match="their effective number is"):
        mg.sample(dataclasses.replace(game, terminal=steep), still, 10, key=jax.random.key(0))
