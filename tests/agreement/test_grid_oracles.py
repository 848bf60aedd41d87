"""The grid solver against every exact solution it can hold, in one dimension.

U is compared at time 0, up to no constant, and rho at the horizon, both over the particles. The
bounds are what first order (no noise) and second order leave at the few cells of a test.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.lab import oracles
from mfgen.solvers.base import Solution
from mfgen.solvers.grid import Grid

pytestmark = pytest.mark.usefixtures("x64")

# Cells, steps, bounds of the relative errors of U and rho. Without noise upwinding smears.
CASES = {
    "oracle-translation": (120, 40, 2e-3, 1e-2),
    "oracle-hopf-lax": (160, 60, 4e-2, 2e-1),
    "oracle-hopf-cole": (160, 80, 1e-2, 2e-2),
    "oracle-linear-quadratic": (120, 60, 1e-2, 1e-2),
    "oracle-gaussian-bridge": (120, 60, 1e-2, 1e-2),
    "oracle-logarithmic-coupling": (80, 40, 1e-2, 1e-2),
    "oracle-wasserstein-proximal": (120, 60, 1e-2, 2e-2),
}


def errors(exact: Solution, found: Solution) -> tuple[float, float]:
    lattice = found.value.lattice
    nodes = jnp.asarray(lattice.nodes()).reshape(-1, lattice.dim)
    horizon = exact.game.dynamics.horizon
    log_law = lambda t: jax.vmap(lambda x: exact.density(t).log_density(x))(nodes)
    start = np.exp(np.asarray(log_law(0.0)))
    u = np.asarray(jax.vmap(lambda x: exact.value(0.0, x))(nodes))
    off = np.asarray(found.value.values[0]).ravel() - u
    value = np.sqrt((start * off**2).sum() / (start * u**2).sum())
    end = np.exp(np.asarray(log_law(horizon)))
    miss = np.asarray(found.density.mass[-1]).ravel() / lattice.volume - end
    return float(value), float(np.sqrt((miss**2).sum() / (end**2).sum()))


LONG = ("oracle-hopf-lax", "oracle-linear-quadratic", "oracle-wasserstein-proximal")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in LONG else n for n in CASES]
)
def test_the_grid_reproduces_the_oracle(name):
    points, steps, value, density = CASES[name]
    oracle = oracles.build(name, 1)
    half = 1.15 * oracle.box
    found = Grid((-half, half), points, steps=steps).solve(oracle.solution.game)
    assert found.result.converged, found.result.message
    off = errors(oracle.solution, found)
    assert off[0] < value, (off, found.result.message)
    assert off[1] < density, (off, found.result.message)
