"""Rows that repeat: which are equal, and whether it can be by chance.

Classes are balanced by drawing rows more often, tables are joined twice. A copy in the held-out
part of a split is known from the other part, and the narrowest estimate wins: equal rows have to
stay together. Not so for counts and marks on a coarse scale, whose values come again by chance: to
hold out a value would leave a hole in the law. Rows count as such if every column lies on a lattice
and equal pairs are not far more frequent than for independent columns,

    q = sum over rows (n_row / n)^2  <=  10 prod over columns sum over values (n_value / n)^2.
"""

import numpy as np
from jaxtyping import Float, Int, Real

from mfgen.data._dequantise import resolution

_OFTEN = 10.0
# How near to a multiple of the width, in widths.
_NEAR = 1e-3


def distinct(rows: Real[np.ndarray, "n dim"]) -> Int[np.ndarray, "n"]:
    """A number for each row, the same for equal rows, counted from 0 as they first come."""
    rows = rows + 0.0 if rows.dtype.kind == "f" else rows  # -0.0 is 0.0
    _, first, inverse = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    rank = np.empty(len(first), int)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse.reshape(-1)]


def shared(rows: Float[np.ndarray, "n dim"], others: Float[np.ndarray, "m dim"]) -> int:
    """How many of the rows are among the others."""
    known = {row.tobytes() for row in others + 0.0}
    return sum(row.tobytes() in known for row in rows + 0.0)


def together(rows: Float[np.ndarray, "n dim"]) -> Int[np.ndarray, "n"]:
    """A number for each row, the same for rows that a split has to keep together."""
    groups = distinct(rows)
    return np.arange(len(rows)) if _by_chance(rows, groups) else groups


def _by_chance(rows: np.ndarray, groups: np.ndarray) -> bool:
    if groups.max() + 1 == len(rows):
        return True
    rows = rows[:, rows.min(axis=0) < rows.max(axis=0)]
    width = resolution(rows)
    if not (width > 0).all():
        return False
    steps = (rows - rows.min(axis=0)) / width
    if not (np.abs(steps - np.round(steps)) < _NEAR).all():
        return False
    expected = np.prod([_frequency(column) for column in rows.T])
    return bool(_frequency(groups) <= _OFTEN * expected)


def _frequency(values: np.ndarray) -> float:
    return float(np.sum(np.square(np.unique(values, return_counts=True)[1] / len(values))))
