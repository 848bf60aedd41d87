"""Metropolis-adjusted chains leave exp(-U) as it is, reach it, and say if they stand still."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities import Gaussian
from mfgen.dynamics import VE, VP
from mfgen.metrics import energy_distance
from mfgen.models import Potential, VectorField
from mfgen.simulate import EulerMaruyama, MetropolisAdjusted, Tempered, correct, sample
from mfgen.simulate._metropolis import WANTED, energy_of, move, walker_at

SKEW = lambda x: 0.5 * x @ x + 0.4 * jnp.sin(2.0 * jnp.sum(x))


def chain(energy, x, step, count, key, leaps=1):
    """Points after `count` moves with one step, and the mean probability of acceptance."""

    def one(x, key):
        go = lambda walker, key: move(energy, walker, jnp.asarray(step), key, leaps)
        last, chances = jax.lax.scan(go, walker_at(energy, x), jax.random.split(key, count))
        return last.point, jnp.mean(chances)

    points, chances = jax.jit(jax.vmap(one))(x, jax.random.split(key, len(x)))
    return np.asarray(points), float(chances.mean())


def test_a_long_step_leaves_the_law_as_it_is(key):
    """At a step where an unadjusted chain has 1.5 times the variance."""
    n, variance = 40_000, 0.7
    energy = lambda x: 0.5 * x @ x / variance
    start = np.sqrt(variance) * jax.random.normal(key, (n, 1))
    step = variance * 2 / 3  # unadjusted: variance / (1 - step / (2 variance)) = 1.5 variance
    points, accepted = chain(energy, start, step, 5, jax.random.key(1))
    assert 0.5 < accepted < 0.95
    assert abs(points.var() - variance) < 4 * variance * np.sqrt(2 / n)
    assert abs(points.mean()) < 4 * np.sqrt(variance / n)
    assert np.mean(points != np.asarray(start)) > 0.9


def test_several_leaps_leave_the_law_as_it_is_and_go_further(key):
    """A Gaussian of two widths: exact moments, and how far from its start a chain is."""
    n, widths = 20_000, np.array([0.5, 1.5])
    energy = lambda x: 0.5 * jnp.sum(jnp.square(x / widths))
    start = widths[None] * jax.random.normal(key, (n, 2))
    far = {}
    for leaps, count in ((1, 8), (8, 1)):  # as many gradients
        points, accepted = chain(energy, start, 0.15, count, jax.random.key(1), leaps)
        assert 0.5 < accepted < 0.99
        np.testing.assert_allclose(points.std(axis=0), widths, rtol=4 / np.sqrt(2 * n))
        assert np.all(np.abs(points.mean(axis=0)) < 4 * widths / np.sqrt(n))
        assert abs(np.corrcoef(points.T)[0, 1]) < 4 / np.sqrt(n)
        far[leaps] = np.mean((points - np.asarray(start))[:, 1] ** 2)
    assert far[8] > 1.5 * far[1]


def test_the_law_of_a_skew_potential_by_quadrature(key):
    """From a wrong start; a sign that is wrong in the ratio would leave another law."""
    grid = np.linspace(-6, 6, 4001)
    heights = np.exp(-0.5 * grid**2 - 0.4 * np.sin(2 * grid))
    heights /= heights.sum()
    mean = heights @ grid
    variance = heights @ (grid - mean) ** 2
    n = 20_000
    start = 1.0 + 0.3 * jax.random.normal(key, (n, 1))
    points, _ = chain(SKEW, start, 0.5, 40, jax.random.key(1))
    fourth = heights @ (grid - mean) ** 4
    assert abs(points.mean() - mean) < 4 * np.sqrt(variance / n)
    assert abs(points.var() - variance) < 4 * np.sqrt((fourth - variance**2) / n)
    assert abs(mean) > 0.1


def test_refusals_fall_as_the_step_to_three_halves(key, x64):
    """The order of a Langevin proposal; with the gradient uphill, or none, it is one half."""
    start = jax.random.normal(key, (2000, 2))
    start = jnp.asarray(chain(SKEW, start, 0.3, 60, jax.random.key(1))[0])
    refused = [1 - chain(SKEW, start, step, 8, jax.random.key(2))[1] for step in (0.08, 0.04, 0.02)]
    orders = np.log2(np.divide(refused[:-1], refused[1:]))
    np.testing.assert_allclose(orders, 1.5, atol=0.3)


def test_biased_draws_are_corrected(solved, mixture, key):
    game, model, last = solved(VP(), mixture())
    n, few = 4000, EulerMaruyama(6)
    fresh = np.asarray(last.sample(n, key=jax.random.key(7)))
    biased = np.asarray(sample(game, model, n, key=key, method=few))
    method = MetropolisAdjusted(few, steps=60)
    corrected = np.asarray(sample(game, model, n, key=key, method=method))
    assert float(energy_distance(biased, fresh).value) > 0.005
    found = energy_distance(corrected, fresh)
    assert float(found.value) < 4 * float(found.standard_error)
    mean, covariance = last.moments()
    centred = corrected - corrected.mean(axis=0)
    spread = (centred[:, :, None] * centred[:, None, :]).std(axis=0) / np.sqrt(n)
    assert np.all(np.abs(corrected.mean(axis=0) - mean) < 4 * centred.std(axis=0) / np.sqrt(n))
    assert np.all(np.abs(np.cov(corrected.T) - covariance) < 4 * spread)


def test_the_step_is_adapted_to_its_rate(solved, mixture, key):
    game, model, last = solved(VE(), mixture())
    moved = correct(game, model, last.sample(400, key=key), key=key, warmup=100)
    assert abs(float(moved.acceptance.mean()) - WANTED) < 0.08
    assert moved.points.shape == (400, 2)
    assert np.all(np.asarray(moved.step) > 0)


def test_points_far_outside_return(solved, mixture, key):
    """There U is so steep that at the step of the others no proposal would be taken."""
    game, model, last = solved(VP(), mixture())
    far = 60.0 * jax.random.normal(key, (50, 2))
    moved = correct(game, model, far, key=key, steps=200, warmup=200)
    heights = np.asarray(jax.vmap(last.log_density)(moved.points))
    assert np.mean(heights > -8) > 0.9


def test_chunks_do_not_change_the_chains(solved, mixture, key):
    game, model, last = solved(VP(), mixture())
    x = last.sample(6, key=key)
    one, two = (
        correct(game, model, x, key=key, steps=3, warmup=2, chunk=chunk) for chunk in (6, 2)
    )
    np.testing.assert_allclose(one.points, two.points, rtol=1e-5)


def test_tempered_chains_reach_the_data(solved, mixture, key):
    """At 12 levels, of which Euler's method makes another law."""
    game, model, last = solved(VP(), mixture())
    n = 4000
    fresh = np.asarray(last.sample(n, key=jax.random.key(7)))
    plain = np.asarray(sample(game, model, n, key=key, method=EulerMaruyama(12)))
    drawn = np.asarray(sample(game, model, n, key=key, method=Tempered(12, 4)))
    better = energy_distance(drawn, fresh)
    assert float(better.value) < 0.3 * float(energy_distance(plain, fresh).value)
    assert float(better.value) < 4 * float(better.standard_error)


def test_labels_stay():
    potential = Potential(lambda t, z: z[:2] @ z[:2] * z[2])
    energy = energy_of("correct", potential, 0.0, 3.0 * jnp.ones(1))
    assert float(energy(jnp.ones(2))) == 6.0


def test_models_without_a_value_are_refused(solved, mixture, translation, key):
    game, _, _ = solved(VP(), mixture())
    field = VectorField(lambda t, x: x)
    for method in (MetropolisAdjusted(), Tempered(5)):
        with pytest.raises(TypeError, match=r"got a model `VectorField`, expected a potential"):
            sample(game, field, 4, key=key, method=method)
    with pytest.raises(TypeError, match=r"`correct` got a model `VectorField`"):
        correct(game, field, jnp.zeros((3, 2)), key=key)
    other, potential, _ = translation(0.5)
    for method in (MetropolisAdjusted(EulerMaruyama(5)), Tempered(5)):
        with pytest.raises(TypeError, match=rf"`{type(method).__name__}` got a game"):
            sample(other, potential, 4, key=key, method=method)
    with pytest.raises(TypeError, match=r"`correct` got a game"):
        correct(other, potential, jnp.zeros((3, 2)), key=key)


def test_chains_that_stand_still_are_told(solved, key):
    game, model, _ = solved(VP(), Gaussian([0.5], 0.3))
    broken = Potential(lambda t, x: jnp.where(x[0] > 0, jnp.nan, model(t, x)))
    with pytest.raises(RuntimeError, match=r"`correct` got 4 of 4 Metropolis chains that stood"):
        correct(game, broken, jnp.ones((4, 1)), key=key)
    x = jnp.array([[1.0], [-0.5], [-0.4]])
    with pytest.warns(UserWarning, match=r"`correct` got 1 of 3 Metropolis chains"):
        moved = correct(game, broken, x, key=key)
    assert float(moved.points[0, 0]) == 1.0


def test_bad_settings_are_refused(solved, mixture, key):
    game, model, _ = solved(VP(), mixture())
    with pytest.raises(ValueError, match="`MetropolisAdjusted` got steps = 0"):
        MetropolisAdjusted(steps=0)
    with pytest.raises(ValueError, match="`Tempered` got corrections = 0"):
        Tempered(10, 0)
    with pytest.raises(ValueError, match="`correct` got warmup = 0"):
        correct(game, model, jnp.zeros((2, 2)), key=key, warmup=0)
    with pytest.raises(ValueError, match=r"`correct` got points of shape \(2,\)"):
        correct(game, model, jnp.zeros(2), key=key)
