"""A limiter for interpolation: the bound on its distance from the line between two nodes.

Between nodes i and i + 1, with u in [0, 1], a smooth function leaves the line by about
u (1 - u) / 2 times its second difference d, which differs little from node to node. At a jump d is
large at one node and small or of another sign at the next; there splines swing, and the least of
its neighbours tells them from the function:

    |f - line| <= 4 u (1 - u) r,      d_i = f_(i-1) - 2 f_i + f_(i+1),
    r = the least of |d_(i-1)|, ..., |d_(i+2)| if their signs agree,
        but at least that of |d_i|, |d_(i+1)| and 1/2, and at least .05

eight times what a parabola does. The bound is meant for logarithms, whose unit is e-fold. Beyond
the outermost nodes of a line, up to the walls, the function may go on with its slope, but for four
units a node at most.

Reference: A. Suresh, H. T. Huynh, "Accurate monotonicity-preserving schemes with Runge-Kutta time
stepping" (1997), for limits by the least curvature.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen._types import Scalar

_LEAST, _SHORT, _STEEPEST = 0.05, 0.5, 4.0
_SLACK = 0.01  # at a node, where rounding must not decide


def limited(
    smooth: Float[Array, "..."], line: Float[Array, "..."], room: Float[Array, "..."]
) -> Float[Array, "..."]:
    """`smooth` where it lies in the room around the line, with its derivatives; else the bound."""
    off = smooth - line
    return jnp.where(jnp.abs(off) <= room + _SLACK, smooth, line + jnp.clip(off, -room, room))


def block_line(
    values: Float[Array, "n *rest"],
    place: Scalar,
    room: Float[Array, "n *rest"] | None = None,
    *,
    periodic: bool,
) -> tuple[Float[Array, "*rest"], Float[Array, "*rest"]]:
    """The line along the first axis at a place, and the room around it.

    Arguments:
        values: at the nodes, at least six.
        place: in units of nodes, from 0 at the first to n - 1 at the last.
        room: what the values themselves may be off, from an axis before.
        periodic: whether the first node follows the last.
    """
    count = values.shape[0]
    below = jnp.floor(place)
    if not periodic:
        below = jnp.clip(below, 0, count - 2)
    start = below - 2 if periodic else jnp.clip(below - 2, 0, count - 6)
    # The choice of the nodes has no derivative.
    begin, u = jax.lax.stop_gradient(start).astype(int), place - jax.lax.stop_gradient(below)
    rows = (begin + jnp.arange(6)) % count
    first = jax.lax.stop_gradient(below - start).astype(int)  # of the two neighbours, in the rows
    block = values[rows]
    here, there = block[first], block[first + 1]
    bend = block[:-2] - 2 * block[1:-1] + block[2:]
    agree = jnp.abs(jnp.sum(jnp.sign(bend), axis=0)) == len(bend)
    bend = jnp.abs(bend)
    steady = jnp.where(agree, jnp.min(bend, axis=0), 0.0)
    short = jnp.minimum(jnp.min(bend[1:3], axis=0), _SHORT)
    free = jnp.maximum(jnp.maximum(steady, short), _LEAST)
    part = jnp.clip(u, 0, 1)
    beyond = jnp.abs(u - part)
    line = (1 - part) * here + part * there
    slope = jnp.minimum(jnp.abs(there - here) + free, _STEEPEST)
    around = 4 * part * (1 - part) * free + 2 * beyond * slope
    if room is not None:
        before = room[rows]
        around = around + (1 - part) * before[first] + part * before[first + 1]
    return line, around
