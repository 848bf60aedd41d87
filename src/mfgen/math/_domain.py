"""Functions that are known in a part of space and time only.

Outside of it they have no value. Where a place is given by numbers that is an error; where it is
traced, by `jit` or `vmap`, no error can be raised, and the value and all its derivatives are nan.
"""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Bool, Float

from mfgen._types import Time

_ROUNDING = 1e-5  # part of an interval of time that rounding may add to it


def known(inside: Bool[ArrayLike, ""], refusal: Callable[[], str]) -> Float[Array, ""] | float:
    """A factor for values: one inside, nan outside.

    Arguments:
        inside: whether the place is one where the function is known.
        refusal: what to say if it is not.

    Raises:
        ValueError: outside, unless that is traced.
    """
    if isinstance(inside, Tracer):
        return jnp.where(inside, 1.0, jnp.nan)
    if not bool(inside):
        raise ValueError(refusal())
    return 1.0


def said(place: ArrayLike) -> str:
    """A number or a point in words; of one that is differentiated the numbers are not known."""
    if isinstance(place, Tracer):
        return "..."
    return np.array2string(np.asarray(place), precision=4)


def in_time(owner: str, t: Time, first: float, last: float) -> Float[Array, ""] | float:
    """The factor of a function that is known at times from `first` to `last`; see `known`."""
    slack = _ROUNDING * (last - first)
    if not isinstance(t, Tracer):
        t = np.asarray(t)
    inside = (t >= first - slack) & (t <= last + slack)
    return known(
        inside,
        lambda: (
            f"`{owner}` got the time t = {said(t)}, expected one from {first:g} to {last:g}: "
            "the game says nothing before it begins and after it ends."
        ),
    )
