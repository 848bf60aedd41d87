"""The Hamiltonian and the optimal control, derived from the game.

    H(t, x, p) = sup_v { -p.(a + g v) - L(t, x, v) } = -p.a + q.v* - L(t, x, v*)
    q = -g^T p,     v* = argmax_v { q.v - L(t, x, v) },     a + g v* = -dH/dp

Reference: B. J. Zhang, M. A. Katsoulakis (2023), arXiv 2304.13534, section 2.
"""

import jax.numpy as jnp

from mfgen import _check
from mfgen._types import Control, Costate, Scalar, State, Time
from mfgen.games._game import MFG
from mfgen.math._linear_map import adjoint, image


def hamiltonian(game: MFG, t: Time, x: State, p: Costate) -> Scalar:
    """H(t, x, p) = -p.a + sup_v { -p.(g v) - L(t, x, v) }, a scalar.

    Arguments:
        game: the game.
        t, x: time and place, x of shape `[dim]`.
        p: the costate grad U, shape `[dim]`.

    Raises:
        ValueError, RuntimeError: if the supremum is infinite, as for L = 0.

    Example:

        game = MFG(Integrator(), Kinetic(), KL(target))
        hamiltonian(game, 0.0, jnp.zeros(2), jnp.array([3.0, 4.0]))      # |p|^2 / 2 = 12.5
    """
    _check_place("hamiltonian", game, x, p)
    q = slope(game, t, p)
    v = game.lagrangian.argmax(t, x, q)
    return jnp.vdot(q, v) - game.lagrangian(t, x, v) - jnp.vdot(p, game.dynamics.free(t, x))


def optimal_control(game: MFG, t: Time, x: State, p: Costate) -> Control:
    """The control v* = argmax_v { -p.(g v) - L(t, x, v) } that costates ask for, shape `[control]`.

    Arguments, and what is raised, are those of `hamiltonian`.

    Example:

        game = MFG(Integrator(), Kinetic(2.0), KL(target))
        optimal_control(game, 0.0, jnp.zeros(2), jnp.array([3.0, 4.0]))     # -p / 2
    """
    _check_place("optimal_control", game, x, p)
    return game.lagrangian.argmax(t, x, slope(game, t, p))


def drift(game: MFG, t: Time, x: State, p: Costate) -> State:
    """The velocity a + g v* = -dH/dp of a particle that plays the optimal control, shape `[dim]`.

    Arguments, and what is raised, are those of `hamiltonian`.

    Example:

        game = MFG(Integrator(), Kinetic(), KL(target))
        drift(game, 0.0, jnp.zeros(2), jnp.array([3.0, 4.0]))       # -p
    """
    return steered(game, t, x, optimal_control(game, t, x, p))


def steered(game: MFG, t: Time, x: State, v: Control) -> State:
    """a + g v, the velocity of a particle that plays v, shape `[dim]`."""
    return game.dynamics.free(t, x) + image(game.dynamics.gain(t), v)


def _check_place(owner: str, game: MFG, x: State, p: Costate) -> None:
    """Refuses anything but a game, and places and costates that are not one point of its space."""
    _check.of_kind(owner, "game", game, MFG, "pass MFG(...) first, then t, x and p")
    place, costate = getattr(x, "shape", None), getattr(p, "shape", None)
    dim = None if game.initial is None else game.initial.dim
    fits = place is not None and len(place) == 1 and dim in (None, *place)
    if not fits or place != costate:
        raise ValueError(
            f"`{owner}` got x of shape {place} and p of shape {costate}, expected arrays of "
            f"one shape ({'dim' if dim is None else dim},): pass one point and one costate, and "
            "map over more by jax.vmap."
        )


def slope(game: MFG, t: Time, p: Costate) -> Control:
    """q = -g^T p, the slope that the control is paid for, shape `[control]`."""
    return -adjoint(game.dynamics.gain(t), p)
