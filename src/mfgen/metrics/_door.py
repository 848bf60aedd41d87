"""What every metric asks of its input before it computes.

Samples enter in any container that `mfgen.math._entry` reads, as arrays `[n, dim]` of finite
numbers. They are kept in float64 on the host, where means are removed before anything is squared:
|x|^2 + |y|^2 - 2 x.y loses the small distances when the cloud lies far from the origin.
"""

import numpy as np
from jaxtyping import Array, Float

from mfgen._types import Given
from mfgen.math import _entry

Points = Float[np.ndarray, "n dim"]
_LEAST = 1e-18
# One number per sample, per seed or per bandwidth.
Numbers = Given


def sample(owner: str, name: str, points: Given, *, least: int = 2) -> Points:
    """Returns `points` as a float64 array `[n, dim]`, or raises in the name of `owner`."""
    array = np.asarray(_entry.real(points, f"`{owner}` got `{name}` with"), dtype=np.float64)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(
            f"`{owner}` got `{name}` of shape {array.shape}, expected [n, dim]: "
            "pass one row per point, x[:, None] for numbers."
        )
    if array.shape[0] < least:
        raise ValueError(
            f"`{owner}` got {array.shape[0]} points in `{name}`, expected at least {least}: "
            "draw more samples."
        )
    broken = int(np.sum(~np.isfinite(array).all(axis=1)))
    if broken:
        raise ValueError(
            f"`{owner}` got {broken} of {array.shape[0]} points with NaN or infinity in `{name}`, "
            "expected finite numbers: repair the sampler, or drop them and report their share."
        )
    return array


def held(owner: str, name: str, points: Given, *, least: int = 2) -> Float[Array, "n dim"]:
    """The same in the working precision, for what is evaluated at the points themselves."""
    array = sample(owner, name, points, least=least)
    return _entry.single(array, f"`{owner}` got `{name}` with")


def samples(owner: str, least: int, **named: Given) -> list[Float[np.ndarray, "_ dim"]]:
    """Returns several clouds of points of one space, or raises in the name of `owner`."""
    arrays = [sample(owner, name, points, least=least) for name, points in named.items()]
    dims = {name: array.shape[1] for name, array in zip(named, arrays, strict=True)}
    if len(set(dims.values())) > 1:
        raise ValueError(
            f"`{owner}` got points of dimension {dims}, expected one dimension: "
            "compare samples of the same space."
        )
    centre = arrays[0].mean(axis=0)
    size = max(float(np.abs(array - centre).max()) for array in arrays)
    if size > 0 and not _LEAST < size < 1 / _LEAST:
        raise ValueError(
            f"`{owner}` got points that lie up to {size:.3g} apart, expected between {_LEAST} and "
            f"{1 / _LEAST}, whose squares single precision holds: express them in other units."
        )
    return arrays


def equal_sizes(owner: str, x: Float[np.ndarray, "n dim"], y: Float[np.ndarray, "m dim"]) -> None:
    """Raises in the name of `owner` unless both samples have the same number of points."""
    if len(x) != len(y):
        raise ValueError(
            f"`{owner}` got {len(x)} and {len(y)} points, expected equal numbers: "
            f"pass the first {min(len(x), len(y))} of each."
        )


def values(owner: str, name: str, numbers: Numbers, *, least: int = 2) -> Float[np.ndarray, "n"]:
    """Returns `numbers` as a float64 array `[n]`, or raises in the name of `owner`."""
    array = np.asarray(_entry.real(numbers, f"`{owner}` got `{name}` with"), dtype=np.float64)
    if array.ndim != 1 or array.size < least:
        raise ValueError(
            f"`{owner}` got `{name}` of shape {array.shape}, expected [n] with n >= {least}: "
            "pass one number per sample."
        )
    return array
