"""Ordinary differential equations on a uniform grid, and their solutions as functions of time.

`runge_kutta` goes from node to node; `Hermite` joins the nodes by cubic pieces.

Between two nodes, with u in [0, 1] and the step h,

    y = y_0 + u^2 (3 - 2 u) (y_1 - y_0) + u (1 - u) h ( (1 - u) y'_0 - u y'_1 )

which is the cubic with the given values and slopes at both ends. Its error is of order h^4, that
of its first derivative h^3; it is as accurate as a Runge-Kutta method of fourth order, whose slopes
come for nothing.

Reference: E. Hairer, S. Nørsett, G. Wanner, "Solving ordinary differential equations I" (1993),
section II.6.
"""

from collections.abc import Callable
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from mfgen._types import Time
from mfgen.math._domain import in_time

State = TypeVar("State", bound=PyTree[Array])


class Hermite(eqx.Module):
    """The piecewise cubic path on [0, horizon].

    Attributes:
        values: at the nodes, `[n + 1, ...]`.
        slopes: time derivatives there, `[n + 1, ...]`.
        horizon: the last node; nodes are equidistant.
    """

    values: Float[Array, "nodes ..."]
    slopes: Float[Array, "nodes ..."]
    horizon: float = eqx.field(static=True)

    def __call__(self, t: Time) -> Float[Array, "..."]:
        """The value at one time; outside [0, horizon] an error, or nan if t is traced."""
        known = in_time("Solution", t, 0.0, self.horizon)
        count = self.values.shape[0] - 1
        h = self.horizon / count
        z = jnp.asarray(t, self.values.dtype) * known / h
        k = jnp.clip(jnp.floor(z), 0, count - 1).astype(int)
        u = z - k
        left, right = self.values[k], self.values[k + 1]
        bend = (1 - u) * self.slopes[k] - u * self.slopes[k + 1]
        return left + u * u * (3 - 2 * u) * (right - left) + u * (1 - u) * h * bend


def runge_kutta(
    change: Callable[[PyTree, State], State],
    start: State,
    nodes: PyTree[Array],
    halves: PyTree[Array],
    span: Time,
) -> State:
    """The solution of y' = change(coefficients, y) at all nodes, by the classical fourth order.

    Arguments:
        change: the right side, given the coefficients at one time.
        start: y at the first node, a tree of arrays.
        nodes, halves: coefficients at the n + 1 nodes and half way between them, stacked.
        span: the time from the first node to the last, negative to go backwards.

    Returns:
        A tree like `start` with arrays `[n + 1, ...]`.
    """
    step = span / jax.tree.leaves(halves)[0].shape[0]
    add = lambda y, slope, part: jax.tree.map(lambda y, d: y + part * step * d, y, slope)

    def advance(y, given):
        before, half, after = given
        first = change(before, y)
        second = change(half, add(y, first, 0.5))
        third = change(half, add(y, second, 0.5))
        fourth = change(after, add(y, third, 1.0))
        mean = lambda a, b, c, d: (a + 2 * b + 2 * c + d) / 6
        y = add(y, jax.tree.map(mean, first, second, third, fourth), 1.0)
        return y, y

    before = jax.tree.map(lambda part: part[:-1], nodes)
    after = jax.tree.map(lambda part: part[1:], nodes)
    _, rest = jax.lax.scan(advance, start, (before, halves, after))
    return jax.tree.map(lambda y, ys: jnp.concatenate([y[None], ys]), start, rest)


def middle(y: State, slopes: State, horizon: Time) -> State:
    """Values half way between the nodes, by the cubic through values and slopes.

    Arguments:
        y, slopes: trees of arrays `[n + 1, ...]`.
        horizon: the time from the first node to the last.
    """

    def between(y: Array, slope: Array) -> Array:
        step = horizon / (y.shape[0] - 1)
        return 0.5 * (y[1:] + y[:-1]) + step / 8 * (slope[:-1] - slope[1:])

    return jax.tree.map(between, y, slopes)
