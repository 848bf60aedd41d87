import numpy as np
import pytest

from mfgen.metrics import (
    _door,
    c2st,
    energy_distance,
    memorisation_ratio,
    mmd2,
    one_shot_error,
    wasserstein2,
)
from mfgen.metrics._compare import compare

POINTS = np.arange(40.0).reshape(20, 2)


def test_points_keep_their_values():
    np.testing.assert_array_equal(_door.sample("f", "x", POINTS.astype(np.float32)), POINTS)


def test_refuses_numbers_that_are_not_points():
    with pytest.raises(
        ValueError, match=r"`energy_distance` got `x` of shape \(20,\).*\[:, None\]"
    ):
        energy_distance(POINTS[:, 0], POINTS)


def test_refuses_broken_points():
    broken = np.where(POINTS == 3.0, np.nan, POINTS)
    with pytest.raises(ValueError, match=r"1 of 20 points with NaN or infinity in `y`.*repair"):
        mmd2(POINTS, broken)


def test_refuses_different_spaces():
    with pytest.raises(
        ValueError, match=r"`memorisation_ratio` got points of dimension .*same space"
    ):
        memorisation_ratio(POINTS, POINTS, POINTS[:, :1])


@pytest.mark.parametrize("metric", [wasserstein2, c2st])
def test_refuses_different_sizes(metric):
    with pytest.raises(ValueError, match=r"got 20 and 15 points.*pass the first 15"):
        metric(POINTS, POINTS[:15])


def test_refuses_too_few_points():
    with pytest.raises(ValueError, match="`mmd2` got 3 points in `x`, expected at least 4"):
        mmd2(POINTS[:3], POINTS)


def test_refuses_unpaired_numbers():
    with pytest.raises(ValueError, match="run both methods with the same seeds"):
        compare([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="evaluate both at the same points"):
        one_shot_error([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="pass one number per sample"):
        compare([1.0], [1.0])


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_refuses_points_whose_squares_single_precision_does_not_hold(scale):
    with pytest.raises(ValueError, match=r"`energy_distance` got points .* in other units"):
        energy_distance(scale * POINTS, scale * POINTS + scale)
