"""Validation of snapshots, samples of one population at several times.

Each snapshot holds other individuals (a cell is measured once), so row i of one snapshot has
nothing to do with row i of the next. A file of them is read by `mfgen.data._table.snapshots`.
"""

import numpy as np
from jaxtyping import Float

from mfgen._types import Given
from mfgen.data._validate import check_finite, check_numbers
from mfgen.math import _entry


def check_snapshots(
    owner: str, samples: Given, times: object
) -> tuple[Float[np.ndarray, "times n dim"], Float[np.ndarray, "times"]]:
    """Return snapshots and their times as float64 arrays, or say what is wrong with them.

    Arguments:
        owner: the public function to name in errors.
        samples: `[times, n, dim]`, as many rows at each time.
        times: `[times]`, strictly increasing, in any unit.

    Raises:
        ValueError: for another shape, fewer than two snapshots or two rows in each, NaN or
            infinity, or times that do not increase.
    """
    array = check_finite(check_numbers(samples, name="snapshots"), name="snapshots")
    if array.ndim != 3 or array.shape[0] < 2 or array.shape[1] < 2:
        raise ValueError(
            f"`{owner}` got snapshots of shape {array.shape}, expected [times, n, dim] with at "
            "least 2 times and 2 rows: stack samples of equal size, one for each time."
        )
    _entry.refuse_unresolved(array.reshape(-1, array.shape[2]), f"`{owner}` got snapshots with")
    moments = check_finite(check_numbers(times, name="times"), name="times")
    if moments.shape != array.shape[:1]:
        raise ValueError(
            f"`{owner}` got times of shape {moments.shape} for {array.shape[0]} snapshots, "
            f"expected [{array.shape[0]}]: pass one time for each snapshot."
        )
    if (np.diff(moments) <= 0).any():
        raise ValueError(
            f"`{owner}` got times {moments.tolist()}, expected them to increase: sort the "
            "snapshots by time."
        )
    return array.astype(np.float64), moments.astype(np.float64)
