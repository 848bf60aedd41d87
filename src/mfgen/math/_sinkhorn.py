"""Sinkhorn's iteration between two clouds, with falling entropy and over-relaxation.

    P_ij = a_i b_j exp((u_i + v_j + x_i.y_j) / eps),       sum_j P_ij = a_i,     sum_i P_ij = b_j
    u_i  = -eps log sum_j b_j exp((v_j + x_i.y_j) / eps),  and v by the same sum over i

is the plan of least E_P |X - Y|^2 / 2 + eps KL(P | a x b): the squares of x and y alone do not
depend on the plan, and leaving them out keeps their size out of the rounding. Clouds are given
about their means.

At the strength eps errors of normal laws fall in a turn by 1 - eps / (deviation of x times that of
y): slowly, and from far away more slowly still. So the strength falls from that product to eps
while turns are taken, and then turns are over-relaxed, u <- (1 - w) u + w (...). From the rate
lambda seen with w follows that without, mu^2 = (lambda + w - 1)^2 / (lambda w^2), and the best w =
2 / (1 + sqrt(1 - mu^2)); it is brought back towards one where errors grow. With eps a thousandth of
the variance that is a few hundred turns where plain ones are thousands. That is the linear theory
of small errors: larger ones may go round for ever at a large w, so where the error has not fallen
for a while, plain turns are taken once more.

The plan of a cloud with itself is symmetric, u = v, and its turns u <- (u + (...)) / 2 halve the
error at any eps, since all eigenvalues of the kernel are positive. It is near the diagonal, where
-|x - y|^2 / 2 in the place of x.y, by differences, is free of rounding.

References:
    M. Cuturi, "Sinkhorn distances" (2013), arXiv 1306.0895.
    A. Thibault, L. Chizat, C. Dossal, N. Papadakis, "Overrelaxed Sinkhorn-Knopp algorithm for
    regularized optimal transport" (2017), arXiv 1711.01851.
    T. Lehmann, M.-K. von Renesse, A. Sambale, A. Uschmajew, "A note on overrelaxation in the
    Sinkhorn algorithm" (2021), arXiv 2012.12562.
    J. Feydy et al. (2019), arXiv 1810.08278 (falling entropy; the symmetric turn).
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.scipy.special import logsumexp
from jaxtyping import Array, Bool, Float, Int

from mfgen._types import Batch, Scalar

# Pairs at once: above it products are computed again when they are needed, by rows.
PAIRS = 2**24

Transform = Callable[[Array, Scalar], Array]

# What the entropy falls by in a turn; turns from one look at the error to the next; the largest w;
# the growth of the error over a look at which w is brought back.
_FALL, _LOOK, _MOST, _GROWTH = 0.7, 8, 1.97, 2.0
# The looks in which the error has to fall to this part of its least, or turns are plain again.
_PATIENCE, _PROGRESS = 8, 0.98
# The logarithm of a factor in single precision, at most.
_FACTOR = 40.0


class NotConverged(RuntimeError):
    """An iteration that ended before it arrived."""


class Scaled(NamedTuple):
    """The potentials of a plan, and how the iteration ended.

    Attributes:
        first, second: u and v, `[n]` and `[m]`; rows of the plan have their mass exactly.
        missed: the mass by which columns of the plan miss theirs, in the 1-norm.
        converged: whether that is within the tolerance.
        turns: taken.
    """

    first: Float[Array, "n"]
    second: Float[Array, "m"]
    missed: Scalar
    converged: Bool[Array, ""]
    turns: Int[Array, ""]


class _State(NamedTuple):
    """Where the iteration is; `least` is the error that a fall is told from, `since` in looks."""

    u: Array
    v: Array
    relaxation: Scalar
    missed: Scalar
    least: Scalar
    since: Int[Array, ""]
    turns: Int[Array, ""]


@functools.partial(jax.jit, static_argnames=("tolerance", "turns"))
def sinkhorn(
    x: Batch,
    y: Float[Array, "m dim"],
    a: Float[Array, "n"],
    b: Float[Array, "m"],
    epsilon: Scalar,
    *,
    tolerance: float,
    turns: int,
    apart: Bool[Array, "n m"] | None = None,
) -> Scaled:
    """The entropic plan of two clouds.

    Arguments:
        x, y: points about their means, `[n, dim]` and `[m, dim]`.
        a, b: their weights, each of sum one.
        epsilon: the strength of the entropy, in the units of |x|^2.
        tolerance: of the mass that the plan misses, in the 1-norm.
        turns: at most.
        apart: pairs that the plan may not hold, `[n, m]`.
    """
    x, y, a, b, epsilon = _alike(x, y, a, b, epsilon)
    table = None
    if len(x) * len(y) <= PAIRS or apart is not None:
        table = _product(x, y.T)
        table = table if apart is None else jnp.where(apart, -jnp.inf, table)
    rows, columns = _sums(x, y, jnp.log(a), jnp.log(b), table, _product)
    u, v, count = _fallen(rows, columns, x, y, a, b, epsilon, turns)

    def look(state: _State) -> _State:
        w = state.relaxation
        if table is None:
            u, v, missed = _by_sums(rows, columns, state.u, state.v, a, b, epsilon, w)
        else:
            u, v, missed = _by_plan(table, state.u, state.v, a, b, epsilon, w)
        fell = missed < _PROGRESS * state.least
        stuck = ~fell & (state.since + 1 >= _PATIENCE)
        known = jnp.isfinite(state.missed)
        w = jnp.where(known, _better(w, missed / state.missed), w)
        w, since = jnp.where(stuck, 1.0, w), jnp.where(fell | stuck, 0, state.since + 1)
        least = jnp.where(fell | stuck, missed, state.least)
        return _State(u, v, w, missed, least, since, state.turns + _LOOK)

    infinite, one = jnp.full((), jnp.inf, u.dtype), jnp.ones((), u.dtype)
    going = lambda state: (state.missed > tolerance) & (state.turns < turns)
    first = _State(u, v, one, infinite, infinite, jnp.asarray(0), count)
    end = jax.lax.while_loop(going, look, first)
    return _ended(rows, columns, end.u, a, b, epsilon, end.missed, tolerance, end.turns)


@functools.partial(jax.jit, static_argnames=("tolerance", "turns"))
def own_sinkhorn(
    x: Batch, a: Float[Array, "n"], epsilon: Scalar, *, tolerance: float, turns: int
) -> Scaled:
    """The entropic plan of a cloud with itself, with potentials of -|x - y|^2 / 2.

    Arguments as of `sinkhorn`.
    """
    x, a, epsilon = _alike(x, a, epsilon)
    table = jax.vmap(lambda point: _nearness(x, point))(x) if len(x) ** 2 <= PAIRS else None
    rows, columns = _sums(x, x, jnp.log(a), jnp.log(a), table, _nearness)

    def turn(state):
        u, now, _, count = state
        here = rows(u, now)
        missed = jnp.where(now <= epsilon, _missed(a, u - here, now), jnp.inf)
        return 0.5 * (u + here), jnp.maximum(_FALL * now, epsilon), missed, count + 1

    widest = jnp.maximum(epsilon, _square(x, a))
    first = jnp.zeros_like(a), widest, jnp.full((), jnp.inf, x.dtype), jnp.asarray(0)
    going = lambda state: (state[2] > tolerance) & (state[3] < turns)
    u, _, missed, count = jax.lax.while_loop(going, turn, first)
    return _ended(rows, columns, u, a, a, epsilon, missed, tolerance, count)


def plan_of(
    found: Scaled,
    x: Batch,
    y: Float[Array, "m dim"],
    a: Float[Array, "n"],
    b: Float[Array, "m"],
    epsilon: Scalar,
    *,
    apart: Bool[Array, "n m"] | None = None,
) -> Float[Array, "n m"]:
    """P, for what `sinkhorn` found with the same arguments."""
    logs = (_product(x, y.T) + found.first[:, None] + found.second[None]) / epsilon
    plan = jnp.exp(logs) * a[:, None] * b[None]
    return plan if apart is None else jnp.where(apart, 0.0, plan)


def arrived(owner: str, value: Array, plan: Scaled, tolerance: float, fix: str) -> Array:
    """The value, or a `NotConverged` in the name of `owner` unless the plan has arrived.

    Under `jax.jit` it is raised when the compiled program runs.

    Arguments:
        owner: the public name that was asked for the plan.
        value: what is returned.
        plan: where the iteration ended.
        tolerance: of the mass.
        fix: what to do.
    """
    if isinstance(plan.converged, Tracer):
        said = (
            f"`{owner}` got a plan that misses more of the mass than tolerance = {tolerance:g} "
            f"after all iterations of Sinkhorn: {fix}."
        )
        return eqx.error_if(value, ~plan.converged, said)
    if not plan.converged:
        raise NotConverged(
            f"`{owner}` got a plan that misses {float(plan.missed):.2g} of the mass after "
            f"{int(plan.turns)} iterations of Sinkhorn, expected at most tolerance = "
            f"{tolerance:g}: {fix}."
        )
    return value


def _sums(x, y, log_a: Array, log_b: Array, table: Array | None, paired: Callable):
    """(v, eps) -> u and (u, eps) -> v; by a table of all pairs if there is one."""

    def transform(left: Array, right: Array, logs: Array, table: Array | None) -> Transform:
        if table is not None:
            return lambda v, e: -e * logsumexp((table + v[None]) / e + logs[None], axis=1)

        def computed(v: Array, e: Scalar) -> Array:
            row = lambda point: -e * logsumexp((paired(right, point) + v) / e + logs)
            return jax.lax.map(row, left, batch_size=max(1, min(len(left), PAIRS // right.size)))

        return computed

    turned = None if table is None else table.T
    return transform(x, y, log_b, table), transform(y, x, log_a, turned)


def _fallen(rows: Transform, columns: Transform, x, y, a, b, epsilon, turns: int):
    """u and v after the turns in which the entropy falls, and their number."""
    widest = jnp.maximum(epsilon, jnp.sqrt(_square(x, a) * _square(y, b)))

    def turn(state):
        u, _, now, count = state
        v = columns(u, now)
        return rows(v, now), v, jnp.maximum(_FALL * now, epsilon), count + 1

    going = lambda state: (state[2] > epsilon) & (state[3] < turns)
    first = jnp.zeros_like(a), jnp.zeros_like(b), widest, jnp.asarray(0)
    u, _, _, count = jax.lax.while_loop(going, turn, first)
    v = columns(u, epsilon)
    return rows(v, epsilon), v, count + 1


def _by_plan(table: Array, u: Array, v: Array, a: Array, b: Array, epsilon: Scalar, w: Scalar):
    """u and v after the turns of a look: factors of the rows and columns of one plan."""
    logs = (table + u[:, None] + v[None]) / epsilon
    plan = jnp.exp(jnp.minimum(logs, _FACTOR)) * a[:, None] * b[None]
    tiny = jnp.finfo(plan.dtype).tiny

    def factor(old: Array, sums: Array, masses: Array) -> tuple[Array, Scalar]:
        found = jnp.log(jnp.maximum(masses, tiny) / jnp.maximum(sums, tiny))
        moved = jnp.where(masses > 0, jnp.clip(old + w * (found - old), -_FACTOR, _FACTOR), 0.0)
        return moved, jnp.sum(jnp.abs(jnp.exp(old) * sums - masses))

    def turn(_, state):
        p, q, _ = state
        q, missed = factor(q, jnp.exp(p) @ plan, b)
        p, other = factor(p, plan @ jnp.exp(q), a)
        return p, q, jnp.maximum(missed, other)

    first = jnp.zeros_like(u), jnp.zeros_like(v), jnp.zeros((), u.dtype)
    p, q, missed = jax.lax.fori_loop(0, _LOOK, turn, first)
    return u + epsilon * p, v + epsilon * q, missed


def _by_sums(rows: Transform, columns: Transform, u, v, a, b, epsilon: Scalar, w: Scalar):
    """The same, by sums over products that are computed again."""

    def turn(_, state):
        u, v, _ = state
        there = columns(u, epsilon)
        missed = _missed(b, v - there, epsilon)
        v = v + w * (there - v)
        here = rows(v, epsilon)
        missed = jnp.maximum(missed, _missed(a, u - here, epsilon))
        return u + w * (here - u), v, missed

    return jax.lax.fori_loop(0, _LOOK, turn, (u, v, jnp.zeros((), u.dtype)))


def _alike(*values: Array) -> list[Array]:
    dtype = jnp.result_type(*values)
    return [jnp.asarray(value, dtype) for value in values]


def _product(left: Array, right: Array) -> Array:
    return jnp.dot(left, right, precision=jax.lax.Precision.HIGHEST)


def _nearness(points: Array, point: Array) -> Array:
    return -0.5 * jnp.sum(jnp.square(points - point[None]), axis=1)


def _missed(weights: Array, change: Array, epsilon: Scalar) -> Scalar:
    """The mass that a marginal misses where its potential would change by so much."""
    return weights @ jnp.abs(jnp.expm1(jnp.clip(change / epsilon, -50, 50)))


def _square(x: Array, a: Array) -> Scalar:
    return a @ jnp.sum(x * x, axis=1)


def _better(w: Scalar, fall: Scalar) -> Scalar:
    """The over-relaxation after a look, over which the error fell by a factor."""
    rate = jnp.clip(fall ** (1 / _LOOK), 1e-3, 1 - 1e-6)
    plain = jnp.square(rate + w - 1) / (rate * w * w)
    best = 2 / (1 + jnp.sqrt(jnp.clip(1 - plain, 0.0, 1.0)))
    # Beyond the best w all rates are w - 1, and nothing can be told from them.
    told = jnp.where(rate > w - 1, jnp.minimum(best, _MOST), w)
    return jnp.where(fall > _GROWTH, 0.5 * (1 + w), told)


def _ended(rows, columns, u, a, b, epsilon, missed, tolerance, turns) -> Scaled:
    v = columns(u, epsilon)
    first = rows(v, epsilon)
    found = _missed(b, v - columns(first, epsilon), epsilon)
    found = jnp.where(jnp.isfinite(found), found, jnp.inf)
    done = jnp.minimum(found, missed) <= tolerance
    return Scaled(first, v, found, done, turns)
