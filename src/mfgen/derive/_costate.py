"""The gradient of the Hamilton-Jacobi-Bellman equation: an equation for the costate p = grad U.

    -dt p + r p + grad_x [ H(t, x, p(t, x)) - div(D p) - dI/drho(rho(t))(x) ] = 0

with D = sigma sigma^T / 2 and r the game's discount. It needs no value function, so it applies to
vector fields (score networks). For a score-based game with s = -p it reads, in noising time and
with noising drift -f,

    d s / d(noising time) = grad( (sigma^2/2) (div s + |s|^2) + f.s + div f ).

The divergence enters with plus. References: C.-H. Lai et al., "FP-Diffusion" (2023),
arXiv 2210.04296; B. J. Zhang, M. A. Katsoulakis (2023), arXiv 2304.13534.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from mfgen._types import Costate, Scalar, State, Time
from mfgen.densities._base import AbstractDensity
from mfgen.derive._hamiltonian import hamiltonian
from mfgen.derive._residual import diffusivity
from mfgen.games._game import MFG
from mfgen.math._autodiff import divergence
from mfgen.math._linear_map import image


def hjb_gradient(
    game: MFG,
    p: Callable[[Time, State], Costate],
    rho: Callable[[Time], AbstractDensity] | None,
    t: Time,
    x: State,
) -> Costate:
    """The gradient form of the HJB residual, zero at p = grad U of a solution.

    Arguments:
        game: the game.
        p: the costate field, (t, x) -> `[dim]`.
        rho: the density path, t -> density; `None` if the interaction does not depend on it.
        t, x: the point at which the residual is taken.

    Returns:
        The residual, shape `[dim]`, in units of the costate per unit of time.
    """
    t = jnp.asarray(t, x.dtype)
    _, slope = jax.jvp(lambda t: p(t, x), (t,), (jnp.ones_like(t),))

    def energy(x: State) -> Scalar:
        value = hamiltonian(game, t, x, p(t, x))
        if not game.dynamics.deterministic:
            spread = diffusivity(game, t)
            value = value - divergence(lambda x: image(spread, p(t, x)))(x)
        density = None if rho is None else rho(t)
        return value - game.interaction.variation(density, x)

    residual = jax.grad(energy)(x) - slope
    return residual + game.discount * p(t, x) if game.discount > 0 else residual
