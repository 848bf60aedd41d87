"""The coupling of the two equations on a lattice, as one equation for the couplings.

    z = (f, g):  f(t) = dI/drho(rho(t)),   g = U(T, .);     Phi(z) = residual of z

z gives U by the HJB equation, U the drift, the drift rho by the Fokker-Planck equation, rho the
couplings dI/drho, dM/drho; Phi(z) is the difference, zero at an equilibrium. Policies are improved
once an evaluation, so that near a solution Phi's derivative is exact with policies held fixed in
the HJB equation (the envelope theorem): it takes one linear sweep in each direction.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen.densities._grid import nodal
from mfgen.games._game import MFG
from mfgen.math._lattice import Lattice
from mfgen.math._stencil import Field
from mfgen.solvers import _fp_sweep, _hjb_sweep
from mfgen.solvers._hjb_sweep import Clock, Policy

_POLISH = 3  # improvements of all policies together after they were found step by step


class Couplings(NamedTuple):
    """Coupling costs: f in each step `[steps, *points]`, g at the end `[*points]`."""

    f: Float[Array, "steps *points"]
    g: Field


class State(NamedTuple):
    """Values, densities and policies at given couplings, and the residual of these.

    Attributes:
        u: values at all times, `[steps + 1, *points]`.
        mass: masses of cells at all times, `[steps + 1, *points]`.
        played: the policies that are optimal for u, which moved the masses.
        residual: Phi, the couplings that the densities call for less those given.
        missing: the residual's root mean square over particles.
        size: that of the couplings, and one.
        change: that of u by the last improvement of the policies, in the same norm.
    """

    u: Float[Array, "..."]
    mass: Float[Array, "..."]
    played: Policy
    residual: Couplings
    missing: Float[Array, ""]
    size: Float[Array, ""]
    change: Float[Array, ""]


class Problem(eqx.Module):
    """A game on a lattice."""

    game: MFG
    lattice: Lattice
    clock: Clock
    initial: Field


def free(problem: Problem) -> Couplings:
    """No couplings."""
    zero = jnp.zeros_like(problem.initial)
    return Couplings(jnp.broadcast_to(zero, (*problem.clock.middle.shape, *zero.shape)), zero)


@eqx.filter_jit
def marched(problem: Problem, z: Couplings) -> State:
    """The state at given couplings, policies found step by step from nothing."""
    u = _hjb_sweep.march(problem.game, problem.lattice, problem.clock, z.g, z.f)
    before, u = jax.lax.fori_loop(
        0,
        _POLISH,
        lambda _, pair: (pair[1], _values(problem, z, _played(problem, pair[1]))),
        (u, u),
    )
    return _state(problem, z, u, before)


@eqx.filter_jit
def improved(problem: Problem, z: Couplings, state: State) -> State:
    """The state at given couplings, policies improved once over those of `state`."""
    return _state(problem, z, _values(problem, z, state.played), state.u)


@eqx.filter_jit
def linearised(problem: Problem, z: Couplings, state: State, dz: Couplings) -> Couplings:
    """The derivative of the residual along dz."""

    def residual(z: Couplings) -> Couplings:
        u = _values(problem, z, state.played)
        return _state(problem, z, u, u).residual

    return jax.jvp(residual, (z,), (dz,))[1]


def _values(problem: Problem, z: Couplings, played: Policy) -> Float[Array, "..."]:
    return _hjb_sweep.evaluate(problem.game, problem.lattice, problem.clock, z.g, z.f, played)


def _played(problem: Problem, u) -> Policy:
    return _hjb_sweep.policies(problem.game, problem.lattice, problem.clock, u)


def _state(problem: Problem, z: Couplings, u, before) -> State:
    game, lattice, clock = problem.game, problem.lattice, problem.clock
    played = _played(problem, u)
    mass = _fp_sweep.forward(game, lattice, clock, problem.initial, played.drift)
    middle = _hjb_sweep.between(clock, mass[:-1], mass[1:])
    f = jax.vmap(lambda mass: game.interaction.on_lattice(nodal(lattice, mass)))(middle)
    residual = Couplings(f - z.f, game.terminal.lack(z.g, nodal(lattice, mass[-1])))
    missing, size = norm(residual, mass), 1 + norm(z, mass)
    change = _over_particles(u - before, mass) / (1 + _over_particles(u, mass))
    return State(u, mass, played, residual, missing, size, change)


def norm(z: Couplings, mass: Float[Array, "..."]) -> Float[Array, ""]:
    """The root mean square of couplings over the particles."""
    middle = 0.5 * (mass[1:] + mass[:-1])
    return jnp.hypot(_over_particles(z.f, middle), _over_particles(z.g[None], mass[-1:]))


def _over_particles(values: Float[Array, "..."], mass: Float[Array, "..."]) -> Float[Array, ""]:
    """The root mean square over particles and times."""
    return jnp.sqrt(jnp.sum(jnp.maximum(mass, 0.0) * jnp.square(values)) / len(mass))
