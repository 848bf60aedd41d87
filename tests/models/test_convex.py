"""Input-convex networks are convex whatever their parameters; they move particles on lines."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities import Gaussian
from mfgen.models import input_convex
from mfgen.models._convex import Transport


def wild(dim, seed):
    """A network with parameters far from those it starts with."""
    around = Gaussian(jnp.full(dim, 1.5), jnp.full(dim, 0.5))
    network = input_convex(dim, width=12, depth=2, around=around, key=jax.random.key(seed))
    leaves, shape = jax.tree.flatten(network)
    keys = jax.random.split(jax.random.key(100 + seed), len(leaves))
    shaken = [
        leaf + 2 * jax.random.normal(key, leaf.shape)
        for leaf, key in zip(leaves[:-2], keys[:-2], strict=True)
    ]
    return jax.tree.unflatten(shape, [*shaken, *leaves[-2:]])


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("dim", [1, 2, 5])
def test_hessians_are_positive_definite(dim):
    """At random points and parameters: at least the floor, and not the floor alone."""
    points = 1.5 + 3 * jax.random.normal(jax.random.key(7), (100, dim))
    spectra = eqx.filter_jit(
        lambda network: jnp.linalg.eigvalsh(jax.vmap(jax.hessian(network))(points))
    )
    for seed in range(4):
        found = spectra(wild(dim, seed))
        assert jnp.min(found) >= 1e-3 * (1 - 1e-6)
        assert jnp.max(found) > 1


def test_it_is_convex_along_lines():
    network = wild(2, 1)
    first, second = 5 * jax.random.normal(jax.random.key(3), (2, 500, 2))
    here, there, between = jax.jit(jax.vmap(network))(
        jnp.stack([first, second, 0.3 * first + 0.7 * second]).reshape(-1, 2)
    ).reshape(3, -1)
    above = 0.3 * here + 0.7 * there
    assert jnp.all(between <= above + 1e-5 * jnp.abs(above) + 1e-4)


def test_it_starts_near_the_identity():
    around = Gaussian(jnp.array([3.0, -1.0]), jnp.array([4.0, 0.3]))
    network = input_convex(2, around=around, key=jax.random.key(0))
    points = around.sample(500, key=jax.random.key(1))
    ends, growth = jax.jit(jax.vmap(network.stretched))(points)
    assert float(jnp.mean(jnp.linalg.norm(ends - points, axis=1))) < 0.3
    assert float(jnp.max(jnp.abs(growth))) < 0.3


def test_the_determinant_is_that_of_the_hessian():
    network, x = wild(3, 2), jnp.array([0.4, -1.0, 2.0])
    hessian = jax.jit(jax.hessian(network))(x)
    end, growth = eqx.filter_jit(network.stretched)(x)
    np.testing.assert_allclose(growth, np.log(np.linalg.det(np.asarray(hessian, float))), rtol=1e-4)
    np.testing.assert_allclose(end, jax.grad(network)(x), rtol=1e-5)


def test_particles_keep_their_costate_on_straight_lines():
    """p(t, (1 - t) x + t T(x)) = (x - T(x)) / h."""
    step, x = 0.5, jnp.array([0.4, -1.0])
    model = Transport(
        input_convex(2, around=Gaussian(jnp.ones(2), 2.0), key=jax.random.key(4)), step
    )
    end = model.potential.transport(x)
    for t in (0.0, 0.4, 1.0):
        found = eqx.filter_jit(model.costate)(jnp.asarray(t), (1 - t) * x + t * end)
        np.testing.assert_allclose(found, (x - end) / step, rtol=1e-3, atol=1e-4)
