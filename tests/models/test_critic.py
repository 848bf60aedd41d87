"""The slope of a critic is bounded whatever its parameters, and the bound can be attained."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities import Gaussian
from mfgen.models import lipschitz_critic
from mfgen.models._critic import max_min

BOUND = 2.5


@pytest.fixture(scope="module")
def wild():
    """A critic with parameters far from those it started with."""
    around = Gaussian(jnp.array([3.0, -1.0]), jnp.array([4.0, 0.3]))
    critic = lipschitz_critic(
        2, lipschitz=BOUND, width=16, depth=3, around=around, key=jax.random.key(1)
    )
    noise = lambda leaf: leaf + 3 * jax.random.normal(jax.random.key(leaf.size), leaf.shape)
    return eqx.tree_at(lambda c: c.layers, critic, jax.tree.map(noise, critic.layers))


@pytest.fixture(scope="module")
def points():
    return 20 * jax.random.normal(jax.random.key(2), (2, 4000, 2))


def test_the_slope_obeys_the_bound_at_points_and_along_secants(wild, points):
    slopes = jnp.linalg.norm(jax.jit(jax.vmap(jax.grad(wild)))(points[0]), axis=1)
    assert slopes.max() <= BOUND * (1 + 1e-5)
    assert slopes.max() > 0.05 * BOUND
    values = [jax.jit(jax.vmap(wild))(part) for part in points]
    away = jnp.linalg.norm(points[0] - points[1], axis=1)
    assert jnp.max(jnp.abs(values[0] - values[1]) / away) <= BOUND * (1 + 1e-5)


def test_it_starts_with_slopes_close_to_the_bound(key, points):
    """Orthogonal weights and sorted units lose norm in the last layer alone."""
    critic = lipschitz_critic(2, lipschitz=BOUND, width=16, depth=3, key=key)
    slopes = jnp.linalg.norm(jax.vmap(jax.grad(critic))(points[0] / 20), axis=1)
    assert slopes.max() <= BOUND * (1 + 1e-5)
    assert jnp.mean(slopes) > 0.1 * BOUND


def test_frozen_is_the_same_function(wild, points):
    there = points[0, :100]
    np.testing.assert_allclose(
        jax.vmap(wild.frozen())(there), jax.vmap(wild)(there), rtol=1e-5, atol=1e-4
    )


def test_parameters_of_the_points_and_the_bound_are_not_trained(wild):
    slope = eqx.filter_grad(lambda critic: critic(jnp.ones(2)))(wild)
    for fixed in (slope.centre, slope.scale, slope.lipschitz):
        np.testing.assert_array_equal(fixed, 0)
    assert any(jnp.any(layer.weight != 0) for layer in slope.layers)


def test_the_derivative_of_a_divided_weight_is_that_of_its_norm(x64):
    critic = lipschitz_critic(2, width=4, depth=1, key=jax.random.key(3))
    # Of orthogonal weights the largest singular value is not alone.
    weight = jax.random.normal(jax.random.key(5), (4, 2))
    critic = eqx.tree_at(lambda c: c.layers[0].weight, critic, weight)
    x, direction = jnp.array([0.4, -0.7]), jax.random.normal(jax.random.key(4), (4, 2))

    def along(h):
        moved = critic.layers[0].weight + h * direction
        return eqx.tree_at(lambda c: c.layers[0].weight, critic, moved)(x)

    step = 1e-5
    difference = (along(step) - along(-step)) / (2 * step)
    np.testing.assert_allclose(jax.grad(along)(0.0), difference, rtol=1e-6, atol=1e-8)


def test_sorting_by_twos():
    np.testing.assert_array_equal(max_min(jnp.array([1.0, 5, 2, 3])), [2, 5, 1, 3])


def test_sizes_that_make_no_sense_are_refused(key):
    with pytest.raises(ValueError, match="width = 5, expected an even number"):
        lipschitz_critic(2, width=5, key=key)
    with pytest.raises(ValueError, match="depth = 0, expected a whole number"):
        lipschitz_critic(2, depth=0, key=key)
    with pytest.raises(ValueError, match="lipschitz = -1"):
        lipschitz_critic(2, lipschitz=-1.0, key=key)
