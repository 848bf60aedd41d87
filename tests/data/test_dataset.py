"""Splits are disjoint, reproducible, and scaled by the training part alone."""

import numpy as np
import pytest

from mfgen.data.dataset import partition, standardised


def test_partition_covers_every_index_once():
    train, validation, test = partition(101, (0.2, 0.1), seed=3)
    assert (len(train), len(validation), len(test)) == (71, 20, 10)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, validation, test])), range(101))


def test_partition_depends_on_the_seed_alone():
    np.testing.assert_array_equal(partition(50, seed=1)[0], partition(50, seed=1)[0])
    assert not np.array_equal(partition(50, seed=1)[0], partition(50, seed=2)[0])


def test_small_parts_get_one_sample_and_absent_parts_none():
    assert [len(part) for part in partition(5, (0.01, 0.0))] == [4, 1, 0]


@pytest.mark.parametrize(
    ("count", "fractions"), [(3, (0.1, 0.1)), (9, (0.5, 0.5)), (9, (-0.5, 0.0))]
)
def test_partition_refuses_to_train_on_nothing(count, fractions):
    with pytest.raises(ValueError, match="expected 2 samples left to train on: pass more samples"):
        partition(count, fractions)


def test_scaling_sees_the_training_part_only():
    rng = np.random.default_rng(0)
    train, validation, test = (rng.normal(size=(n, 2)) + n for n in (100, 20, 10))
    labels = [np.arange(n) for n in (100, 20, 10)]
    width = np.zeros(2)
    data = standardised("toy", [train, validation, test], width=width, labels=labels)
    np.testing.assert_allclose(data.train.mean(axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(data.train.std(axis=0), 1.0, rtol=1e-5)
    assert np.all(data.validation.mean(axis=0) < -50.0)
    np.testing.assert_allclose(data.scaling.invert(data.test), test, rtol=1e-4)
    assert (data.dim, data.columns, data.train.dtype) == (2, ("x0", "x1"), np.float32)
    np.testing.assert_array_equal(data.labels.test, labels[2])
