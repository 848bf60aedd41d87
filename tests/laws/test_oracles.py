"""Exact solutions for every member of a family: residuals vanish to rounding.

Translation and Hopf-Lax for the Lagrangians of the table, with their Hamiltonians written by hand,
and Hopf-Cole for every noising. float64 throughout: the identities are exact. All games with exact
answers are in `tests/zoo/test_oracles.py`.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tables import LAGRANGIANS

from mfgen.costs import Power, ScoreLagrangian
from mfgen.densities import GaussianMixture
from mfgen.derive import fokker_planck, hamiltonian, hjb, terminal
from mfgen.dynamics import VE, VP, Integrator, SubVP, TimeReversal
from mfgen.functionals import CrossEntropy, Linear, Zero
from mfgen.games import MFG
from mfgen.math._legendre import maximiser

pytestmark = pytest.mark.usefixtures("x64")
NOISINGS = {"VP": VP, "VE": VE, "SubVP": SubVP}


def largest(residual, *points):
    """The largest absolute residual over a batch of points, in one compiled call."""
    values = eqx.filter_jit(jax.vmap(residual))(*map(jnp.asarray, points))
    return jnp.max(jnp.abs(values))


def cloud(dim, count=5):
    return np.random.default_rng(dim).normal(size=(count, dim))


@pytest.mark.parametrize("sigma", [0.0, 0.5])
@pytest.mark.parametrize("member", ["Kinetic", "Power-1.5", "Power-3", "Relativistic"])
def test_translation(member, sigma):
    """U = q.x - (T - t) H(q) for any cost that does not depend on x, H from the table."""
    row, q = LAGRANGIANS[member], jnp.array([0.5, -1.0, 0.8])
    game = MFG(Integrator(sigma=sigma, horizon=2.0), row.build(), Linear(lambda x: q @ x))
    u = lambda t, x: q @ x - (2.0 - t) * row.hamiltonian(t, x, q)
    assert largest(lambda x: hjb(game, u, None, 0.3, x), cloud(3)) < 1e-10
    assert largest(lambda x: terminal(game, u, None, x), cloud(3)) < 1e-10


@pytest.mark.parametrize("member", ["Kinetic", "Power-3", "Relativistic"])
def test_hopf_lax(member):
    """U = inf_y { U_T(y) + (T - t) L((y - x) / (T - t)) } without noise; the inf is computed."""
    row, middle = LAGRANGIANS[member], jnp.array([1.0, -0.5])
    lagrangian = row.build()
    final = lambda y: 0.7 * (y - middle) @ (y - middle)
    game = MFG(Integrator(horizon=2.0), lagrangian, Linear(final))

    def u(t, x):
        left = 2.0 - t
        cost = lambda v: final(x + left * v) + left * lagrangian(t, x, v)
        v, found = maximiser(cost, jnp.zeros_like(x))
        return jnp.where(found, cost(v), jnp.nan)

    assert largest(lambda x: hjb(game, u, None, 0.3, x), cloud(2)) < 1e-9


@pytest.mark.parametrize("dim", [1, 2, 5])
@pytest.mark.parametrize("noising", NOISINGS)
def test_hopf_cole(noising, dim):
    """U = -log eta(S - t, x) for a Gaussian mixture: HJB, Fokker-Planck and terminal condition."""
    dynamics = TimeReversal(NOISINGS[noising]())
    forward = dynamics.noising
    means = np.stack([np.linspace(-1, 1, dim), np.linspace(0.5, -0.2, dim)])
    factor = 0.6 * np.eye(dim) + 0.2 * np.tri(dim)
    pi = GaussianMixture([0.4, 0.6], means, np.stack([factor @ factor.T, 0.3 * np.eye(dim)]))
    eta = lambda s: pi.noised(forward.signal(s), forward.noise(s))
    path = lambda t: eta(dynamics.noising_time(t))
    u = lambda t, x: -path(t).log_density(x)
    game = MFG(dynamics, ScoreLagrangian(dynamics), CrossEntropy(eta(forward.start)))

    def residuals(t, x):
        """Per unit of sigma^2 / 2, the speed at which the density changes."""
        speed = 0.5 * dynamics.diffusion(t) ** 2
        equations = (hjb(game, u, None, t, x), fokker_planck(game, u, path, t, x))
        return jnp.stack([*equations, speed * terminal(game, u, None, x)]) / speed

    times = np.linspace(0.05, 0.9, 5) * dynamics.horizon
    assert largest(residuals, times, cloud(dim)) < 1e-10


def test_a_wrong_solution_is_seen():
    """The sign once found wrong in public code: dt U + |grad U|^2 / (2k) instead of minus dt U."""
    game = MFG(Integrator(), Power(2.0), Zero())
    p = jnp.array([1.0, -0.5])
    slope = lambda sign: lambda t, x: p @ x + sign * t * hamiltonian(game, t, x, p)
    assert largest(lambda x: hjb(game, slope(1), None, 0.3, x), cloud(2)) < 1e-12
    assert largest(lambda x: hjb(game, slope(-1), None, 0.3, x), cloud(2)) > 1
