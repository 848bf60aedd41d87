import jax.numpy as jnp
import numpy as np
from scipy.spatial.distance import cdist

from mfgen.metrics import _pairwise


def test_distances_are_those_of_the_definition():
    rng = np.random.default_rng(0)
    x, points = rng.normal(size=(7, 3)), rng.normal(size=(5, 3))
    rows = _pairwise.map_rows(
        lambda row: _pairwise.squared_distances(row, jnp.asarray(points, jnp.float32)),
        jnp.asarray(x, jnp.float32),
        jnp.asarray(points, jnp.float32),
    )
    np.testing.assert_allclose(rows, cdist(x, points) ** 2, rtol=1e-5, atol=1e-5)


def test_nearest_distance_in_chunks_and_of_copies(monkeypatch):
    rng = np.random.default_rng(1)
    x, points = rng.normal(size=(11, 2)), rng.normal(size=(8, 2))
    x[3] = points[5]
    monkeypatch.setattr(_pairwise, "_ENTRIES", 24)  # Three rows at once, the last chunk is short.
    nearest = _pairwise.nearest_distance(
        jnp.asarray(x, jnp.float32), jnp.asarray(points, jnp.float32)
    )
    np.testing.assert_allclose(nearest, cdist(x, points).min(axis=1), rtol=1e-5, atol=1e-6)
    assert nearest[3] == 0.0
