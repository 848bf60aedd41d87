"""The Legendre transform of a convex function, computed: argmax_v q.v - L(v).

    L*(q) = sup_v { q.v - L(v) },     v*(q) = argmax,     grad L(v*) = q

L is convex, differentiable in the interior of its domain, and grows faster than linearly or has a
bounded domain; outside the domain it is not finite (`inf` or `nan`). Then v* exists and is unique.

* Most L are met by Newton's method from v = 0 with a short line search, in some three steps. It is
  all that is computed where it converges, for every point of a batch.
* Else a start is searched for: the best of v = 0 and of points along q - grad L(0), at distances
  over all sizes a float resolves. This finds the scale of v*, which Newton's method cannot.
* Newton's step d solves Hess L(v) d = q - grad L(v). Its length is the one of 1, 1/2, ..., 2^-40
  for which the slope of q.v - L(v) along d is closest to zero. Unlike values, slopes do not cancel
  near the maximum, so the accuracy is that of grad L; lengths that leave the domain are refused.
* Derivatives come from the implicit function theorem, Hess L(v*) dv* = dq - d(grad L)(v*). The rule
  calls the maximiser again, so it can itself be differentiated, to any order.

Powers such as |v|^r are not twice differentiable at v = 0. Derivatives of L are therefore taken a
negligible distance away from v.

References:
    S. Boyd, L. Vandenberghe, "Convex optimization" (2004), section 9.5 (damped Newton).
    R. T. Rockafellar, "Convex analysis" (1970), section 26 (Legendre transform).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mfgen._types import Control, Scalar

_MAX_STEPS = 64
_QUICK_STEPS = 12
_UNROLLED = 4  # equations
_GROWTH = 4.0
_REST = 100.0
_LENGTHS = (1.0, 0.5, 0.2, 0.05)
_SHORTER, _SHORTEST = 0.02, 1e-12


def maximiser(cost: Callable[[Control], Scalar], slope: Control) -> tuple[Control, Bool[Array, ""]]:
    """Return argmax_v slope.v - cost(v), and whether it was found.

    Differentiable to any order with respect to `slope` and to everything `cost` closes over, where
    the Hessian of `cost` is invertible. Costs one Hessian of `cost` per Newton step, usually four
    to eight of them.

    Arguments:
        cost: convex function of a control of shape `[control]`, finite at 0; not finite outside its
            domain.
        slope: the vector q, shape `[control]`.

    Returns:
        The maximiser, shape `[control]`, and a boolean. It is false if no maximiser was found:
            `cost` does not grow faster than linearly, or is not convex or not differentiable. A
            `slope` that is not finite gives `nan` and true, since it is not `cost` that is at
            fault.
    """
    function = eqx.filter_closure_convert(lambda v: jnp.asarray(cost(v), slope.dtype), slope)
    return _maximise(function, slope)


@eqx.filter_custom_jvp
def _maximise(cost: Callable, slope: Control) -> tuple[Control, Bool[Array, ""]]:
    smooth, zero = _nudged(cost), jnp.zeros_like(slope)
    at_rest = jax.grad(smooth)(zero)
    precision = float(jnp.finfo(slope.dtype).eps)
    near = precision**0.8

    def attempt(trial: _Trial) -> _Trial:
        limit = jnp.where(trial.again, _MAX_STEPS, _QUICK_STEPS)
        state = jax.lax.while_loop(
            lambda state: (state.error > near) & ~state.stuck & (state.steps < limit),
            lambda state: _newton(smooth, slope, at_rest, state),
            _State(trial.v, *_fresh(smooth, trial.v)),
        )
        met = (state.error <= precision ** (1 / 3)) | (state.stuck & state.still)
        met = jnp.where(trial.again, met, state.error <= near)
        # A loop whose condition is false costs nothing, unlike a branch, of which a batch takes
        # both. What does not change in it is computed before it: the slope seems to.
        v, _ = jax.lax.while_loop(
            lambda pair: pair[1],
            lambda pair: (_start(smooth, jnp.where(pair[1], slope, zero), at_rest), ~pair[1]),
            (state.v, ~met & ~trial.again),
        )
        return _Trial(v, met, trial.again | ~met, trial.again | met)

    no = jnp.asarray(False)
    trial = jax.lax.while_loop(lambda trial: ~trial.over, attempt, _Trial(zero, no, no, no))
    finite = jnp.all(jnp.isfinite(slope))
    return jnp.where(finite, trial.v, jnp.nan), trial.met | ~finite


@_maximise.def_jvp
def _maximise_jvp(primals, tangents):
    cost, slope = primals
    cost_dot, slope_dot = tangents
    v, found = _maximise(cost, slope)
    slope_dot = jnp.zeros_like(slope) if slope_dot is None else slope_dot
    if jax.tree.leaves(cost_dot):
        gradient = lambda cost: jax.grad(_nudged(cost))(v)
        _, gradient_dot = eqx.filter_jvp(gradient, (cost,), (cost_dot,))
        if gradient_dot is not None:
            slope_dot = slope_dot - gradient_dot
    return (v, found), (_solve(jax.hessian(_nudged(cost))(v), slope_dot), None)


class _Trial(NamedTuple):
    """Newton's method from rest, and if that fails from where a search says."""

    v: Control
    met: Bool[Array, ""]
    again: Bool[Array, ""]
    over: Bool[Array, ""]


class _State(NamedTuple):
    """The iterate, grad L there, and how its last step went.

    `error` is |q - grad L| relative to q and grad L(0). `reach` is the longest length to be tried.
    `still`: the step was within the rounding of v. Near the edge of a domain grad L changes more
    than its own size from one float to the next, so the error stays large; then an iterate that is
    still, and that no length of the step improves (`stuck`), is the best there is.
    """

    v: Control
    gradient: Control
    error: Scalar
    reach: Scalar
    stuck: Bool[Array, ""]
    still: Bool[Array, ""]
    steps: Int[Array, ""]


def _fresh(smooth: Callable, v: Control):
    one, no = jnp.ones((), v.dtype), jnp.asarray(False)
    return jax.grad(smooth)(v), jnp.inf * one, one, no, no, jnp.asarray(0)


def _newton(smooth: Callable, slope: Control, at_rest: Control, state: _State) -> _State:
    v, residual = state.v, slope - state.gradient
    direction = _solve(jax.hessian(smooth)(v), residual)
    lengths = state.reach * jnp.asarray(_LENGTHS, v.dtype)
    tried = v[None] + jnp.outer(lengths, direction)
    values, gradients = jax.vmap(jax.value_and_grad(smooth))(tried)
    steepness = jnp.abs((slope[None] - gradients) @ direction)
    steepness = jnp.where(jnp.isfinite(values) & jnp.isfinite(steepness), steepness, jnp.inf)
    best = jnp.argmin(steepness)
    better = steepness[best] < jnp.abs(jnp.vdot(direction, residual))
    floor, size = _REST * _nudge(v), jnp.linalg.norm(direction)
    still = size <= 8 * jnp.finfo(v.dtype).eps * jnp.linalg.norm(v) + floor
    # Without a slope, what the displacement of the derivatives leaves over is rest.
    rest = ~jnp.any(slope != 0) & (size <= floor)
    better, reach = better & (size > floor), jnp.where(better, 1.0, _SHORTER * state.reach)
    v = jnp.where(better, tried[best], v)
    gradient = jnp.where(better, gradients[best], state.gradient)
    scale = jnp.linalg.norm(slope) + jnp.linalg.norm(at_rest) + floor
    error = jnp.linalg.norm(slope - gradient) / scale
    error = jnp.where(rest, 0.0, jnp.where(jnp.isnan(error), jnp.inf, error))
    stuck = ~better & (still | (reach < _SHORTEST))
    return _State(v, gradient, error, reach, stuck, still, state.steps + 1)


def _start(smooth: Callable, slope: Control, at_rest: Control) -> Control:
    residual = slope - at_rest
    residual = jnp.where(jnp.all(jnp.isfinite(residual)), residual, slope)
    norm = jnp.linalg.norm(residual)
    direction = residual / jnp.where(norm > 0, norm, 1)

    def gain(distance: Scalar) -> Scalar:
        loss, steepness = jax.value_and_grad(smooth)(distance * direction)
        inside = jnp.isfinite(loss) & jnp.all(jnp.isfinite(steepness))
        return jnp.where(inside, distance * jnp.vdot(slope, direction) - loss, -jnp.inf)

    best = lambda distances: distances[jnp.argmax(jax.vmap(gain)(distances))]
    nudge = _nudge(slope)
    count = math.ceil(-2 * math.log(nudge, _GROWTH))
    coarse = best(jnp.asarray([0.0, *(nudge * _GROWTH**k for k in range(count))], slope.dtype))
    distance = best(coarse * _GROWTH ** jnp.linspace(-1, 1, 17, dtype=slope.dtype))
    # Shorter ones are within the displacement of the derivatives and count as rest.
    return jnp.where(distance > _REST * nudge, distance, 0) * direction


def _solve(hessian: Float[Array, "control control"], right: Control) -> Control:
    # The ridge is of the order of rounding: it keeps a singular Hessian from giving `nan`.
    info, size = jnp.finfo(right.dtype), right.size
    ridge = info.eps * jnp.trace(hessian) / size + info.tiny**0.5
    hessian = hessian + ridge * jnp.eye(size, dtype=right.dtype)
    if size > _UNROLLED:
        return jax.scipy.linalg.solve(hessian, right, assume_a="pos")
    # Gauss's elimination laid out: mapped over a batch, it is fused with what is around it.
    rows = [[*hessian[i], right[i]] for i in range(size)]
    for i in range(size):
        # No pivot of a positive matrix is negative; one that is tells of another kind.
        pivot = jnp.where(rows[i][i] > 0, rows[i][i], jnp.nan)
        for k in range(i + 1, size):
            factor = rows[k][i] / pivot
            for j in range(i + 1, size + 1):
                rows[k][j] = rows[k][j] - factor * rows[i][j]
        rows[i][i] = pivot
    found: list[Scalar] = [right[0]] * size
    for i in reversed(range(size)):
        rest = sum((rows[i][j] * found[j] for j in range(i + 1, size)), jnp.zeros((), right.dtype))
        found[i] = (rows[i][size] - rest) / rows[i][i]
    return jnp.stack(found)


def _nudge(v: Control) -> float:
    # Its fourth power is still a normal number, so that derivatives of |v|^r at v = 0 are finite.
    return float(jnp.finfo(v.dtype).tiny) ** 0.25


def _nudged(cost: Callable) -> Callable:
    return lambda v: cost(v + jnp.where(jnp.abs(v) < _nudge(v), _nudge(v), 0))
