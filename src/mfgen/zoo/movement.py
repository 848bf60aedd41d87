"""The laws of a minimising movement, as particles with their log-densities carried along.

    log rho_(k+1)(T_k x) = log rho_k(x) - log |det DT_k(x)|,      F_k = E[ log rho_k - log pi ]

T_k the map of step k. A first law that is known by samples alone counts as log rho_0 = 0: the
divergences are then those up to its entropy.

Reference: R. Jordan, D. Kinderlehrer, F. Otto (1998), SIAM J. Math. Anal. 29.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen._types import Batch, Key
from mfgen.density.base import AbstractDensity, AbstractEvaluable
from mfgen.solvers.particle import Energy, mean_energy


class Law(NamedTuple):
    """A law on the way: particles, their log-densities, and its divergence from the target."""

    points: Batch
    log_densities: Float[Array, "n"]
    divergence: Energy


class Laws(NamedTuple):
    """All laws: points `[laws, n, dim]`, log-densities `[laws, n]`, divergences and errors."""

    points: Float[Array, "laws n dim"]
    log_densities: Float[Array, "laws n"]
    divergences: Float[Array, "laws"]
    standard_errors: Float[Array, "laws"]


def first_law(
    target: AbstractEvaluable, start: AbstractDensity, particles: int, *, key: Key
) -> Law:
    """So many particles of a law with a log-density, or all there are of a sample."""
    if isinstance(start, AbstractEvaluable):
        points = start.sample(particles, key=key)
        return _law(target, points, jax.vmap(start.log_density)(points))
    points = start.particles()[0]
    return _law(target, points, jnp.zeros(points.shape[0], points.dtype))


def next_law(target: AbstractEvaluable, law: Law, points: Batch, growth: Float[Array, "n"]) -> Law:
    """The law after a step to `points` with the log-determinants `growth`."""
    return _law(target, points, law.log_densities - growth)


def all_laws(laws: list[Law]) -> Laws:
    """The laws of all steps in one."""
    points, densities, divergences = zip(*laws, strict=True)
    values, errors = (jnp.stack(part) for part in zip(*divergences, strict=True))
    return Laws(jnp.stack(points), jnp.stack(densities), values, errors)


@eqx.filter_jit
def _law(target: AbstractEvaluable, points: Batch, densities: Float[Array, "n"]) -> Law:
    return Law(points, densities, mean_energy(densities - jax.vmap(target.log_density)(points)))
