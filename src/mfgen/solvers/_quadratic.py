"""The coefficients of a linear-quadratic game, read off by automatic differentiation and checked.

A game is linear-quadratic if its Hamiltonian is quadratic in place and costate together,

    H(t, x, p) = xx/2 + p.px.x + pp/2 + x.hx + p.hp + h0,

which holds for dynamics A x + a + B v and a Lagrangian quadratic in (x, v) and convex in v, with
px = -A, pp = B R^-1 B^T, xx = -Q if nothing couples x and v; and if the first variations of its
costs are quadratic in x and see the population by its mean m alone, in the slope,

    dF/drho(x) = x.Q.x/2 + x.(K m + k) + anything of m and of the covariance.

Derivatives are taken at the origin; values elsewhere show whether that was all.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfgen._types import Scalar, State, Time
from mfgen.densities._base import Matrix
from mfgen.densities._cholesky import CholeskyGaussian
from mfgen.derive._hamiltonian import hamiltonian
from mfgen.functionals._functional import AbstractFunctional
from mfgen.games._game import MFG
from mfgen.losses._payment import name_of

_PROBES = 12
_SIZES = (0.03, 100.0)  # of probes, a coordinate
_LOOK = 48  # times at which a game is looked at, one in each part of its horizon


class Energy(NamedTuple):
    """A quadratic Hamiltonian at one time: second derivatives, first ones, value at the origin."""

    xx: Matrix
    px: Matrix
    pp: Matrix
    x: State
    p: State
    constant: Scalar


class Slope(NamedTuple):
    """The gradient of a first variation: hessian @ x + mean @ m + constant."""

    hessian: Matrix
    mean: Matrix
    constant: State


def energy(game: MFG, t: Time, dim: int) -> Energy:
    """The Hamiltonian at time t, by its derivatives at x = p = 0."""
    h = _joined(game, t)
    origin = jnp.zeros(2 * dim)
    (value, first), second = jax.value_and_grad(h)(origin), jax.hessian(h)(origin)
    x, p = slice(dim), slice(dim, None)
    return Energy(second[x, x], second[p, x], second[p, p], first[x], first[p], value)


def slope(functional: AbstractFunctional, dim: int) -> Slope:
    """The gradient of the first variation, by its derivatives at x = m = 0."""
    gradient = _gradient(functional)
    origin = jnp.zeros(dim)
    hessian, mean = jax.jacfwd(gradient, argnums=(0, 1))(origin, origin, jnp.eye(dim))
    return Slope(hessian, mean, gradient(origin, origin, jnp.eye(dim)))


def check(game: MFG, dim: int) -> None:
    """Refuses a game that is not linear-quadratic.

    Raises:
        ValueError: names the part that is not.
    """
    check_euclidean(game, owner="Riccati")
    check_hamiltonian(game, dim, owner="Riccati")
    _check_functional("interaction", game.interaction, dim)
    _check_functional("terminal", game.terminal, dim)


def check_euclidean(game: MFG, *, owner: str) -> None:
    """Refuses, in the name of `owner`, a game on circles or between walls.

    Raises:
        ValueError: names the domain.
    """
    if game.domain.bounded:
        raise ValueError(
            f"`{owner}` got a game on {game.domain}, expected one in Euclidean space: a normal law "
            "does not stay one there; solve it by `Grid()`, whose box is the domain, or `Neural()`."
        )


def check_hamiltonian(game: MFG, dim: int, *, owner: str) -> None:
    """Refuses, in the name of `owner`, a game whose Hamiltonian is not quadratic in x and p.

    Raises:
        ValueError: names the part that is not.
    """
    inside = np.random.default_rng(_LOOK).uniform(size=_LOOK)
    times = jnp.asarray(game.dynamics.horizon * (np.arange(_LOOK) + inside) / _LOOK, float)
    try:
        drift, whole = map(float, _misfits(game, times, dim))
    except eqx.EquinoxRuntimeError:  # a maximum over v that is not attained
        drift, whole = 0.0, np.inf
    if not drift <= 1:
        raise ValueError(
            f"`{owner}` got the dynamics `{name_of(game.dynamics)}`, whose free drift is not "
            "affine in x: solve the game by `Grid` or `Neural`."
        )
    if not whole <= 1:
        raise ValueError(
            f"`{owner}` got the Lagrangian `{name_of(game.lagrangian)}`, which is not quadratic in "
            "x and v (its Hamiltonian is not quadratic in x and p): take `Kinetic` with a "
            "quadratic `WithPotential`, or solve the game by `Grid` or `Neural`."
        )


def _joined(game: MFG, t: Time) -> Callable[[Array], Scalar]:
    def h(z: Array) -> Scalar:
        x, p = jnp.split(z, 2)
        return hamiltonian(game, t, x, p)

    return h


@eqx.filter_jit
def _misfits(game: MFG, times: Array, dim: int) -> tuple[Scalar, Scalar]:
    """Misfits of an affine free drift and of a quadratic H, in units of the tolerance."""

    def drift(t: Scalar, x: State) -> Scalar:
        free, origin = (lambda x: game.dynamics.free(t, x)), jnp.zeros(dim)
        matrix, offset = jax.jacfwd(free)(origin), free(origin)
        size = jnp.abs(offset) + jnp.abs(matrix) @ jnp.abs(x)
        return jnp.max(_misfit(free(x), offset + matrix @ x, size))

    def whole(t: Scalar, z: Array) -> Scalar:
        found, (x, p) = energy(game, t, dim), jnp.split(z, 2)
        absolute = jax.tree.map(jnp.abs, found)
        size = _quadratic(absolute, jnp.abs(x), jnp.abs(p))
        return _misfit(_joined(game, t)(z), _quadratic(found, x, p), size)

    every = lambda f, points: jax.vmap(lambda t: jnp.max(jax.vmap(lambda y: f(t, y))(points)))
    return (
        jnp.max(every(drift, _probes(dim))(times)),
        jnp.max(every(whole, _probes(2 * dim))(times)),
    )


def _check_functional(role: str, functional: AbstractFunctional, dim: int) -> None:
    try:
        found = _faults(functional, dim)
    except TypeError as refusal:
        raise ValueError(
            f"`Riccati` got the {role} cost `{name_of(functional)}`, which has no first variation "
            f"to work with: {refusal}"
        ) from refusal
    faults = (
        "is not quadratic in x",
        "does not depend on the mean of the population in an affine way",
        "depends on more of the population than its mean",
    )
    for misfit, fault in zip(found.tolist(), faults, strict=True):
        if not misfit <= 1:
            raise ValueError(
                f"`Riccati` got the {role} cost `{name_of(functional)}`, whose first variation "
                f"{fault}: use `Linear` of a quadratic function, `MeanAttraction` or `MeanTarget`, "
                "or solve the game by `Grid` or `Neural`."
            )


@eqx.filter_jit
def _faults(functional: AbstractFunctional, dim: int) -> Float[Array, "3"]:
    """Misfits of a first variation: in x, in the mean, in the variance."""
    gradient, found = _gradient(functional), slope(functional, dim)

    def misfit(x: State, mean: State, covariance: Matrix) -> Scalar:
        model = found.hessian @ x + found.mean @ mean + found.constant
        hessian, linear, offset = map(jnp.abs, found)
        size = hessian @ jnp.abs(x) + linear @ jnp.abs(mean) + offset
        return jnp.max(_misfit(gradient(x, mean, covariance), model, size))

    points, one = _probes(dim), jnp.eye(dim)
    means, covariances = points[::-1], _covariances(dim)
    cases = (
        lambda x, m, c: misfit(x, jnp.zeros_like(m), one),
        lambda x, m, c: misfit(x, m, one),
        lambda x, m, c: misfit(x, m, c),
    )
    return jnp.stack([jnp.max(jax.vmap(case)(points, means, covariances)) for case in cases])


def _gradient(functional: AbstractFunctional) -> Callable[[State, State, Matrix], State]:
    """(x, m, C) -> the gradient of the first variation at a normal population."""

    def variation(x: State, mean: State, covariance: Matrix) -> Scalar:
        return functional.variation(CholeskyGaussian(mean, covariance), x)

    return jax.grad(variation)


def _quadratic(h: Energy, x: State, p: State) -> Scalar:
    square = 0.5 * (x @ h.xx @ x + p @ h.pp @ p) + p @ h.px @ x
    return square + h.x @ x + h.p @ p + h.constant


def _probes(dim: int) -> Float[Array, "n dim"]:
    """Points in all directions, of all sizes."""
    directions = np.random.default_rng(dim).normal(size=(_PROBES, dim))
    return jnp.asarray(np.geomspace(*_SIZES, _PROBES)[:, None] * directions, float)


def _covariances(dim: int) -> Float[Array, "n dim dim"]:
    """Covariances of all shapes and sizes, none of them diagonal."""
    factors = np.random.default_rng(dim + 1).normal(size=(_PROBES, dim, dim + 1))
    sizes = np.geomspace(0.1, 10.0, _PROBES)[:, None, None]
    return jnp.asarray(sizes * factors @ factors.swapaxes(1, 2), float)


def _misfit(found: Array, model: Array, size: Array) -> Array:
    """The difference in units of half the digits; `size` is that of the terms of the model.

    It is infinite where what was found is not finite.
    """
    tolerance = jnp.finfo(model.dtype).eps ** 0.5
    difference = jnp.abs(found - model) / (tolerance * (size + tolerance))
    return jnp.where(jnp.isfinite(difference), difference, jnp.inf)
