"""The Legendre transform of a convex function, computed: argmax_v q.v - L(v).

    L*(q) = sup_v { q.v - L(v) },     v*(q) = argmax,     grad L(v*) = q

L is convex, differentiable in the interior of its domain, and grows faster than linearly or has a
bounded domain; outside the domain it is not finite (`inf` or `nan`). Then v* exists and is unique.

* Start: the best of v = 0 and of points along q - grad L(0), at distances over all sizes a float
  resolves. This finds the scale of v*, which Newton's method alone cannot.
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
_GROWTH = 4.0
_REST = 100.0
_LENGTHS = tuple(0.5**k for k in (0, 1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 24, 29, 34, 40))


def maximiser(cost: Callable[[Control], Scalar], slope: Control) -> tuple[Control, Bool[Array, ""]]:
    """Return argmax_v slope.v - cost(v), and whether it was found.

    Differentiable to any order with respect to `slope` and to everything `cost` closes over, where
    the Hessian of `cost` is invertible. Costs one Hessian of `cost` per Newton step, usually four
    to eight of them.

    **Arguments:**

    - `cost`: convex function of a control of shape `[control]`, finite at 0; not finite outside its
        domain.
    - `slope`: the vector q, shape `[control]`.

    **Returns:**

    The maximiser, shape `[control]`, and a boolean. It is false if no maximiser was found: `cost`
    does not grow faster than linearly, or is not convex or not differentiable. A `slope` that is
    not finite gives `nan` and true, since it is not `cost` that is at fault.
    """
    function = eqx.filter_closure_convert(lambda v: jnp.asarray(cost(v), slope.dtype), slope)
    return _maximise(function, slope)


@eqx.filter_custom_jvp
def _maximise(cost: Callable, slope: Control) -> tuple[Control, Bool[Array, ""]]:
    at_rest = jax.grad(_nudged(cost))(jnp.zeros_like(slope))
    scale = jnp.linalg.norm(slope) + jnp.linalg.norm(at_rest)
    precision = jnp.finfo(slope.dtype).eps
    no = jnp.asarray(False)
    state = jax.lax.while_loop(
        lambda state: (state.error > precision**0.8) & ~state.stuck & (state.steps < _MAX_STEPS),
        lambda state: _newton(cost, slope, scale, state),
        _State(_start(cost, slope, at_rest), jnp.full_like(scale, jnp.inf), no, no, 0),
    )
    found = (state.error <= precision ** (1 / 3)) | (state.stuck & state.still)
    finite = jnp.all(jnp.isfinite(slope))
    return jnp.where(finite, state.v, jnp.nan), found | ~finite


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


class _State(NamedTuple):
    """The iterate, and how its last step went.

    `error` is |q - grad L| relative to q and grad L(0), before the step. `stuck`: no length of the
    step improved the iterate. `still`: the step was within the rounding of v. Near the edge of a
    domain grad L changes more than its own size from one float to the next, so the error stays
    large; then an iterate that is both stuck and still is the best there is.
    """

    v: Control
    error: Scalar
    stuck: Bool[Array, ""]
    still: Bool[Array, ""]
    steps: int | Int[Array, ""]


def _newton(cost: Callable, slope: Control, scale: Scalar, state: _State) -> _State:
    smooth, v = _nudged(cost), state.v
    residual = slope - jax.grad(smooth)(v)
    direction = _solve(jax.hessian(smooth)(v), residual)
    lengths = jnp.asarray(_LENGTHS, v.dtype)

    def steepness(length: Scalar) -> Scalar:
        value, gradient = jax.value_and_grad(smooth)(v + length * direction)
        steepness = jnp.abs(jnp.vdot(direction, slope - gradient))
        return jnp.where(jnp.isfinite(value) & jnp.isfinite(steepness), steepness, jnp.inf)

    candidates = jax.vmap(steepness)(lengths)
    best = jnp.argmin(candidates)
    floor, size = _REST * _nudge(v), jnp.linalg.norm(direction)
    stuck = (size <= floor) | ~(candidates[best] < jnp.abs(jnp.vdot(direction, residual)))
    still = size <= 8 * jnp.finfo(v.dtype).eps * jnp.linalg.norm(v) + floor
    v = jnp.where(stuck, v, v + lengths[best] * direction)
    error = jnp.linalg.norm(residual) / (scale + floor)
    return _State(v, jnp.where(jnp.isnan(error), jnp.inf, error), stuck, still, state.steps + 1)


def _start(cost: Callable, slope: Control, at_rest: Control) -> Control:
    residual = slope - at_rest
    residual = jnp.where(jnp.all(jnp.isfinite(residual)), residual, slope)
    norm = jnp.linalg.norm(residual)
    direction = residual / jnp.where(norm > 0, norm, 1)

    def gain(distance: Scalar) -> Scalar:
        loss, steepness = jax.value_and_grad(_nudged(cost))(distance * direction)
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
    info = jnp.finfo(right.dtype)
    ridge = info.eps * jnp.trace(hessian) / right.size + info.tiny**0.5
    return jax.scipy.linalg.solve(hessian + ridge * jnp.eye(right.size), right, assume_a="pos")


def _nudge(v: Control) -> float:
    # Its fourth power is still a normal number, so that derivatives of |v|^r at v = 0 are finite.
    return float(jnp.finfo(v.dtype).tiny) ** 0.25


def _nudged(cost: Callable) -> Callable:
    return lambda v: cost(v + jnp.where(jnp.abs(v) < _nudge(v), _nudge(v), 0))
