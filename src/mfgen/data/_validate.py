"""Validation of samples: those that would make training fail later are refused here, by name.

Samples are a matrix `[n, dim]` of finite numbers with at least two rows and no constant column. A
constant feature has no density; a NaN spreads to every weight in one step. A feature may vary in
the file and no longer in single precision, in which games are played: see `mfgen.math._entry`.
"""

import numpy as np
from jaxtyping import Float

from mfgen.math import _entry

_LARGEST = 1e18
_SMALLEST = 1e-150


def check_samples(
    samples: object, *, name: str = "data", standardised_later: bool = False
) -> Float[np.ndarray, "n dim"]:
    """Return the samples as a float matrix, or say in one line what is wrong with them.

    Arguments:
        samples: anything NumPy can read as an array.
        name: what to call them in an error.
        standardised_later: the caller shifts and scales them in float64, so that a feature may lie
            farther from zero than single precision resolves.

    Returns:
        The samples `[n, dim]`, float32 or float64: the first for halves, booleans and integers that
            it holds exactly.

    Raises:
        ValueError: for masked values, objects or text, a shape other than `[n, dim]`, fewer than
            two samples, no features, NaN or infinity, a constant feature, or one that single
            precision does not resolve.
    """
    array = check_points(samples, name=name, least=2)
    constant = np.flatnonzero(array.min(axis=0) == array.max(axis=0))
    if constant.size:
        listed = ", ".join(map(str, constant[:8])) + (", ..." if constant.size > 8 else "")
        raise ValueError(
            f"`{name}` is constant in feature {listed}, expected it to vary: drop the feature, "
            "a constant has no density."
        )
    if not standardised_later:
        _entry.refuse_unresolved(array, f"`{name}` has")
    _check_steps(array, name)
    return array


def check_points(samples: object, *, name: str, least: int = 1) -> Float[np.ndarray, "n dim"]:
    """Return places as a float matrix, or say what is wrong; they may coincide, as starts may.

    Arguments:
        samples, name: as of `check_samples`.
        least: the smallest number of rows.
    """
    array = check_finite(check_numbers(samples, name=name), name=name)
    if array.ndim != 2:
        raise ValueError(f"`{name}` has shape {array.shape}, expected [n, dim]: {_fix(array)}.")
    if array.shape[0] < least or array.shape[1] < 1:
        raise ValueError(
            f"`{name}` has {array.shape[0]} samples of {array.shape[1]} features, expected at "
            f"least {least} of 1: pass more data."
        )
    _check_size(array, name)
    return array


def check_numbers(samples: object, *, name: str) -> Float[np.ndarray, "..."]:
    """Return a non-empty float array, or refuse what `mfgen.math._entry.real` does."""
    array = _entry.real(samples, f"`{name}` has")
    if array.size == 0:
        raise ValueError(f"`{name}` is empty (shape {array.shape}): pass at least 2 samples.")
    return array


def check_finite(array: np.ndarray, *, name: str) -> np.ndarray:
    """Return the array, or say how many values are not finite and where the first one is."""
    return _entry.finite(array, f"`{name}` has")


def _check_size(array: np.ndarray, name: str) -> None:
    largest = float(np.abs(array).max())
    if largest > _LARGEST:
        raise ValueError(
            f"`{name}` has values of size {largest:.3g}, expected at most {_LARGEST:.0e}, whose "
            "squares single precision can hold: express the data in larger units."
        )


def _check_steps(array: np.ndarray, name: str) -> None:
    """Refuses features of which the file itself has kept too few digits, or none of the square."""
    spread = array.std(axis=0, dtype=np.float64)
    step = float(np.finfo(array.dtype).eps) * np.abs(array).max(axis=0).astype(np.float64)
    coarse, small = spread < _entry.STEPS * step, spread < _SMALLEST
    for feature in np.flatnonzero(coarse | small)[:1]:
        said = f"`{name}` has a deviation of {spread[feature]:.3g} in feature {feature}"
        if small[feature]:
            raise ValueError(
                f"{said}, expected at least {_SMALLEST:.0e}, whose square is a number: express the "
                "data in smaller units."
            )
        raise ValueError(
            f"{said}, where {array.dtype} has steps of {step[feature]:.2g}, expected at least "
            f"{_entry.STEPS} steps in a deviation: subtract the mean before the data are rounded "
            f"to {array.dtype}, or save them as float64."
        )


def _fix(array: np.ndarray) -> str:
    if array.ndim < 2:
        return "pass `x[:, None]` for one feature"
    return "pass one slice `x[i]`, or flatten each sample with `x.reshape(len(x), -1)`"
