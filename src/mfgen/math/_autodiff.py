"""Differential operators of the theory: divergence, Laplacian, and all derivatives at once.

The exact operators of second order use one forward pass (see `forward`). The stochastic ones
replace a trace by directions v with E v v^T = I (Hutchinson):

    E v.(Hess u) v = lap u.

One direction costs as much in any dimension. With two independent directions v, w the residuals
R_v and R_w of an equation that is affine in the Laplacian are independent and unbiased, so
E R_v R_w = R^2; the square of one estimate is too large by its variance.

References: M. F. Hutchinson, A stochastic estimator of the trace of the influence matrix (1989);
C.-H. Lai et al., FP-Diffusion (2023), arXiv 2210.04296; R. Li et al. (2023), arXiv 2307.08214.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen._types import Key, Scalar, State, Time
from mfgen.math._forward import propagate
from mfgen.math._series import Series

Potential = Callable[[Array, State], Scalar]
Directions = Float[Array, "count dim"]
Diffusivity = Time | Float[Array, "dim dim"]


class Jet(NamedTuple):
    """The derivatives of u in a Hamilton-Jacobi-Bellman equation, at one point.

    Attributes:
        value: u.
        time: the derivative along t.
        gradient: the derivative along x, shape `[dim]`.
        laplacian: the trace of the second derivative along x.
    """

    value: Scalar
    time: Scalar
    gradient: State
    laplacian: Scalar


class StochasticJet(NamedTuple):
    """A `Jet` whose Laplacian is estimated.

    Attributes:
        value: u.
        time: the derivative along t.
        gradient: the derivative along x, shape `[dim]`.
        estimates: v.(Hess u) v for each direction v, shape `[count]`; their mean estimates lap u.
    """

    value: Scalar
    time: Scalar
    gradient: State
    estimates: Float[Array, "count"]


class HeatJet(NamedTuple):
    """A `Jet` in which time derivative and Laplacian have been added up.

    Attributes:
        value: u.
        heat: dt u + D lap u with the diffusivity D, or dt u + tr(D Hess u) with a matrix D.
        gradient: the derivative along x, shape `[dim]`.
    """

    value: Scalar
    heat: Scalar
    gradient: State


def jet(u: Potential) -> Callable[[Time, State], Jet]:
    """The exact jet of u in one forward pass: (t, x) -> u, dt u, grad u, lap u.

    It can be jitted, mapped, and differentiated with respect to whatever u closes over. Operations
    without a rule of their own, such as loops, pass by nested forward mode.

    Arguments:
        u: (t, x) -> scalar, written for one sample.

    Returns:
        (t, x) -> `Jet`.

    Raises:
        ValueError: if u does not return a scalar.
    """

    def evaluate(t: Time, x: State) -> Jet:
        t = jnp.asarray(t, x.dtype)
        y = _propagate("jet", u, Series(t, time=jnp.ones_like(t)), _seed(x))
        return Jet(y.value, y.time, y.space, y.second)

    return evaluate


def heat_jet(u: Potential) -> Callable[[Time, State, Diffusivity], HeatJet]:
    """The jet of u with time derivative and Laplacian as one: (t, x, D) -> dt u + D lap u, ...

    With a symmetric matrix D, `[dim, dim]`, it is dt u + tr(D Hess u).

    Both are linear in what is carried through u, so one part stands for the two, and the pass
    costs about dim + 2 evaluations of u instead of the dim + 3 of `jet`.

    Arguments:
        u: (t, x) -> scalar, written for one sample.

    Returns:
        (t, x, diffusivity) -> `HeatJet`. For a game of noise sigma the diffusivity is
        sigma sigma^T / 2.

    Raises:
        ValueError: if u does not return a scalar.
    """

    def evaluate(t: Time, x: State, diffusivity: Diffusivity) -> HeatJet:
        t = jnp.asarray(t, x.dtype)
        time = Series(t, second=jnp.ones_like(t))
        y = _propagate("heat_jet", u, time, _seed(x), weight=diffusivity)
        return HeatJet(y.value, y.second, y.space)

    return evaluate


def stochastic_jet(u: Potential) -> Callable[[Time, State, Directions], StochasticJet]:
    """The jet of u with an estimate of the Laplacian per direction: v.(Hess u) v.

    The gradient is taken once in reverse mode and differentiated along each direction.

    Arguments:
        u: (t, x) -> scalar, written for one sample.

    Returns:
        (t, x, directions `[count, dim]`) -> `StochasticJet`. Directions come from `probes`; unit
        vectors give the diagonal of the Hessian.
    """

    def evaluate(t: Time, x: State, directions: Directions) -> StochasticJet:
        t = jnp.asarray(t, x.dtype)
        slopes = jax.value_and_grad(u, (0, 1))
        (value, (time, gradient)), push = jax.linearize(lambda x: slopes(t, x), x)
        estimates = jax.vmap(lambda v: v @ push(v)[1][1])(directions)
        return StochasticJet(value, time, gradient, estimates)

    return evaluate


def divergence(field: Callable[[State], State]) -> Callable[[State], Scalar]:
    """The exact divergence of a vector field: x -> sum_i d f_i / d x_i, in forward mode.

    Arguments:
        field: x -> `[dim]`.

    Returns:
        x -> scalar.
    """
    return lambda x: jnp.trace(jax.jacfwd(field)(x))


def laplacian(f: Callable[[State], Scalar]) -> Callable[[State], Scalar]:
    """The exact Laplacian of f: x -> sum_i d^2 f / d x_i^2, in one forward pass.

    Arguments:
        f: x -> scalar.

    Returns:
        x -> scalar.

    Raises:
        ValueError: if f does not return a scalar.
    """
    return lambda x: _propagate("laplacian", f, _seed(x)).second


def probes(
    key: Key, count: int, dim: int, kind: Literal["rademacher", "gaussian"] = "rademacher"
) -> Directions:
    """Independent random directions v with E v v^T = I.

    Arguments:
        key: random key.
        count: the number of directions.
        dim: the dimension of the state.
        kind: "rademacher", random signs, of least variance 2 sum_{i != j} h_ij^2 for a symmetric h
            and exact in one dimension; or "gaussian", of variance 2 sum_ij h_ij^2.

    Returns:
        `[count, dim]`.
    """
    draw = {"rademacher": jax.random.rademacher, "gaussian": jax.random.normal}
    if kind not in draw:
        raise ValueError(
            f'`probes` got kind = {kind!r}, expected one of {sorted(draw)}: pass "rademacher".'
        )
    return draw[kind](key, (count, dim), jnp.result_type(float))


def _seed(x: State) -> Series:
    return Series(x, space=jnp.eye(x.size, dtype=x.dtype))


def _propagate(name: str, f: Callable, *series: Series, weight: Any = None) -> Series:
    """The series of a scalar function with zeros for the parts that vanish."""
    y = propagate(f, series, weight)
    if y.value.shape != ():
        raise ValueError(
            f"`{name}` got a function of output shape {y.value.shape}, expected (): return a "
            'scalar, e.g. `u(t, x)[0]` or `out_size="scalar"`.'
        )
    x = series[-1].value
    zero = jnp.zeros_like(y.value)
    fill = lambda part, empty: empty if part is None else part
    space = fill(y.space, jnp.zeros(x.shape, y.value.dtype))
    return Series(y.value, fill(y.time, zero), space, fill(y.second, zero))
