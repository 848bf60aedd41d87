"""Games with exact solutions: every residual vanishes to rounding.

Translation, Hopf-Lax, Hopf-Cole (score-based models), linear-quadratic control, and the game with
logarithmic coupling. float64 throughout: the identities are exact.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tables import LAGRANGIANS

from mfgen.density.gaussian import Gaussian, GaussianMixture
from mfgen.derive.hamiltonian import hamiltonian
from mfgen.derive.residual import fokker_planck, hjb, terminal
from mfgen.math.legendre import maximiser
from mfgen.problem.cost import Anisotropic, Kinetic, Power, ScoreLagrangian, WithPotential
from mfgen.problem.dynamics import AbstractDynamics, Integrator
from mfgen.problem.functional import CrossEntropy, Entropy, Linear, Zero
from mfgen.problem.game import MFG
from mfgen.problem.noising import VE, VP, SubVP, TimeReversal

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


class LinearDynamics(AbstractDynamics):
    """dX = (A X + B v) dt + sigma dW."""

    drift: jax.Array
    steering: jax.Array
    sigma: float = eqx.field(static=True)
    horizon: float = eqx.field(static=True, default=1.5)
    deterministic: bool = eqx.field(static=True, default=False)

    def free(self, t, x):
        return self.drift @ x

    def gain(self, t):
        return self.steering

    def diffusion(self, t):
        return jnp.asarray(self.sigma)


@pytest.mark.parametrize("shape", ["scalar", "matrix"])
def test_linear_quadratic(shape):
    """U = x.P x / 2 + c with the Riccati equation solved by the eigenvectors of its flow."""
    if shape == "scalar":
        a, b, r, q, g = (np.array([[value]]) for value in (-0.4, 1.3, 0.7, 0.9, 0.2))
    else:
        a, b = np.array([[0.1, 1.0], [-0.5, -0.2]]), np.array([[0.0], [1.2]])
        r, q, g = np.array([[0.6]]), np.array([[1.0, 0.3], [0.3, 0.5]]), np.diag([0.4, 0.1])
    dim, sigma, horizon = len(a), 0.5, 1.5
    flow = np.block([[a, -b @ np.linalg.inv(r) @ b.T], [-q, -a.T]])

    rates, modes = np.linalg.eig(flow)
    final = np.linalg.solve(modes, np.concatenate([np.eye(dim), g]).astype(complex))

    def riccati(t):
        """[X; Y]' = flow [X; Y] backwards from [I; G] gives P = Y X^-1."""
        pair = jnp.real(modes @ (jnp.exp((t - horizon) * rates)[:, None] * final))
        return pair[dim:] @ jnp.linalg.inv(pair[:dim])

    def u(t, x):
        """c = (sigma^2 / 2) int_t^T tr P by Gauss-Legendre quadrature, exact to rounding."""
        nodes, weights = np.polynomial.legendre.leggauss(16)
        times = t + 0.5 * (horizon - t) * (nodes + 1)
        traces = jax.vmap(lambda s: jnp.trace(riccati(s)))(times)
        return 0.5 * x @ riccati(t) @ x + 0.25 * sigma**2 * (horizon - t) * (weights @ traces)

    lagrangian = WithPotential(Anisotropic(lambda x: jnp.asarray(r)), lambda t, x: 0.5 * x @ q @ x)
    dynamics = LinearDynamics(jnp.asarray(a), jnp.asarray(b), sigma)
    game = MFG(dynamics, lagrangian, Linear(lambda x: 0.5 * x @ g @ x))
    times = np.linspace(0, 1.2, 5)
    assert largest(lambda t, x: hjb(game, u, None, t, x), times, cloud(dim)) < 1e-10
    assert largest(lambda x: terminal(game, u, None, x), cloud(dim)) < 1e-10


@pytest.mark.parametrize("dim", [1, 3])
def test_logarithmic_coupling(dim):
    """L = |v|^2/2 + b|x|^2/2, I = gamma E[log rho]: a stationary Gaussian and a quadratic U."""
    gamma, b, nu, horizon = 0.4, 0.9, 0.3, 2.0
    alpha = (-gamma + np.sqrt(gamma**2 + 4 * nu**2 * b)) / (2 * nu)
    kappa = nu * alpha * dim
    kappa += gamma * (0.5 * dim * np.log(alpha / (2 * np.pi * nu)) + 1)
    u = lambda t, x: 0.5 * alpha * x @ x + kappa * (horizon - t)
    game = MFG(
        Integrator(sigma=float(np.sqrt(2 * nu)), horizon=horizon),
        WithPotential(Kinetic(), lambda t, x: 0.5 * b * x @ x),
        Linear(lambda x: 0.5 * alpha * x @ x),
        interaction=gamma * Entropy(),
    )
    path = lambda t: Gaussian(jnp.zeros(dim), nu / alpha)

    def residuals(t, x):
        equations = (hjb(game, u, path, t, x), fokker_planck(game, u, path, t, x))
        return jnp.stack([*equations, terminal(game, u, path, x)])

    assert largest(residuals, np.linspace(0, 1.9, 5), cloud(dim)) < 1e-10


def test_a_wrong_solution_is_seen():
    """The sign once found wrong in public code: dt U + |grad U|^2 / (2k) instead of minus dt U."""
    game = MFG(Integrator(), Power(2.0), Zero())
    p = jnp.array([1.0, -0.5])
    slope = lambda sign: lambda t, x: p @ x + sign * t * hamiltonian(game, t, x, p)
    assert largest(lambda x: hjb(game, slope(1), None, 0.3, x), cloud(2)) < 1e-12
    assert largest(lambda x: hjb(game, slope(-1), None, 0.3, x), cloud(2)) > 1
