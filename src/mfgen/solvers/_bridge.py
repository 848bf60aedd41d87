"""The multiplier of a Schrödinger bridge on a lattice, by Sinkhorn's iteration.

Among the laws of paths with rho(0) = rho_0 and rho(T) = pi the bridge is closest to the free
particles, whose transition density is k(x, y) = G_S(y - m x). Its two ends have the joint law

    psi(x) k(x, y) phi(y),       psi (K phi) = rho_0,       phi (K^T psi) = pi,

the optimal coupling with entropy for the cost -log k. As

    |m x - y|^2 = m |x - y|^2 - m (1 - m) |x|^2 + (1 - m) |y|^2,

it is that of the cost |x - y|^2 with entropy 2 S / m, up to factors of x alone and of y alone.

References:
    M. Cuturi, "Sinkhorn distances" (2013), arXiv 1306.0895 (the iteration, run here by ott-jax).
    C. Léonard, "A survey of the Schrödinger problem" (2014), arXiv 1308.0215.
"""

import warnings
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfgen.math._heat import smooth, spread
from mfgen.math._lattice import Lattice


class Ends(NamedTuple):
    """The end of a bridge.

    Attributes:
        phi: log phi, `[*points]`.
        mismatch: the mass that the particles, started from rho_0, have to move to be pi.
        iterations: of Sinkhorn.
    """

    phi: Float[Array, "*points"]
    mismatch: float
    iterations: int


def multiplier(
    lattice: Lattice,
    start: Float[Array, "*points"],
    end: Float[Array, "*points"],
    factor: float,
    variance: float,
    tolerance: float,
    iterations: int,
) -> Ends:
    """log phi at the end.

    Arguments:
        lattice: the cells.
        start, end: log rho_0 and log pi at their centres.
        factor, variance: m and S of the free particles over the whole time.
        tolerance: of the mismatch.
        iterations: at most.
    """
    geometry, problem, solver = _library()
    axes = [jnp.asarray(nodes) for nodes in lattice.axes()]
    weights = [jnp.exp(part - part.max()).ravel() for part in (start, end)]
    weights = [part / part.sum() for part in weights]
    sinkhorn = solver.Sinkhorn(threshold=tolerance, max_iterations=iterations, norm_error=1)
    with jax.numpy_rank_promotion("allow"):  # which the library relies on
        cost = geometry.Grid(x=axes, epsilon=2 * variance / factor)
        found = sinkhorn(problem.LinearProblem(cost, *weights))
    square = jnp.asarray((lattice.nodes() ** 2).sum(-1))
    phi = found.g.reshape(lattice.points) * factor / (2 * variance)
    phi = phi + (1 - factor) * square / (2 * variance)
    # Half a step more, in logarithms: it reaches where weights have underflown.
    arriving = spread(lattice, start - smooth(lattice, phi, factor, variance), factor, variance)
    phi = end - arriving
    psi = start - smooth(lattice, phi, factor, variance)
    missed = jnp.exp(phi + spread(lattice, psi, factor, variance)) - jnp.exp(end)
    mismatch = 0.5 * float(jnp.sum(jnp.abs(missed))) * lattice.volume
    return Ends(phi, mismatch, int(np.sum(np.asarray(found.errors) != -1)) * 10)


def _library():
    """ott-jax, without the warning of a library below it that says it is no longer kept."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from ott.geometry import grid
        from ott.problems.linear import linear_problem
        from ott.solvers.linear import sinkhorn
    return grid, linear_problem, sinkhorn
