"""What is asked of snapshots, and the embryoid-body cells themselves."""

import jax
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from mfgen.data import snapshots
from mfgen.data._snapshots import check_snapshots
from mfgen.metrics import wasserstein2
from mfgen.zoo import landscape, snapshot_bridge

GOOD = np.random.default_rng(0).normal(size=(3, 10, 2))
BROKEN = np.where(np.arange(60).reshape(3, 10, 2) == 23, np.nan, GOOD)


def test_snapshots_are_taken_as_they_are():
    samples, times = check_snapshots("f", GOOD.astype(np.float32), (0, 2, 4))
    assert samples.dtype == times.dtype == np.float64
    np.testing.assert_array_equal(samples, GOOD.astype(np.float32))
    np.testing.assert_array_equal(times, [0.0, 2.0, 4.0])


@pytest.mark.parametrize(
    ("samples", "times", "message"),
    [
        (GOOD[0], (0,), r"`f` got snapshots of shape \(10, 2\), expected \[times, n, dim\]"),
        (GOOD[:1], (0,), r"shape \(1, 10, 2\), expected .* at least 2 times"),
        (GOOD[:, :1], (0, 1, 2), r"shape \(3, 1, 2\), expected .* 2 rows: stack samples"),
        (BROKEN, (0, 1, 2), r"1 values that are NaN or infinite, the first at \[1, 1, 1\]: drop"),
        (GOOD.astype(str), (0, 1, 2), "dtype <U32, expected real numbers"),
        (GOOD, (0, 1), r"times of shape \(2,\) for 3 snapshots, expected \[3\]: pass one time"),
        (GOOD, (0, 2, 1), r"times \[0.0, 2.0, 1.0\], expected them to increase: sort"),
        (GOOD, (0, 1, 1), "expected them to increase"),
        (GOOD, (0, 1, np.inf), "`times` has 1 values that are NaN or infinite"),
    ],
)
def test_bad_snapshots_are_refused(samples, times, message):
    with pytest.raises(ValueError, match=message):
        check_snapshots("f", samples, times)


@pytest.mark.slow
def test_left_out_cells_are_nearer_to_the_game_than_to_interpolations(real_file):
    """Snapshots 1 and 3 from 0, 2 and 4, on average over draws."""
    data = snapshots(real_file("singlecell/eb_5x300x5.npy"))
    seen, times = data[::2], (0.0, 2.0, 4.0)
    bridge = snapshot_bridge(seen, times, sigma=0.05, landscape=landscape(seen, times))
    far = lambda cloud, t: float(wasserstein2(cloud, data[t]).value)
    for k, t in enumerate((1, 3)):
        x, y = seen[k], seen[k + 1]
        straight = (x + y[linear_sum_assignment(cdist(x, y, "sqeuclidean"))[1]]) / 2
        drawn = (x + np.random.default_rng(0).permutation(y)) / 2
        own = [far(bridge.points(float(t), key=jax.random.key(i)), t) for i in range(4)]
        assert np.mean(own) < far(straight, t) < far(drawn, t)
