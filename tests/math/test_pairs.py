"""Sums over pairs beside the table of all pairs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import cdist

from mfgen.math import _pairs

RNG = np.random.default_rng(0)


@pytest.fixture
def clouds():
    keys = jax.random.split(jax.random.key(0), 3)
    x, y = jax.random.normal(keys[0], (37, 3)), 2.0 + jax.random.normal(keys[1], (23, 3))
    return x, y, jax.random.normal(keys[2], (23, 2))


def profile(square):
    return jnp.exp(-0.5 * square / 0.7**2) / (1 + square)


def test_sums_are_those_of_the_table(clouds, monkeypatch):
    x, y, values = clouds
    table = profile(jnp.sum((x[:, None] - y[None]) ** 2, -1))
    for numbers in (2**24, 23 * 5):  # in one piece, and in chunks with some rows left over
        monkeypatch.setattr(_pairs, "_NUMBERS", numbers)
        np.testing.assert_allclose(
            _pairs.pair_sums(profile, x, y, values), table @ values, rtol=1e-3, atol=1e-6
        )


def test_gradients_are_those_of_the_sum(clouds):
    x, y, values = clouds
    weights = values[:, 0]
    single = lambda x: weights @ profile(jnp.sum((x[None] - y) ** 2, -1))
    found = _pairs.pair_gradients(profile, x, y, weights)
    np.testing.assert_allclose(found, jax.vmap(jax.grad(single))(x), rtol=2e-3, atol=1e-5)


def test_close_pairs_of_clusters_far_apart_keep_their_distances():
    near = RNG.normal(size=(30, 2))
    x = np.concatenate([near[:15] - 5e3, near[15:] + 5e3]).astype(np.float32)
    exact = np.exp(-0.5 * cdist(x.astype(float), x.astype(float), "sqeuclidean")).sum(axis=1)
    cloud = jnp.asarray(x)
    found = _pairs.pair_sums(lambda r: jnp.exp(-0.5 * r), cloud, cloud, jnp.ones((30, 1)))
    np.testing.assert_allclose(found[:, 0], exact, rtol=1e-5)


@pytest.mark.parametrize("dim", [2, 6])
def test_gradients_far_from_zero_are_those_near_it(dim):
    x, y = jnp.asarray(np.round(64 * RNG.normal(size=(2, 20, dim))) / 64, jnp.float32)
    near = lambda x, y: _pairs.pair_gradients(lambda r: jnp.exp(-r), x, y, jnp.full(20, 0.05))
    exact = near(x, y)
    np.testing.assert_allclose(near(x + 16384, y + 16384), exact, atol=1e-5)
