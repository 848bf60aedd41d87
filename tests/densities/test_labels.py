"""Laws of points with labels, and what they refuse."""

import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities import Gaussian, Labelled, LabelledPoints, labelled, one_hot

POINTS = np.array([[0.0, 1.0], [2.0, -1.0], [4.0, 3.0]])
CLASSES = one_hot(np.array([0, 1, 1]), 2)
LAW = Gaussian(jnp.array([0.5, -1.0]), jnp.array([2.0, 0.3]))
NAN = np.array([[0.0], [np.nan], [1.0]])


def test_one_hot_rows_are_unit_vectors():
    assert np.array_equal(CLASSES, [[1, 0], [0, 1], [0, 1]])
    assert np.array_equal(one_hot(2, 4), [0, 0, 1, 0])


def test_rows_are_points_and_then_labels():
    rows = labelled(POINTS, CLASSES)
    assert np.array_equal(rows[:, :2], POINTS)
    assert np.array_equal(rows[:, 2:], CLASSES)
    assert np.array_equal(labelled(POINTS, one_hot(1, 2))[:, 2:], [[0, 1]] * 3)


def test_samples_of_data_keep_point_and_label_together(key):
    law = LabelledPoints(POINTS, CLASSES)
    rows = set(map(tuple, np.asarray(law.sample(200, key=key))))
    assert rows == set(map(tuple, np.asarray(law.rows)))
    mean, covariance = law.moments()
    np.testing.assert_allclose(mean, np.asarray(law.rows).mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(covariance, np.cov(law.rows.T, ddof=0), rtol=1e-5, atol=1e-6)


def test_points_of_the_reference_do_not_depend_on_the_label(key):
    n = 20000
    law = Labelled(LAW, CLASSES)
    rows = np.asarray(law.sample(n, key=key), float)
    mean, covariance = law.moments()
    sizes = np.sqrt(np.diag(covariance))
    assert np.all(abs(rows.mean(axis=0) - mean) < 4 * sizes / np.sqrt(n))
    products = np.cov(rows.T) - np.asarray(covariance)
    assert np.all(abs(products) < 6 * np.outer(sizes, sizes) / np.sqrt(n))
    assert np.all(covariance[:2, 2:] == 0)


def test_density_is_that_of_the_point_whatever_its_label(x64):
    law = Labelled(LAW, CLASSES)
    for row in labelled(POINTS, CLASSES):
        assert law.log_density(row) == LAW.log_density(row[:2])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: one_hot(np.array([0, 3]), 3), r"`one_hot` got the label 3, .* from 0 to 2"),
        (lambda: one_hot(np.array([-1]), 3), r"`one_hot` got the label -1"),
        (lambda: one_hot(np.array([0.5]), 3), r"`one_hot` got the label 0.5, expected whole"),
        (lambda: one_hot(np.array([np.nan]), 3), r"`one_hot` got the label nan"),
        (lambda: one_hot(np.array([0]), 1), r"`one_hot` got classes = 1"),
        (lambda: labelled(POINTS, CLASSES[:2]), r"got 3 points and 2 labels, expected as many"),
        (lambda: labelled(POINTS, NAN), r"`labelled` got labels with NaN .* in 1 of 3 .* row 1"),
        (lambda: labelled(NAN, CLASSES), r"`labelled` got points with NaN"),
        (lambda: LabelledPoints(POINTS, np.array([0, 1, 1])), r"labels of shape \(3,\).*one_hot"),
        (lambda: LabelledPoints(POINTS, one_hot([0, 1, 1], 3)), r"same coordinate 2 for all"),
        (lambda: Labelled(LAW, np.zeros((0, 2))), r"`Labelled` got labels of shape \(0, 2\)"),
    ],
)
def test_wrong_labels_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
