"""The sweeps of Riccati's equations, from coefficients that are known at every half step.

The equations and their order are those of `mfgen.solvers._riccati`: P, Y and y backwards, then m
and C forwards, then s = (Y - P) m + y, and c by quadrature. Nothing here knows of a game, so that
one program of each dimension and number of steps serves all games of a process.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen._types import Scalar, State
from mfgen.densities._base import Matrix
from mfgen.math._hermite import middle, runge_kutta
from mfgen.math._linear_map import LinearMap, matrix, trace
from mfgen.solvers._quadratic import Energy, Slope


class Back(NamedTuple):
    """The unknowns that run backwards: P, Y and y."""

    hessian: Matrix
    along: Matrix
    offset: State


class Forth(NamedTuple):
    """The unknowns that run forwards: m and C."""

    mean: State
    covariance: Matrix


class Forces(NamedTuple):
    """The coefficients at one time: Hamiltonian, interaction, sigma sigma^T / 2, discount."""

    energy: Energy
    slope: Slope
    diffusivity: LinearMap
    discount: Scalar


class Values(NamedTuple):
    """P, s, c, m and C, or their time derivatives, at the nodes."""

    hessian: Float[Array, "nodes dim dim"]
    slope: Float[Array, "nodes dim"]
    constant: Float[Array, "nodes"]
    mean: Float[Array, "nodes dim"]
    covariance: Float[Array, "nodes dim dim"]


class Moved(NamedTuple):
    """Both directions, at the nodes and half way between them."""

    back: Back
    forth: Forth
    back_between: Back
    forth_between: Forth


@jax.jit
def swept(forces: Forces, end: Slope, start: Forth, horizon: Scalar) -> Moved:
    """P, Y, y, m and C.

    Arguments:
        forces: the coefficients at the nodes and half way between them, `[2 steps + 1, ...]`.
        end: of the terminal cost.
        start: the moments at time 0.
        horizon: the time from the first node to the last.
    """
    nodes, halves = _parted(forces)
    last = Back(end.hessian, end.hessian + end.mean, end.constant)
    back = runge_kutta(_backward, last, _reversed(nodes), _reversed(halves), -horizon)
    back = _reversed(back)
    between = middle(back, jax.vmap(_backward)(nodes, back), horizon)
    forth = runge_kutta(_forward, start, (nodes, back), (halves, between), horizon)
    moving = jax.vmap(_forward)((nodes, back), forth)
    return Moved(back, forth, between, middle(forth, moving, horizon))


@jax.jit
def joined(
    forces: Forces, moved: Moved, own: Float[Array, "_"], last: Scalar, horizon: Scalar
) -> tuple[Values, Values]:
    """P, s, c, m and C at the nodes, and their time derivatives.

    Arguments:
        forces, horizon: as for `swept`, which gives `moved`.
        own: the interaction's first variation at the origin, at every half step.
        last: that of the terminal cost.
    """
    nodes, halves = _parted(forces)
    slopes = jax.vmap(_linear)(moved.back, moved.forth)
    constants, speed = _constants(nodes, halves, moved, own, last, horizon)
    there = Values(moved.back.hessian, slopes, constants, *moved.forth)
    change = jax.vmap(_linear_change)(nodes, moved.back, moved.forth, slopes)
    turning = jax.vmap(_backward)(nodes, moved.back).hessian
    return there, Values(
        turning, change, speed, *jax.vmap(_forward)((nodes, moved.back), moved.forth)
    )


@jax.jit
def error(fine: Values, coarse: Values) -> Scalar:
    """The relative error of the finer values, from half as many steps; infinite if one is nan."""
    pairs = zip(fine, coarse, strict=True)
    errors = [jnp.max(jnp.abs(a[::2] - b)) / (jnp.max(jnp.abs(a)) + 1) for a, b in pairs]
    largest = jnp.max(jnp.stack(errors)) / 15  # the order is four, and 2^4 - 1 = 15
    return jnp.where(jnp.isfinite(largest), largest, jnp.inf)


def _parted(forces: Forces) -> tuple[Forces, Forces]:
    """At the nodes, and half way between them."""
    return jax.tree.map(lambda part: part[::2], forces), jax.tree.map(
        lambda part: part[1::2], forces
    )


def _backward(forces: Forces, y: Back) -> Back:
    h, cost, r = forces.energy, forces.slope, forces.discount

    def riccati(p: Matrix, q: Matrix) -> Matrix:
        return r * p + h.xx + h.px.T @ p + p @ h.px + p @ h.pp @ p - q

    offset = h.x + y.along @ h.p + (h.px.T + y.along @ h.pp) @ y.offset - cost.constant
    offset = r * y.offset + offset
    along = riccati(y.along, cost.hessian + cost.mean)
    return Back(riccati(y.hessian, cost.hessian), along, offset)


def _forward(given: tuple[Forces, Back], y: Forth) -> Forth:
    forces, back = given
    h = forces.energy
    costate = back.along @ y.mean + back.offset
    closed = -(h.px + h.pp @ back.hessian)
    spread = closed @ y.covariance
    noise = 2 * matrix(forces.diffusivity, y.mean.shape[0])
    return Forth(-(h.px @ y.mean + h.pp @ costate + h.p), spread + spread.T + noise)


def _linear(back: Back, forth: Forth) -> State:
    """s = (Y - P) m + y."""
    return (back.along - back.hessian) @ forth.mean + back.offset


def _linear_change(forces: Forces, back: Back, forth: Forth, s: State) -> State:
    h, cost, p = forces.energy, forces.slope, back.hessian
    change = h.x + p @ h.p + (h.px.T + p @ h.pp) @ s - cost.mean @ forth.mean - cost.constant
    return forces.discount * s + change


def _constant_change(forces: Forces, back: Back, forth: Forth, own: Scalar) -> Scalar:
    """c' - r c."""
    h, s = forces.energy, _linear(back, forth)
    spread = trace(forces.diffusivity, back.hessian)
    return h.constant + h.p @ s + 0.5 * s @ h.pp @ s - spread - own


def _constants(
    nodes: Forces,
    halves: Forces,
    moved: Moved,
    own: Float[Array, "_"],
    last: Scalar,
    horizon: Scalar,
) -> tuple[Float[Array, "nodes"], Float[Array, "nodes"]]:
    """c at the nodes, by Simpson's rule for e^{-r t} (c' - r c) from the end, and its slopes."""
    change = jax.vmap(_constant_change)
    at_nodes = change(nodes, moved.back, moved.forth, own[::2])
    at_halves = change(halves, moved.back_between, moved.forth_between, own[1::2])
    step, discount = horizon / at_halves.shape[0], nodes.discount[0]
    half = jnp.exp(-0.5 * discount * step)
    parts = step / 6 * (at_nodes[:-1] + 4 * half * at_halves + half**2 * at_nodes[1:])

    def back_to(later: Scalar, part: Scalar) -> tuple[Scalar, Scalar]:
        now = half**2 * later - part
        return now, now

    _, earlier = jax.lax.scan(back_to, last, parts, reverse=True)
    constants = jnp.concatenate([earlier, last[None]])
    return constants, at_nodes + discount * constants


def _reversed(tree):
    return jax.tree.map(lambda part: part[::-1], tree)
