"""The Hamiltonian and the optimal control, derived from the game.

    H(t, x, p) = sup_v { -p.(a + g v) - L(t, x, v) } = -p.a + q.v* - L(t, x, v*)
    q = -g^T p,     v* = argmax_v { q.v - L(t, x, v) },     a + g v* = -dH/dp

Reference: B. J. Zhang, M. A. Katsoulakis (2023), arXiv 2304.13534, section 2.
"""

import jax.numpy as jnp

from mfgen._types import Control, Costate, Scalar, State, Time
from mfgen.problem.game import MFG


def hamiltonian(game: MFG, t: Time, x: State, p: Costate) -> Scalar:
    """H(t, x, p) = -p.a + sup_v { -p.(g v) - L(t, x, v) }, a scalar.

    Arguments:
        game: the game.
        t, x: time and place, x of shape `[dim]`.
        p: the costate grad U, shape `[dim]`.

    Raises:
        ValueError, RuntimeError: if the supremum is infinite, as for L = 0.
    """
    q = _slope(game, t, x, p)
    v = game.lagrangian.argmax(t, x, q)
    return jnp.vdot(q, v) - game.lagrangian(t, x, v) - jnp.vdot(p, game.dynamics.free(t, x))


def optimal_control(game: MFG, t: Time, x: State, p: Costate) -> Control:
    """v* = argmax_v { -p.(g v) - L(t, x, v) }, shape `[control]`; arguments as in `hamiltonian`."""
    return game.lagrangian.argmax(t, x, _slope(game, t, x, p))


def drift(game: MFG, t: Time, x: State, p: Costate) -> State:
    """a + g v* = -dH/dp, the velocity of a particle that plays v*, shape `[dim]`."""
    return steered(game, t, x, optimal_control(game, t, x, p))


def steered(game: MFG, t: Time, x: State, v: Control) -> State:
    """a + g v, the velocity of a particle that plays v, shape `[dim]`."""
    gain = game.dynamics.gain(t)
    return game.dynamics.free(t, x) + (gain @ v if gain.ndim == 2 else gain * v)


def _slope(game: MFG, t: Time, x: State, p: Costate) -> Control:
    if p.shape != x.shape:
        raise ValueError(
            f"`hamiltonian` got a costate of shape {p.shape} at a point of shape {x.shape}, "
            "expected one shape [dim]: pass grad U at that point, and use `jax.vmap` for many."
        )
    gain = game.dynamics.gain(t)
    return -(gain.T @ p if gain.ndim == 2 else gain * p)
