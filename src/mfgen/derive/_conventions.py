"""A self-test of the sign conventions: an exact solution solves, its mirror images do not.

The game with logarithmic coupling in one dimension, nu = sigma^2 / 2 and L = |v|^2/2 + b |x|^2/2:

    U = alpha x^2 / 2 + kappa (T - t),   rho = N(0, nu / alpha),   I = gamma E log rho
    alpha = (-gamma + sqrt(gamma^2 + 4 nu^2 b)) / (2 nu)
    kappa = nu alpha + gamma ( log(alpha / (2 pi nu)) / 2 + 1 )

holds every term of the HJB, Fokker-Planck and terminal equations. Turning the sign of U, or of time
in U, must be seen.
"""

import math

import jax
import jax.numpy as jnp

from mfgen.costs._cost import Kinetic, WithPotential
from mfgen.densities._gaussian import Gaussian
from mfgen.derive._residual import fokker_planck, hjb, terminal
from mfgen.derive._verdict import Item, verdict
from mfgen.dynamics._dynamics import Integrator
from mfgen.functionals._functional import Entropy, Linear
from mfgen.games._game import MFG

SIGNS = "the signs are those of the theory"
_GAMMA, _B, _NU, _HORIZON = 0.4, 0.9, 0.3, 2.0


def conventions() -> Item:
    """The residuals of an exact solution and of its mirror images, in the installed code."""
    alpha = (-_GAMMA + math.sqrt(_GAMMA**2 + 4 * _NU**2 * _B)) / (2 * _NU)
    kappa = _NU * alpha + _GAMMA * (0.5 * math.log(alpha / (2 * math.pi * _NU)) + 1)
    game = MFG(
        Integrator(sigma=math.sqrt(2 * _NU), horizon=_HORIZON),
        WithPotential(Kinetic(), lambda t, x: 0.5 * _B * x @ x),
        Linear(lambda x: 0.5 * alpha * x @ x),
        interaction=_GAMMA * Entropy(),
    )
    path = lambda t: Gaussian(jnp.zeros(1), _NU / alpha)
    x = jnp.array([0.7])

    def residuals(slope, time):
        u = lambda t, x: slope * 0.5 * alpha * x @ x + time * kappa * (_HORIZON - t)
        found = (hjb(game, u, path, 0.5, x), fokker_planck(game, u, path, 0.5, x))
        return jnp.abs(jnp.stack([*found, terminal(game, u, path, x)]))

    turns = (jnp.array([1.0, -1.0, 1.0]), jnp.array([1.0, 1.0, -1.0]))
    right, turned, backward = jax.jit(jax.vmap(residuals))(*turns).tolist()
    seen = min(turned[1], turned[2], backward[0])
    evidence = (
        f"residuals of an exact solution are at most {max(right):.1e}, those of its mirror images "
        f"at least {seen:.2g}"
    )
    repair = "one of the residuals has a sign turned: run the tests in tests/laws"
    return verdict(SIGNS, max(right) < 1e-6 and seen > 1e-2, evidence, "MATH, section 7", repair)
