"""The generator of a particle that hops between the cells of a lattice, and its transpose.

A particle with drift b and diffusivity nu = sigma^2 / 2 hops along one axis at the rates

    up_i = (nu_i + b_i h / 2) / h^2,    down_i = (nu_i - b_i h / 2) / h^2,
    nu_i = max(nu, |b_i| h / 2),

so that  (A u)_i = up_i (u_{i+1} - u_i) + down_i (u_{i-1} - u_i)  is b u' + nu u'' to second order
where |b| h <= 2 nu, and upwind (monotone, first order) elsewhere. Rates are never negative: A
is the generator of a Markov chain. Its transpose carries densities; rows of A sum to zero, so
columns of the transpose do, and mass is kept.

One step of length tau is the rational map  S = (I - theta tau A)^-1 (I + (1 - theta) tau A),  with
theta = 1/2 for second order (Crank-Nicolson) and theta = 1 for positivity at any tau. In two
dimensions steps along the axes are composed to a palindrome, S_x(tau/2) S_y(tau) S_x(tau/2), which
is second order and whose transpose is the same palindrome of transposes (G. Strang 1968). What is
paid on the way at the rate l enters each step along an axis,

    (I - theta tau A) u(t) = (I + (1 - theta) tau A) u(t + tau) + tau l,

in two dimensions in parts that are to each other as the rates of hopping: where a particle pays
much for leaving fast along an axis, it is the step along that axis which takes it away.

A discount r is a rate at which the particle is taken out of the game: A - r in place of A in the
steps of values, in two dimensions in the same parts as what is paid, so that r u = l is at rest in
each of them. Steps of densities have none: there particles are counted, not their costs.

References:
    Y. Achdou, I. Capuzzo-Dolcetta, "Mean field games: numerical methods", SIAM J. Numer. Anal. 48
    (2010), for Fokker-Planck as the transpose of the linearised HJB.
    H. J. Kushner, P. Dupuis, "Numerical methods for stochastic control problems in continuous
    time" (2001), for the chain.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
from jax.lax.linalg import tridiagonal_solve
from jaxtyping import Array, ArrayLike, Float

from mfgen.math._lattice import Lattice

Field = Float[Array, "*cells"]
Drift = Float[Array, "*cells dim"]
Number = Float[ArrayLike, ""]


class Rates(NamedTuple):
    """Rates of hopping along one axis, which is the last of the arrays, and of leaving the game."""

    up: Float[Array, "... n"]
    down: Float[Array, "... n"]
    out: Float[Array, "... n"] | float = 0.0


Hops = tuple[Rates, ...]
Sources = tuple[Float[Array, "..."], ...]
_SLOW = 1e-9  # a rate at which nothing happens
Scalar = Float[Array, ""]
_Step = Callable[[Rates, Field, Scalar, Scalar, Field], Field]


def rates(lattice: Lattice, drift: Drift, diffusivity: Number | Float[Array, "dim"]) -> Hops:
    """The rates of hopping along each axis.

    Arguments:
        lattice: the cells.
        drift: b at their centres, `[*points, dim]`.
        diffusivity: nu = sigma^2 / 2 along each axis, `[dim]`, or a number for all of them.
    """
    along = jnp.broadcast_to(diffusivity, (lattice.dim,))
    return tuple(
        _rates(lattice, axis, drift[..., axis], along[axis]) for axis in range(lattice.dim)
    )


def _rates(lattice: Lattice, axis: int, drift: Field, diffusivity: Number) -> Rates:
    h = lattice.spacing[axis]
    drift = jnp.moveaxis(drift, axis, -1)
    half = 0.5 * drift * h
    spread = jnp.maximum(diffusivity, jnp.abs(half))
    up, down = (spread + half) / h**2, (spread - half) / h**2
    if not lattice.periodic[axis]:
        up, down = up.at[..., -1].set(0.0), down.at[..., 0].set(0.0)
    return Rates(up, down)


def generator(hops: Hops, u: Field) -> Field:
    """A u, the sum over the axes of up (u_{i+1} - u_i) + down (u_{i-1} - u_i)."""
    total = jnp.zeros_like(u)
    for axis, (up, down, _) in enumerate(hops):
        line = jnp.moveaxis(u, axis, -1)
        change = up * (jnp.roll(line, -1, -1) - line) + down * (jnp.roll(line, 1, -1) - line)
        total = total + jnp.moveaxis(change, -1, axis)
    return total


def gradients(lattice: Lattice, u: Field) -> tuple[Drift, Drift, Drift]:
    """Differences of u along each axis: backward, central and forward, each `[*points, dim]`.

    At walls without flux u goes on as its mirror image, as for a particle that is turned back.
    """
    sides = ([], [], [])
    for axis, h in enumerate(lattice.spacing):
        line = jnp.moveaxis(u, axis, -1)
        if lattice.periodic[axis]:
            after, before = jnp.roll(line, -1, -1), jnp.roll(line, 1, -1)
        else:
            after = jnp.concatenate([line[..., 1:], line[..., -1:]], -1)
            before = jnp.concatenate([line[..., :1], line[..., :-1]], -1)
        for side, slope in zip(
            sides,
            ((line - before) / h, (after - before) / (2 * h), (after - line) / h),
            strict=True,
        ):
            side.append(jnp.moveaxis(slope, -1, axis))
    backward, central, forward = (jnp.stack(side, -1) for side in sides)
    return backward, central, forward


def step(
    lattice: Lattice,
    hops: Hops,
    u: Field,
    tau: Number,
    theta: Number,
    paid: Field | None = None,
    discount: float = 0.0,
) -> Field:
    """E[e^{-r tau} u(X_tau) + what is paid | X_0 = cell]: one backward step of values.

    Arguments:
        lattice, hops: the chain.
        u: values at the end of the step, `[*points]`.
        tau, theta: length of the step, and how implicit it is.
        paid: cost per unit of time on the way, `[*points]`.
        discount: the rate r at which later costs count less.
    """
    if discount > 0:
        lost = _shares(hops, u, jnp.full_like(u, discount))
        hops = tuple(one._replace(out=rate) for one, rate in zip(hops, lost, strict=True))
    one = tuple(partial(_step, turns) for turns in lattice.periodic)
    return _palindrome(one, hops, u, jnp.asarray(tau), jnp.asarray(theta), _shares(hops, u, paid))


def step_transposed(lattice: Lattice, hops: Hops, mass: Field, tau: Number, theta: Number) -> Field:
    """The law after a time tau: one forward step of densities, the exact transpose of `step`."""
    one = tuple(partial(_step_transposed, turns) for turns in lattice.periodic)
    nothing = _shares(hops, mass, None)
    return _palindrome(one, hops, mass, jnp.asarray(tau), jnp.asarray(theta), nothing)


def _shares(hops: Hops, u: Field, paid: Field | None) -> Sources:
    """What is paid, in parts for the axes; each has its axis last."""
    if paid is None:
        paid = jnp.zeros_like(u)
    if len(hops) == 1:
        return (paid,)
    # A particle that hops nowhere pays in equal parts.
    first, second = (one.up + one.down + _SLOW for one in hops)
    along = first / (first + second.T)
    return along * paid.T, (1 - along.T) * paid


def _palindrome(
    one: tuple[_Step, ...],
    hops: Hops,
    u: Field,
    tau: Scalar,
    theta: Scalar,
    sources: tuple[Float[Array, "..."], ...],
) -> Field:
    if len(hops) == 1:
        return one[0](hops[0], u, tau, theta, sources[0])
    first, second = hops
    across = lambda u: one[0](first, u.T, 0.5 * tau, theta, sources[0]).T
    return across(one[1](second, across(u), tau, theta, sources[1]))


def _step(
    periodic: bool, hops: Rates, u: Field, tau: Scalar, theta: Scalar, source: Field
) -> Field:
    ahead, implicit = (1 - theta) * tau, theta * tau
    up, down, out = hops
    hopped = up * (jnp.roll(u, -1, -1) - u) + down * (jnp.roll(u, 1, -1) - u)
    right = u + ahead * (hopped - out * u) + tau * source
    solve = _solve_cyclic if periodic else _solve
    return solve(-implicit * down, 1 + implicit * (up + down + out), -implicit * up, right)


def _step_transposed(
    periodic: bool, hops: Rates, mass: Field, tau: Scalar, theta: Scalar, source: Field
) -> Field:
    ahead, implicit = (1 - theta) * tau, theta * tau
    up, down, _ = hops
    # What comes from the cell below is its rate up, and from the cell above its rate down.
    below, above = jnp.roll(up, 1, -1), jnp.roll(down, -1, -1)
    gain = below * jnp.roll(mass, 1, -1) + above * jnp.roll(mass, -1, -1)
    right = mass + ahead * (gain - (up + down) * mass) + tau * source
    solve = _solve_cyclic if periodic else _solve
    return solve(-implicit * below, 1 + implicit * (up + down), -implicit * above, right)


def _solve(lower: Field, diagonal: Field, upper: Field, right: Field) -> Field:
    """Tridiagonal systems along the last axis; lower[0] and upper[-1] are zero."""
    return tridiagonal_solve(lower, diagonal, upper, right[..., None])[..., 0]


def _solve_cyclic(lower: Field, diagonal: Field, upper: Field, right: Field) -> Field:
    """Tridiagonal systems with corners lower[0] and upper[-1], by a correction of rank one.

    Reference: W. H. Press et al., "Numerical recipes" (2007), section 2.7.2 (Sherman-Morrison).
    """
    top, bottom = lower[..., 0], upper[..., -1]
    pivot = -diagonal[..., 0]
    ratio = top / pivot
    cut = diagonal.at[..., 0].add(-pivot).at[..., -1].add(-bottom * ratio)
    column = jnp.zeros_like(right).at[..., 0].set(pivot).at[..., -1].set(bottom)
    solved = tridiagonal_solve(
        lower.at[..., 0].set(0.0),
        cut,
        upper.at[..., -1].set(0.0),
        jnp.stack([right, column], axis=-1),
    )
    plain, fix = solved[..., 0], solved[..., 1]
    factor = (plain[..., 0] + ratio * plain[..., -1]) / (1 + fix[..., 0] + ratio * fix[..., -1])
    return plain - factor[..., None] * fix
