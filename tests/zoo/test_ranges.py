"""Rows far outside the training range are told by row and column, and do not pass for good."""

import jax
import numpy as np

from mfgen.zoo import _ranges
from mfgen.zoo._named_data import Data
from mfgen.zoo._samples import prepare

KEY = jax.random.key(0)


def table(tmp_path, value, column=1, row=3):
    """A table of which one row of the test part has another unit in one column."""
    values = np.random.default_rng(0).normal(size=(200, 3)) * [1.0, 10.0, 0.1] + [0.0, 500.0, 3.0]
    path = tmp_path / "table.csv"
    data = Data(name="table", path=str(path), validation=0.1, test=0.2)
    header = {"delimiter": ",", "header": "a,b,c", "comments": ""}
    np.savetxt(path, values, **header)
    whole = prepare(data, key=KEY)
    # The same split: find where the row of the test part is in the file.
    wanted = whole.original(whole.test)[row]
    place = int(np.argmin(np.abs(values - wanted[None]).sum(axis=1)))
    values[place, column] = value
    np.savetxt(path, values, **header)
    return prepare(data, key=KEY), place


def test_a_value_in_another_unit_is_named_by_row_and_column(tmp_path):
    samples, _ = table(tmp_path, 500_000.0)
    (line,) = _ranges.warnings(samples)
    assert "1 of 40 test rows more than 20 training deviations" in line
    assert "row 3 of that part, column 'b': 500000 is " in line
    away = float(line.split("500000 is ")[1].split()[0])
    assert 3e4 < away < 8e4


def test_data_within_their_range_are_not_warned_of(tmp_path):
    samples, _ = table(tmp_path, 505.0)
    assert _ranges.warnings(samples) == []
    assert _ranges.warnings(prepare(Data(name="breast-cancer"), key=KEY)) == []
