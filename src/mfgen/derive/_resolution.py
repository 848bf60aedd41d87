"""Does a grid of given spacing and time step resolve the game?

    CFL        max |a + g v*| step / spacing <= 1        no information is lost on the way
    diffusion  sigma^2 step d / spacing^2 <= 1           explicit steps are stable
    Peclet     max |a + g v*| spacing / (sigma^2 / 2) <= 2     central differences do not oscillate

The speeds are those at the slopes of the terminal cost, where it is defined, else at |p| = 1.

Reference: Y. Achdou, I. Capuzzo-Dolcetta, "Mean field games: numerical methods" (2010), SIAM J.
Numer. Anal. 48.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mfgen.densities._empirical import Empirical
from mfgen.derive._hamiltonian import drift
from mfgen.derive._probe import Probe, normal_like
from mfgen.derive._verdict import Item, reason, verdict
from mfgen.games._game import MFG
from mfgen.math._linear_map import matrix, square

CFL, DIFFUSION, PECLET = "CFL number", "diffusion number", "Peclet number"
_PAPER = "Achdou & Capuzzo-Dolcetta 2010"


def resolution(game: MFG, probe: Probe, spacing: float, step: float | None) -> list[Item]:
    """The dimensionless numbers of a grid; those of time need `step`."""
    try:
        speed = _speed(game, probe)
    except Exception as error:
        why = f"the speed could not be computed: {reason(error)}"
        return [verdict(name, None, why, _PAPER) for name in (CFL, PECLET)]
    times = game.dynamics.horizon * jnp.linspace(0.01, 0.99, 25)
    sigma = np.asarray(jax.vmap(game.dynamics.diffusion)(times))
    if sigma.ndim == 3:  # along each axis
        full = [np.asarray(matrix(square(one), probe.x.shape[1])) for one in sigma]
        sigma = np.sqrt(np.stack([np.diag(one) for one in full]))
    items, dim = [], probe.x.shape[1]
    if step is not None:
        number = speed * step / spacing
        said = f"{number:.3g} at the speed {speed:.3g}, spacing {spacing:g} and step {step:g}"
        repair = f"a step of at most {spacing / max(speed, 1e-300):.2g}, or an implicit scheme"
        items.append(verdict(CFL, number <= 1, said, _PAPER, repair))
        number = float(sigma.max()) ** 2 * step * dim / spacing**2
        said = f"{number:.3g} with sigma up to {sigma.max():.3g} in {dim} dimensions"
        limit = spacing**2 / max(float(sigma.max()) ** 2 * dim, 1e-300)
        repair = f"a step of at most {limit:.2g}, or an implicit scheme"
        items.append(verdict(DIFFUSION, number <= 1, said, _PAPER, repair))
    if game.dynamics.deterministic:
        said = "infinite, since sigma = 0: upwind differences are needed"
        items.append(verdict(PECLET, False, said, _PAPER, "upwind differences, or noise"))
    else:
        half = 0.5 * float(sigma.min()) ** 2
        number = speed * spacing / half if half > 0 else float("inf")
        said = f"{number:.3g} at the speed {speed:.3g} and the smallest sigma {sigma.min():.3g}"
        repair = f"a spacing of at most {2 * half / max(speed, 1e-300):.2g}, or upwind differences"
        items.append(verdict(PECLET, number <= 2, said, _PAPER, repair))
    return items


def _speed(game: MFG, probe: Probe) -> float:
    law = normal_like(Empirical(probe.x))
    slope = jax.vmap(jax.grad(lambda x: game.terminal.variation(law, x)))
    try:
        p = slope(probe.x)
        defined = bool(jnp.all(jnp.isfinite(p)))
    except Exception:  # a terminal condition that is undefined is told of by another item
        p, defined = probe.p, False
    if not defined:
        p = probe.p / jnp.linalg.norm(probe.p, axis=1, keepdims=True)
    velocity = eqx.filter_jit(jax.vmap(lambda t, x, p: drift(game, t, x, p)))
    return float(jnp.max(jnp.linalg.norm(velocity(probe.t, probe.x, p), axis=1)))
