"""The HJB equation on a lattice, swept backward in time.

Over a step of length tau with midpoint t' the particle hops with the rates of its drift
b = a + g v, of generator A (`mfgen.math._stencil`), and pays l = L(t', x, v) + f(x):

    U(t) = U(t + tau) + tau (A U' + l),     v = argmin_v { L + b . D U' },
    U' = theta U(t) + (1 - theta) U(t + tau),     theta = 1/2,

second order in time and space. With a discount r it is A - r in place of A: what is at rest,
r U = A U + l, is at rest whatever the step, and theta is raised to 1 - 1 / (r tau) where steps are
so long, r tau > 2, that U(t + tau) would count negatively.

`march` finds v and U together, step by step (Newton's method, which here is policy iteration);
`evaluate` gives the value of a policy known for all steps: then the policies of all steps are
improved at once, which converges quadratically too and costs a tridiagonal solve a step.

Where there is no noise, or not along all axes, the control is the best of those at the central and
one-sided differences by what the hopping particle pays: the upwind scheme of Godunov type, monotone
at kinks.

References:
    R. Howard, "Dynamic programming and Markov processes" (1960); S. Cacace, F. Camilli,
    A. Goffi, "A policy iteration method for mean field games" (2021), arXiv 2007.04818.
    Y. Achdou, I. Capuzzo-Dolcetta, SIAM J. Numer. Anal. 48 (2010).
"""

from itertools import product
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfgen.derive._hamiltonian import optimal_control, steered
from mfgen.derive._residual import diffusivity
from mfgen.games._game import MFG
from mfgen.math import _stencil
from mfgen.math._lattice import Lattice
from mfgen.math._linear_map import matrix
from mfgen.math._stencil import Drift, Field

_NEWTON = 2  # iterations of a marching step; later improvements are quadratic as well


class Clock(eqx.Module):
    """Uniform steps of a game's time.

    Attributes:
        tau: length of a step.
        middle: midpoints, `[steps]`.
        theta: how implicit each step is, `[steps]`: 1/2 second order, 1 positive.
    """

    tau: Float[Array, ""]
    middle: Float[Array, "steps"]
    theta: Float[Array, "steps"]


class Policy(NamedTuple):
    """The control of a step: drift `[..., *points, dim]` and running cost."""

    drift: Drift
    cost: Field


def clock(game: MFG, steps: int) -> Clock:
    """`steps` steps from 0 to the game's horizon: Crank-Nicolson, or implicit if there is no noise.

    Without noise nothing smooths what Crank-Nicolson leaves rough, and upwinding is of first order
    in any case.
    """
    tau = game.dynamics.horizon / steps
    middle = (np.arange(steps) + 0.5) * tau
    theta = 1.0 if game.dynamics.deterministic else max(0.5, 1 - 1 / max(game.discount * tau, 1.0))
    return Clock(jnp.asarray(tau), jnp.asarray(middle), jnp.full(steps, theta))


def along_axes(game: MFG, lattice: Lattice, t: Float[Array, ""]) -> Float[Array, "dim"]:
    """sigma^2 / 2 along each axis."""
    return jnp.diag(matrix(diffusivity(game, t), lattice.dim))


def check_axes(owner: str, game: MFG, dim: int) -> None:
    """Refuses, in the name of `owner`, noise that is not along the axes.

    Raises:
        ValueError: names the coordinates whose noise is correlated.
    """
    for t in np.linspace(0.01, 0.99, 25) * game.dynamics.horizon:
        spread = np.array(matrix(diffusivity(game, jnp.asarray(t)), dim))
        across = np.abs(spread - np.diag(np.diag(spread)))
        if across.max() > 1e-12 * np.abs(spread).max():
            i, j = sorted(int(k) for k in np.unravel_index(np.argmax(across), across.shape))
            raise ValueError(
                f"`{owner}` got noise that moves the coordinates {i} and {j} together, expected "
                "one for each axis, sigma sigma^T diagonal: turn the coordinates to its principal "
                "axes, or solve the game by `Neural()`."
            )


def policy(game: MFG, lattice: Lattice, t: Float[Array, ""], u: Field) -> Policy:
    """The optimal control on the lattice for a value function, as drift and running cost."""
    backward, central, forward = _stencil.gradients(lattice, u)
    if not game.dynamics.deterministic and game.dynamics.diffusion(t).ndim == 0:
        return _played(game, lattice, t, central)
    sides = [central]
    for choice in product((backward, forward), repeat=lattice.dim):
        sides.append(jnp.stack([side[..., k] for k, side in enumerate(choice)], -1))
    tried = jax.vmap(lambda p: _played(game, lattice, t, p))(jnp.stack(sides))

    def paid(one: Policy) -> Field:
        hops = _stencil.rates(lattice, one.drift, along_axes(game, lattice, t))
        return one.cost + _stencil.generator(hops, u)

    best = jnp.argmin(jax.vmap(paid)(tried), axis=0)
    pick = lambda values: jnp.take_along_axis(values, best[None], axis=0)[0]
    drift = jnp.take_along_axis(tried.drift, best[None, ..., None], axis=0)[0]
    return Policy(drift, pick(tried.cost))


def _played(game: MFG, lattice: Lattice, t: Float[Array, ""], p: Drift) -> Policy:
    def at(x, p):
        v = optimal_control(game, t, x, p)
        return steered(game, t, x, v), game.lagrangian(t, x, v)

    nodes = jnp.asarray(lattice.nodes(), p.dtype).reshape(-1, lattice.dim)
    drift, cost = jax.vmap(at)(nodes, p.reshape(nodes.shape))
    return Policy(drift.reshape(p.shape), cost.reshape(lattice.points))


def policies(game: MFG, lattice: Lattice, clock: Clock, u: Float[Array, "..."]) -> Policy:
    """The optimal controls of all steps for U at all times, `[steps + 1, *points]`."""
    inner = between(clock, u[1:], u[:-1])
    return jax.vmap(lambda t, u: policy(game, lattice, t, u))(clock.middle, inner)


def between(clock: Clock, explicit: Float[Array, "..."], implicit: Float[Array, "..."]):
    """theta times `implicit` and the rest of `explicit`, in each step: `[steps, *points]`."""
    theta = clock.theta.reshape(-1, *(1,) * (explicit.ndim - 1))
    return (1 - theta) * explicit + theta * implicit


def march(
    game: MFG, lattice: Lattice, clock: Clock, final: Field, f: Float[Array, "steps *points"]
) -> Float[Array, "..."]:
    """U at all times, `[steps + 1, *points]`, policies found step by step.

    Arguments:
        game, lattice, clock: what is solved, and where.
        final: U at the horizon.
        f: the interaction's first variation in each step.
    """

    def step(carry: tuple[Field, Field], now):
        u, later = carry
        t, theta, f = now
        earlier = u + (u - later)  # a first guess of the second order

        def improved(_, earlier: Field) -> Field:
            found = policy(game, lattice, t, theta * earlier + (1 - theta) * u)
            return _back(game, lattice, clock.tau, t, theta, found, f, u)

        earlier = jax.lax.fori_loop(0, _NEWTON, improved, earlier)
        return (earlier, u), earlier

    _, values = jax.lax.scan(step, (final, final), (clock.middle, clock.theta, f), reverse=True)
    return jnp.concatenate([values, final[None]])


def evaluate(
    game: MFG,
    lattice: Lattice,
    clock: Clock,
    final: Field,
    f: Float[Array, "steps *points"],
    played: Policy,
) -> Float[Array, "..."]:
    """U at all times, `[steps + 1, *points]`, of the given policies of all steps."""

    def step(u: Field, now):
        t, theta, f, played = now
        u = _back(game, lattice, clock.tau, t, theta, played, f, u)
        return u, u

    past = (clock.middle, clock.theta, f, played)
    _, values = jax.lax.scan(step, final, past, reverse=True)
    return jnp.concatenate([values, final[None]])


def _back(game, lattice, tau, t, theta, played: Policy, f: Field, u: Field) -> Field:
    hops = _stencil.rates(lattice, played.drift, along_axes(game, lattice, t))
    return _stencil.step(lattice, hops, u, tau, theta, played.cost + f, game.discount)
