"""Rows of the data that are far outside of what the scaling, and so the model, was fitted to.

A likelihood there is finite and says how a model extrapolates rather than how well it fits; a few
such rows decide a mean. They are most often slips of a table: another unit, a code for a missing
value. They are told, by row and column, and kept.
"""

import numpy as np

from mfgen.data._scaling import Standardise
from mfgen.zoo._samples import Samples

FAR = 20.0  # standard deviations of the training data


def warnings(samples: Samples) -> list[str]:
    """One line for each part of the data that has such rows, with the farthest value."""
    if not isinstance(samples.scaling, Standardise):
        return []
    parts = {"train": samples.train, "validation": samples.validation, "test": samples.test}
    lines = []
    for name, part in parts.items():
        original = samples.original(part)
        found = samples.scaling.outside(original, deviations=FAR)
        if not found.rows:
            continue
        value = float(np.asarray(original)[found.row, found.column])
        lines.append(
            f"`data` has {found.rows} of {len(part)} {name} rows more than {FAR:g} training "
            f"deviations from the mean, the farthest in row {found.row} of that part, column "
            f"{samples.columns[found.column]!r}: {value:.6g} is {found.deviations:.3g} deviations "
            "away; look for another unit or a code for a missing value"
        )
    return lines
