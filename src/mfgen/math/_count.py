"""Validation of counts: whole numbers of steps, samples, folds, cells.

A whole number is one in Python, NumPy or JAX; True is none, and neither is 10.0, which may have
been a width.
"""

import operator
from typing import Any

import numpy as np


def count(
    owner: str, name: str, value: Any, *, least: int = 1, wanted: str = "", advice: str = ""
) -> int:
    """The value as an `int`, checked in the name of `owner`.

    Arguments:
        owner: the public name that was given the value.
        name: of the argument.
        value: the number.
        least: the smallest that is allowed.
        wanted: what to say that it should be, if not a positive integer.
        advice: what to pass instead; "pass name >= least" if empty.

    Raises:
        ValueError: unless it is a whole number of at least `least`.
    """
    number = whole(value)
    if number is None or number < least:
        usual = "a positive integer" if least == 1 else f"a whole number of at least {least}"
        raise ValueError(
            f"`{owner}` got {name} = {value}, expected {wanted or usual}: "
            f"{advice or f'pass {name} >= {least}'}."
        )
    return number


def plain(value: Any) -> Any:
    """A whole number as an `int`, anything else as it is: for fields that are checked later."""
    number = whole(value)
    return value if number is None else number


def whole(value: Any) -> int | None:
    """The value as an `int` if it is a whole number by its type, else `None`."""
    try:
        number = operator.index(value)
    except (TypeError, ValueError):
        return None
    return None if np.asarray(value).dtype == bool else number
