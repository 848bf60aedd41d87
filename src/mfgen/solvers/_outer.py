"""The outer iteration of the grid solver: couplings without a residual.

1. Fixed point z <- z + Phi(z), while it contracts: cheap, and enough for a weak interaction.
2. Newton's method on Phi(z) = 0, its linear systems by GMRES, each product one linear sweep in each
   direction; steps are halved until the residual falls. It converges where the fixed point fails.
3. Fictitious play z <- z + w Phi(z) with a falling w, where Newton's method finds no way down.

Norms weigh places by the particles there: the residual where nobody is does not matter. The
inner product of GMRES is the same one, L2(rho). In it the derivative of Phi is bounded and
smoothing: an entropy's first variation has the derivative 1 / rho, unbounded where particles are
few, but rho^(1/2) (1 / rho) d rho/df rho^(-1/2) is not; a few products then do for a linear system.

References:
    P. Cardaliaguet, S. Hadikhanloo, "Learning in mean field games: the fictitious play", ESAIM
    COCV 23 (2017); D. A. Knoll, D. E. Keyes, "Jacobian-free Newton-Krylov methods", J. Comput.
    Phys. 193 (2004).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from scipy.sparse.linalg import LinearOperator, gmres

from mfgen.solvers import _equilibrium
from mfgen.solvers._base import Result, Status
from mfgen.solvers._equilibrium import Couplings, Problem, State

_CONTRACTS = 0.5  # a fixed point slower than that is left for Newton's method
_HALVINGS = 7
_KRYLOV = 60  # products of one linear system
_SMALLEST = 2.0**-12  # part of fictitious play below which nothing more is to be had
_SPARSE = 1e-12  # the least mass by which Newton's method weighs a cell, relative to the most


class _Iterate(NamedTuple):
    z: Couplings
    state: State

    @property
    def missing(self) -> float:
        missing = float(self.state.missing)
        return missing if np.isfinite(missing) else np.inf

    @property
    def relative(self) -> float:
        return self.missing / float(self.state.size)

    def done(self, tolerance: float) -> bool:
        return self.relative <= tolerance and float(self.state.change) <= tolerance

    def unfinished(self, tolerance: float) -> bool:
        """Neither done nor beyond help."""
        return np.isfinite(self.missing) and not self.done(tolerance)


def iterate(
    problem: Problem, tolerance: float, most: int
) -> tuple[State, Result, dict[str, float]]:
    """The last state, the result in words, and the numbers of iterations."""
    counts = {"iterations": 1.0, "newton": 0.0, "products": 0.0}
    here = _marched(problem, _equilibrium.free(problem))
    if not np.isfinite(here.missing):
        return here.state, _diverged(here), counts
    here = _begun(problem, here)
    here = _fixed_point(problem, here, tolerance, most, counts)
    part = 1.0
    while here.unfinished(tolerance) and counts["iterations"] < most and part > _SMALLEST:
        counts["iterations"] += 1
        if here.relative <= tolerance:
            here = _improved(problem, here, here.z)
            continue
        found = _newton(problem, here, counts) or _played(problem, here, part)
        part = min(1.0, 2 * part) if found else 0.25 * part
        here = found or here
    if not np.isfinite(here.missing):
        return here.state, _diverged(here), counts
    if here.done(tolerance):
        return here.state, _converged(here, counts), counts
    return here.state, _stalled(here, counts, tolerance), counts


def _begun(problem: Problem, free: _Iterate) -> _Iterate:
    """The part of the couplings of free particles that leaves the least residual.

    All of them suit a linear cost; a divergence asks for far too much of particles far away.
    """
    least = free
    for part in (1.0, 0.5, 0.25, 0.125, 0.06, 0.03):
        found = _marched(problem, _sum(free.z, free.state.residual, part))
        if found.missing >= least.missing and least is not free:
            break
        least = min(least, found, key=lambda one: one.missing)
        if least.missing < _CONTRACTS * free.missing:
            break
    return least


def _fixed_point(
    problem: Problem, here: _Iterate, tolerance: float, most: int, counts: dict[str, float]
) -> _Iterate:
    """z <- z + Phi(z), as long as it contracts."""
    while here.unfinished(tolerance) and counts["iterations"] < most:
        counts["iterations"] += 1
        if here.relative <= tolerance:
            here = _improved(problem, here, here.z)
            continue
        found = _improved(problem, here, _sum(here.z, here.state.residual, 1.0))
        if not found.missing < _CONTRACTS * here.missing:
            return here
        here = found
    return here


def _played(problem: Problem, here: _Iterate, part: float) -> _Iterate | None:
    """A step of fictitious play, if less is missing after it."""
    found = _marched(problem, _sum(here.z, here.state.residual, part))
    return found if found.missing < here.missing else None


def _newton(problem: Problem, here: _Iterate, counts: dict[str, float]) -> _Iterate | None:
    """The longest of the halved Newton steps after which less is missing, if there is one."""
    direction, products = _direction(problem, here.z, here.state)
    counts["newton"] += 1
    counts["products"] += products
    for halving in range(_HALVINGS):
        part = 0.5**halving
        found = _marched(problem, _sum(here.z, direction, part))
        if found.missing < (1 - 0.1 * part) * here.missing:
            return found
    return None


def _marched(problem: Problem, z: Couplings) -> _Iterate:
    return _Iterate(z, _equilibrium.marched(problem, z))


def _improved(problem: Problem, here: _Iterate, z: Couplings) -> _Iterate:
    return _Iterate(z, _equilibrium.improved(problem, z, here.state))


def _sum(z: Couplings, by: Couplings, part: float) -> Couplings:
    return jax.tree.map(lambda at, move: at + part * move, z, by)


def _direction(problem: Problem, z: Couplings, state: State) -> tuple[Couplings, int]:
    """The direction in which the residual vanishes to first order, and products used."""
    mass = np.asarray(state.mass)
    weights = Couplings(_weights(0.5 * (mass[1:] + mass[:-1])), _weights(mass[-1]))

    # Vectors are couplings times the weights, so that their dot product is that of L2(rho).
    _, unravelled = ravel_pytree(z)
    flat = lambda z: np.array(ravel_pytree(jax.tree.map(jnp.multiply, weights, z))[0])
    whole = lambda vector: jax.tree.map(jnp.divide, unravelled(jnp.asarray(vector)), weights)
    used = 0

    def product(vector: np.ndarray) -> np.ndarray:
        nonlocal used
        used += 1
        return flat(_equilibrium.linearised(problem, z, state, whole(vector)))

    right = -flat(state.residual)
    operator: Any = LinearOperator  # a factory, of which its stub knows nothing
    matrix = operator(2 * (right.size,), matvec=product, dtype=right.dtype)
    solved, _ = gmres(matrix, right, rtol=1e-3, restart=_KRYLOV, maxiter=1)
    return whole(solved), used


def _weights(mass: np.ndarray) -> jax.Array:
    """The square root of the mass, never zero."""
    return jnp.sqrt(jnp.maximum(mass, _SPARSE * mass.max()))


def _converged(here: _Iterate, counts: dict[str, float]) -> Result:
    return Result(
        Status.CONVERGED,
        f"Converged in {counts['iterations']:.0f} iterations: couplings are off by "
        f"{here.relative:.1e} of themselves, values change by {float(here.state.change):.1e}.",
    )


def _stalled(here: _Iterate, counts: dict[str, float], tolerance: float) -> Result:
    if here.relative <= tolerance:
        fix = (
            "controls switch between cells; take more cells and steps, a smaller box, or a larger "
            "tolerance."
        )
    else:
        fix = (
            "the game may have no equilibrium or several; try a weaker interaction, a shorter "
            "horizon or more noise."
        )
    return Result(
        Status.STALLED,
        f"Stalled after {counts['iterations']:.0f} iterations: couplings are off by "
        f"{here.relative:.1e} of themselves, values change by {float(here.state.change):.1e}, "
        f"expected at most {tolerance:.1e}: {fix}",
    )


def _diverged(here: _Iterate) -> Result:
    return Result(
        Status.DIVERGED,
        "Diverged: values are not finite; the drift or the costs of the game are too large for "
        "the cells and steps: take more of both, or a smaller box.",
    )
