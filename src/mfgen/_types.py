"""Names for the arrays of the theory; the only place where axes are named.

A game is written for one sample: `x` is a point of state space of shape `[dim]`, `v` a control of
shape `[control]`, `p` a costate of shape `[dim]`, `t` a scalar. Batches appear only where data
enter or leave.
"""

from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

Scalar = Float[Array, ""]
Time = Float[ArrayLike, ""]
State = Float[Array, "dim"]
Costate = Float[Array, "dim"]
Control = Float[Array, "control"]
Batch = Float[Array, "n dim"]
Key = PRNGKeyArray
