"""The Fokker-Planck equation on a lattice, swept forward in time.

    rho(t + tau) = S^T rho(t)

with S the map of a step by which values go backward (`mfgen.solvers._hjb_sweep`) and S^T its exact
transpose. Therefore mass is kept to rounding, and what particles pay on the way is told by the
value function without any error but rounding:

    <U(t + tau), rho(t + tau)> - <U(t), rho(t)> = -tau < l, rho' >

with rho' = (1 - theta) rho(t) + theta rho(t + tau) (in one dimension; with a discount r, l is
less r U', which particles need not be carried for).

S^T keeps densities nonnegative where it is implicit enough, tau (1 - theta) max rate <= 1; with
theta = 1/2 it does so for smooth densities at longer steps too, and is watched.

Reference: Y. Achdou, I. Capuzzo-Dolcetta, SIAM J. Numer. Anal. 48 (2010).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen.games._game import MFG
from mfgen.math import _stencil
from mfgen.math._lattice import Lattice
from mfgen.math._stencil import Field
from mfgen.solvers._hjb_sweep import Clock, along_axes

Drifts = Float[Array, "steps *points dim"]


def forward(
    game: MFG, lattice: Lattice, clock: Clock, initial: Field, drift: Drifts
) -> Float[Array, "..."]:
    """The mass of each cell at all times, `[steps + 1, *points]`.

    Arguments:
        game, lattice, clock: what is solved, and where.
        initial: the mass of each cell at time 0.
        drift: a + g v in each step, `[steps, *points, dim]`.
    """

    def step(mass: Field, now):
        t, theta, drift = now
        hops = _stencil.rates(lattice, drift, along_axes(game, lattice, t))
        mass = _stencil.step_transposed(lattice, hops, mass, clock.tau, theta)
        return mass, mass

    _, masses = jax.lax.scan(step, initial, (clock.middle, clock.theta, drift))
    return jnp.concatenate([initial[None], masses])


def positive_theta(
    game: MFG, lattice: Lattice, clock: Clock, drift: Drifts
) -> Float[Array, "steps"]:
    """The least implicit steps that keep any density nonnegative, between 1/2 and 1.

    With a discount they are no less implicit than it calls for (`hjb_sweep.clock`).
    """

    def fastest(t, drift):
        hops = _stencil.rates(lattice, drift, along_axes(game, lattice, t))
        # Along each axis by itself: steps along them are composed.
        return jnp.stack([jnp.max(one.up + one.down) for one in hops]).max()

    rate = jnp.maximum(jax.vmap(fastest)(clock.middle, drift), game.discount)
    return jnp.clip(1 - 1 / (clock.tau * rate), 0.5, 1.0)


def added_viscosity(
    game: MFG, lattice: Lattice, clock: Clock, drift: Drifts, mass
) -> Float[Array, ""]:
    """The numerical diffusivity of upwinding, mean over particles, relative to the game's.

    Zero where the lattice resolves the drift: |b| h <= sigma^2.
    """

    def at(t, drift):
        half = [0.5 * jnp.abs(drift[..., k]) * h for k, h in enumerate(lattice.spacing)]
        own = along_axes(game, lattice, t)
        return sum(jnp.maximum(one - own[k], 0.0) for k, one in enumerate(half))

    added = jax.vmap(at)(clock.middle, drift)
    own = jnp.mean(jax.vmap(lambda t: along_axes(game, lattice, t))(clock.middle))
    return jnp.mean(jnp.sum((added * mass[:-1]).reshape(len(clock.middle), -1), -1)) / own
