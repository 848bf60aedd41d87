"""The proximal of a local functional in the Kullback-Leibler divergence, cell by cell.

    argmin over rho of  lambda F(rho) + sum over cells of rho (log rho - goal - 1) h^d
    log rho + lambda dF/drho(rho) = goal

F is local and convex, so that the left side grows with log rho, with a slope of at least one: the
root is no further than what is missing. Newton's method is kept between these bounds; where powers
of rho make it slow, at far too large a density, bounds are halved first.

Reference: G. Peyré, "Entropic approximation of Wasserstein gradient flows" (2015), arXiv
1502.06216.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mfgen._types import Scalar
from mfgen.functionals._functional import AbstractFunctional
from mfgen.functionals._local import local_curvature
from mfgen.math._lattice import Lattice

Field = Float[Array, "*points"]

# Steps at most, the change at which they end, and that which counts as an arrival after all.
_ITERATIONS, _ROUNDING, _ARRIVED = 80, 1e-11, 1e-6
# Newton's steps before bounds further apart than the second number are halved.
_FIRST, _APART = 4, 4.0


def pointwise(
    functional: AbstractFunctional, lattice: Lattice, goal: Field, scale: Scalar, guess: Field
) -> tuple[Field, Field, Bool[Array, ""]]:
    """log rho, d(dF/drho) / d(log rho) there, and whether all cells have arrived.

    Arguments:
        functional: F, local and convex.
        lattice: the cells.
        goal: the right side, `[*points]`.
        scale: lambda.
        guess: where Newton's method begins, `[*points]`.
    """

    def newton(state):
        here, low, high, _, _, count = state
        slope, curvature = slopes(functional, lattice, here)
        missing = goal - here - scale * slope
        low = jnp.maximum(low, here + jnp.minimum(missing, 0.0))
        high = jnp.minimum(high, here + jnp.maximum(missing, 0.0))
        there = here + missing / (1 + scale * curvature)
        slow = (count >= _FIRST) & (high - low > _APART) & jnp.isfinite(high - low)
        taken = (there >= low) & (there <= high) & ~slow
        there = jnp.where(taken, there, 0.5 * (low + high))
        off = jnp.max(jnp.abs(there - here) / (1 + jnp.abs(there)))
        return there, low, high, curvature, off, count + 1

    going = lambda state: (state[4] > _ROUNDING) & (state[5] < _ITERATIONS)
    far = jnp.full_like(guess, jnp.inf)
    first = (guess, -far, far, guess, jnp.asarray(jnp.inf, guess.dtype), 0)
    density, _, _, curvature, off, _ = jax.lax.while_loop(going, newton, first)
    return density, curvature, off <= _ARRIVED


def slopes(functional: AbstractFunctional, lattice: Lattice, density: Field) -> tuple[Field, Field]:
    """dF/drho in all cells, `[*points]`, and its derivative by log rho.

    Raises:
        TypeError: if F is not local.
    """
    places = jnp.asarray(lattice.nodes(), density.dtype).reshape(-1, lattice.dim)
    one = lambda x, logarithm: local_curvature(functional, x, logarithm)
    slope, curvature = jax.vmap(one)(places, density.ravel())
    return slope.reshape(lattice.points), curvature.reshape(lattice.points)
