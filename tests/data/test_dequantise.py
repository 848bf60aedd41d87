"""The resolution of rounded values is found, and the noise added fills it evenly."""

import numpy as np

from mfgen.data import dequantise
from mfgen.data._dequantise import resolution


def test_resolution_is_the_smallest_gap_of_features_with_ties():
    rng = np.random.default_rng(0)
    tenths = np.round(rng.normal(size=200), 1)
    samples = np.stack([tenths, rng.integers(0, 3, 200) * 2.5, rng.normal(size=200)], axis=1)
    np.testing.assert_allclose(resolution(samples), [0.1, 2.5, 0.0], rtol=1e-12)


def test_rounding_of_the_arithmetic_is_no_resolution():
    tenths = np.array([0.3, 0.1 + 0.2, 0.1, 0.2])[:, None]
    np.testing.assert_allclose(resolution(tenths), [0.1], rtol=1e-12)


def test_noise_is_uniform_over_the_width():
    n = 20_000
    noise = dequantise(np.zeros((n, 2)), np.array([2.0, 0.0]), rng=np.random.default_rng(0))
    assert np.all(noise[:, 1] == 0.0)
    inside = noise[:, 0]
    assert np.all(abs(inside) <= 1.0)
    # Mean 0 with variance 1/3; mean square 1/3 with variance 4/45.
    assert abs(inside.mean()) < 4 * np.sqrt(1 / 3 / n)
    assert abs(np.square(inside).mean() - 1 / 3) < 4 * np.sqrt(4 / 45 / n)
