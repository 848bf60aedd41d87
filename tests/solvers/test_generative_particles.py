"""Generative particles: they arrive, no faster than the critic's slope, and F goes down."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities import Empirical
from mfgen.functionals import Alpha, LipschitzDivergence
from mfgen.models import lipschitz_critic
from mfgen.solvers import generative_particles
from mfgen.solvers._generative_particles import _energy

KEY = jax.random.key(0)
MEAN, DEVIATION = np.array([1.0, -0.5]), np.array([1.0, 0.6])
CRITIC = {"width": 16, "depth": 2}


@pytest.fixture(scope="module")
def arrived():
    keys = jax.random.split(KEY, 2)
    data = MEAN + DEVIATION * np.asarray(jax.random.normal(keys[0], (400, 2)))
    start = 0.5 * jax.random.normal(keys[1], (300, 2)) - 1.0
    found = generative_particles(
        data, start, steps=150, step=0.05, key=KEY, every=30, lipschitz=1.5, critic=CRITIC
    )
    return data, start, found


def test_the_moments_are_those_of_the_data(arrived):
    data, _, found = arrived
    np.testing.assert_allclose(found.points.mean(0), data.mean(0), atol=0.15)
    np.testing.assert_allclose(found.points.std(0), data.std(0), atol=0.15)


def test_the_dual_goes_down_and_never_beyond_its_error(arrived):
    found = arrived[2]
    assert found.rise < 3
    assert found.energies[0] > 1
    assert found.energies[-1] < 0.1 * found.energies[0]
    # The value with a critic that is not the best may be below zero, by its error alone.
    assert found.energies[-1] > -4 * found.standard_errors[-1]


def test_no_particle_is_faster_than_the_slope_allows(arrived):
    _, start, found = arrived
    moved = jnp.linalg.norm(found.points - start, axis=1)
    assert jnp.max(moved) <= 1.5 * found.times[-1] * (1 + 1e-4)
    # From afar the critic is steep, so that the bound is met nearly.
    far = generative_particles(
        arrived[0],
        start - 5.0,
        steps=4,
        step=0.1,
        key=KEY,
        every=4,
        lipschitz=1.5,
        critic=CRITIC,
    )
    speeds = jnp.linalg.norm(far.points - (start - 5.0), axis=1) / far.times[-1]
    assert jnp.max(speeds) <= 1.5 * (1 + 1e-4)
    assert jnp.mean(speeds) > 0.75 * 1.5
    # And toward the data: down the slope of g, not up.
    assert jnp.all(far.points.mean(0) > start.mean(0) - 5.0)


@pytest.mark.parametrize("order", [1.0, 2.0])
def test_the_error_of_the_dual_is_that_of_resampling(order):
    """By the bootstrap over both samples, the critic fixed."""
    keys = jax.random.split(KEY, 4)
    critic = lipschitz_critic(2, key=keys[0], width=16, depth=2)
    data, points = jax.random.normal(keys[1], (300, 2)), 0.5 * jax.random.normal(keys[2], (200, 2))
    dual = lambda data: LipschitzDivergence(critic, Empirical(data), Alpha(order))

    def again(key):
        first, second = jax.random.split(key)
        x = points[jax.random.randint(first, (200,), 0, 200)]
        y = data[jax.random.randint(second, (300,), 0, 300)]
        return _energy(dual(y), x).value

    found = _energy(dual(data), points)
    np.testing.assert_allclose(found.value, dual(data).value(Empirical(points)), rtol=1e-5)
    values = jax.jit(jax.vmap(again))(jax.random.split(keys[3], 400))
    # 400 resamplings give a deviation to 4 %.
    np.testing.assert_allclose(jnp.std(values), found.standard_error, rtol=0.2)


def test_what_cannot_be_moved_is_refused():
    data = np.asarray(jax.random.normal(KEY, (20, 2)))
    move = lambda start=data, **settings: generative_particles(
        data, start, **({"steps": 1, "step": 0.1, "key": KEY} | settings)
    )
    with pytest.raises(ValueError, match="`generative_particles` got start of dimension 3"):
        move(np.eye(3))
    wrong = {"steps": 0, "critic_steps": 0, "first_steps": -1, "batch_size": 0, "every": 0}
    for name, value in (wrong | {"step": -0.1, "learning_rate": 0.0}).items():
        with pytest.raises(ValueError, match=f"`generative_particles` got {name}"):
            move(**{name: value})
    with pytest.raises(FloatingPointError, match="not finite after 1 steps"):
        move(steps=5, every=5, step=1e38, critic=CRITIC | {"lipschitz": 1e6}, first_steps=0)
