"""The coupling of the two equations on a lattice, as one equation for what particles are charged.

    z = (f, g):  f(t) = dI/drho(rho(t)),   g = U(T, .);     Phi(z) = what z lacks

z gives U by the HJB equation, U the drift, the drift rho by the Fokker-Planck equation, rho the
charges it calls for; Phi(z) is the difference, zero at an equilibrium. Policies are improved once
an evaluation, so that near a solution Phi's derivative is exact with policies held fixed in the HJB
equation (the envelope theorem): it takes one linear sweep in each direction.
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


class Charges(NamedTuple):
    """What particles are charged: f in each step `[steps, *points]`, g at the end `[*points]`."""

    f: Float[Array, "steps *points"]
    g: Field


class State(NamedTuple):
    """What follows from charges: values, densities, policies, and what the charges lack.

    Attributes:
        u: values at all times, `[steps + 1, *points]`.
        mass: masses of cells at all times, `[steps + 1, *points]`.
        played: the policies that are optimal for u, which moved the masses.
        lack: what the charges lack.
        missing: the lack's root mean square over particles.
        size: that of the charges, and one.
        change: that of u by the last improvement of the policies, in the same norm.
    """

    u: Float[Array, "..."]
    mass: Float[Array, "..."]
    played: Policy
    lack: Charges
    missing: Float[Array, ""]
    size: Float[Array, ""]
    change: Float[Array, ""]


class Problem(eqx.Module):
    """A game on a lattice."""

    game: MFG
    lattice: Lattice
    clock: Clock
    initial: Field


def free(problem: Problem) -> Charges:
    """No charges."""
    zero = jnp.zeros_like(problem.initial)
    return Charges(jnp.broadcast_to(zero, (*problem.clock.middle.shape, *zero.shape)), zero)


@eqx.filter_jit
def marched(problem: Problem, z: Charges) -> State:
    """What follows from the charges, policies found step by step from nothing."""
    u = _hjb_sweep.march(problem.game, problem.lattice, problem.clock, z.g, z.f)
    before, u = jax.lax.fori_loop(
        0,
        _POLISH,
        lambda _, pair: (pair[1], _values(problem, z, _played(problem, pair[1]))),
        (u, u),
    )
    return _state(problem, z, u, before)


@eqx.filter_jit
def improved(problem: Problem, z: Charges, state: State) -> State:
    """What follows from the charges, policies improved once over those of `state`."""
    return _state(problem, z, _values(problem, z, state.played), state.u)


@eqx.filter_jit
def linearised(problem: Problem, z: Charges, state: State, dz: Charges) -> Charges:
    """The derivative of the lack along dz."""

    def lack(z: Charges) -> Charges:
        u = _values(problem, z, state.played)
        return _state(problem, z, u, u).lack

    return jax.jvp(lack, (z,), (dz,))[1]


def _values(problem: Problem, z: Charges, played: Policy) -> Float[Array, "..."]:
    return _hjb_sweep.evaluate(problem.game, problem.lattice, problem.clock, z.g, z.f, played)


def _played(problem: Problem, u) -> Policy:
    return _hjb_sweep.policies(problem.game, problem.lattice, problem.clock, u)


def _state(problem: Problem, z: Charges, u, before) -> State:
    game, lattice, clock = problem.game, problem.lattice, problem.clock
    played = _played(problem, u)
    mass = _fp_sweep.forward(game, lattice, clock, problem.initial, played.drift)
    middle = _hjb_sweep.between(clock, mass[:-1], mass[1:])
    f = jax.vmap(lambda mass: game.interaction.on_lattice(nodal(lattice, mass)))(middle)
    lack = Charges(f - z.f, game.terminal.lack(z.g, nodal(lattice, mass[-1])))
    missing, size = norm(lack, mass), 1 + norm(z, mass)
    change = _over_particles(u - before, mass) / (1 + _over_particles(u, mass))
    return State(u, mass, played, lack, missing, size, change)


def norm(z: Charges, mass: Float[Array, "..."]) -> Float[Array, ""]:
    """The root mean square of charges over the particles."""
    middle = 0.5 * (mass[1:] + mass[:-1])
    return jnp.hypot(_over_particles(z.f, middle), _over_particles(z.g[None], mass[-1:]))


def _over_particles(values: Float[Array, "..."], mass: Float[Array, "..."]) -> Float[Array, ""]:
    """The root mean square over particles and times."""
    return jnp.sqrt(jnp.sum(jnp.maximum(mass, 0.0) * jnp.square(values)) / len(mass))
