"""Names for the arrays of the theory; the only place where axes are named.

A game is written for one sample: `x` is a point of state space of shape `[dim]`, `v` a control of
shape `[control]`, `p` a costate of shape `[dim]`, `t` a scalar. Batches appear only where data
enter or leave.
"""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

Scalar = Float[Array, ""]
Time = Float[ArrayLike, ""]
State = Float[Array, "dim"]
Costate = Float[Array, "dim"]
Control = Float[Array, "control"]
Batch = Float[Array, "n dim"]
Key = PRNGKeyArray


@runtime_checkable
class Container(Protocol):
    """What NumPy can read: a frame or series of pandas or polars, a tensor."""

    def __array__(self, *args: Any, **kwargs: Any) -> Any: ...


# Numbers as a user has them; `mfgen.math._entry` reads them.
Given = ArrayLike | Sequence | Container

# A whole number; `mfgen.math._count` checks it.
Count = int | np.integer
