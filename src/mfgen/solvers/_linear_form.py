"""The coefficients of a game that a logarithm makes linear (see `mfgen.solvers._hopf_cole`).

They are read off the Hamiltonian  -A x.p + (kappa / 2) |p|^2 + h  by automatic differentiation, and
integrated over time by Simpson's rule: with a(t) = exp int_0^t A ds,

    m(s, t) = a(t) / a(s),      S(s, t) = a(t)^2 int_s^t sigma^2 / a^2 dr.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import cumulative_simpson

from mfgen.games._game import MFG
from mfgen.solvers import _quadratic

_FINE = 8  # parts of a step in which the coefficients are integrated
_SAME = 1e-6  # relative, of coefficients that should be equal


class LinearForm(NamedTuple):
    """The coefficients at the kept times, `[steps + 1]` each.

    `factor` and `variance` are those of the free particles from a time to the end, `first_factor`
    and `first_variance` from the start to a time; `cost` is the integral of h up to the end.
    """

    temperature: float
    factor: np.ndarray
    variance: np.ndarray
    first_factor: np.ndarray
    first_variance: np.ndarray
    cost: np.ndarray


def linear_form(game: MFG, times: np.ndarray, dim: int) -> LinearForm:
    """Reads the coefficients off the Hamiltonian, and refuses a game that is not of the form."""
    if game.discount > 0:
        raise ValueError(
            f"`HopfCole` got a game with discount = {game.discount:g}, expected 0: the logarithm "
            "turns r U into phi log phi, which is not linear; solve the game by `Grid`, `Riccati` "
            "or `Neural`."
        )
    if game.dynamics.deterministic:
        raise ValueError(
            "`HopfCole` got dynamics without noise, for which there is no linear form: pass "
            "`sigma` > 0, or solve the game by `Grid`."
        )
    if game.dynamics.diffusion(jnp.zeros(())).ndim:
        raise ValueError(
            "`HopfCole` got a diffusion that is a matrix, expected a number, the same noise in all "
            "coordinates: solve the game by `Grid` or `Neural`."
        )
    _quadratic.check_hamiltonian(game, dim, owner="HopfCole")
    fine = jnp.linspace(0.0, game.dynamics.horizon, _FINE * (len(times) - 1) + 1)
    found = jax.jit(jax.vmap(lambda t: _quadratic.energy(game, t, dim)))(fine)
    noise = np.asarray(jax.vmap(game.dynamics.diffusion)(fine)) ** 2
    one = np.eye(dim)
    drift, gain = -np.asarray(found.px)[:, 0, 0], np.asarray(found.pp)[:, 0, 0]
    scale = np.abs(found.px).max() + 1
    faults = {
        "a running cost or a drift that depends on the place in another way than A(t) x": max(
            np.abs(part).max() for part in (found.xx, found.x, found.p)
        ),
        "a drift that is not the same in all coordinates": np.abs(
            found.px + drift[:, None, None] * one
        ).max(),
        "a cost of control that is not the same in all directions": np.abs(
            found.pp - gain[:, None, None] * one
        ).max(),
    }
    ratio = noise / gain
    faults["a cost of control that is not in proportion to 1 / sigma^2"] = (
        np.abs(ratio / ratio[-1] - 1).max() if np.isfinite(ratio).all() else np.inf
    )
    for fault, size in faults.items():
        if not size <= _SAME * scale:
            raise ValueError(f"`HopfCole` got a game with {fault}: solve it by `Grid`.")
    step = float(fine[1] - fine[0])
    summed = lambda values: cumulative_simpson(values, dx=step, initial=0)
    grown = np.exp(summed(drift))  # m from the start
    spread_out = summed(noise / grown**2)
    constant = summed(np.asarray(found.constant))
    kept = slice(None, None, _FINE)
    factor = grown[-1] / grown
    return LinearForm(
        float(ratio[-1]),
        factor[kept],
        (grown[-1] ** 2 * (spread_out[-1] - spread_out))[kept],
        grown[kept],
        (grown**2 * spread_out)[kept],
        (constant[-1] - constant)[kept],
    )
