"""The embedded data sets: sizes as published, dequantised without moving any value."""

import numpy as np
import pytest
from sklearn import datasets

from mfgen.data import _embedded

SETS = [
    (_embedded.digits, 1797, 64, 10),
    (_embedded.iris, 150, 4, 3),
    (_embedded.wine, 178, 13, 3),
    (_embedded.diabetes, 442, 10, None),
    (_embedded.breast_cancer, 569, 30, 2),
]


@pytest.mark.parametrize(("load", "count", "dim", "classes"), SETS)
def test_sizes_labels_and_scaling(load, count, dim, classes):
    data = load()
    parts = (data.train, data.validation, data.test)
    assert sum(map(len, parts)) == count
    assert len(data.columns) == data.dim == dim
    assert all(part.dtype == np.float32 and np.isfinite(part).all() for part in parts)
    np.testing.assert_allclose(data.train.mean(axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(data.train.var(axis=0).mean(), 1.0, rtol=1e-4)
    if classes is None:
        assert data.labels is None
    else:
        assert [len(part) for part in data.labels] == [len(part) for part in parts]
        assert set(np.concatenate(data.labels)) == set(range(classes))


def test_digits_are_pixels_plus_uniform_noise_with_one_scale():
    data = _embedded.digits()
    assert len(set(data.scaling.scale)) == 1
    samples = np.concatenate([data.train, data.validation, data.test])
    pixels = np.floor(data.scaling.invert(samples.astype(np.float64)))
    # Noise within 1e-6 of an integer may be floored to the next one in float32.
    raw = datasets.load_digits().data
    assert np.mean(np.sort(pixels, axis=0) != np.sort(raw, axis=0)) < 1e-4
    always_zero = np.flatnonzero(raw.max(axis=0) == 0)
    assert always_zero.size > 0
    spread = data.train[:, always_zero].std(axis=0) * data.scaling.scale[0]
    np.testing.assert_allclose(spread, np.sqrt(1 / 12), rtol=0.1)


def test_rounded_features_return_to_their_values():
    data = _embedded.iris()
    np.testing.assert_allclose(data.width, 0.1, rtol=1e-9)
    samples = np.concatenate([data.train, data.validation, data.test])
    centimetres = np.round(data.scaling.invert(samples.astype(np.float64)), 1)
    expected = np.sort(datasets.load_iris().data, axis=0)
    np.testing.assert_allclose(np.sort(centimetres, axis=0), expected, atol=1e-9)
    assert len(np.unique(data.train[:, 0])) == len(data.train)


def test_a_seed_fixes_noise_and_split():
    np.testing.assert_array_equal(_embedded.wine(seed=1).train, _embedded.wine(seed=1).train)
    assert not np.array_equal(_embedded.wine(seed=1).train, _embedded.wine(seed=2).train)
