"""Splits are disjoint, reproducible, and scaled by the training part alone."""

import numpy as np
import pytest

from mfgen.data import partition
from mfgen.data._dataset import standardised
from mfgen.data._repeats import shared, together


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


def test_equal_rows_are_kept_in_one_part():
    rng = np.random.default_rng(0)
    rows = rng.permutation(np.repeat(rng.normal(size=(50, 3)), 4, axis=0))
    groups = together(rows)
    parts = partition(200, (0.2, 0.1), groups=groups)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(200))
    assert [len(part) for part in parts] == [140, 40, 20]
    found = [set(groups[part]) for part in parts]
    assert len(set.union(*found)) == sum(map(len, found)) == 50
    with pytest.raises(ValueError, match="2 distinct samples among 8"):
        partition(8, (0.2, 0.1), groups=np.arange(8) % 2)
    alone = partition(101, (0.2, 0.1), seed=3, groups=np.arange(101))
    for part, expected in zip(alone, partition(101, (0.2, 0.1), seed=3), strict=True):
        np.testing.assert_array_equal(part, expected)


def test_values_that_come_again_by_chance_are_no_copies():
    rng = np.random.default_rng(0)
    for counts in (rng.integers(0, 9, (300, 1)), rng.integers(0, 5, (300, 3))):
        assert len(set(together(counts.astype(float)))) == 300
    copies = np.repeat(rng.integers(0, 50, (100, 4)), 3, axis=0).astype(float)
    assert len(set(together(copies))) == 100
    assert shared(copies[:7], copies[3:]) == 4
    assert shared(np.array([[0.0], [1.0]]), np.array([[-0.0], [2.0]])) == 1
