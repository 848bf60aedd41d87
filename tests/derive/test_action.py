"""Costs, duality and exploitability of candidates whose suboptimality is known in closed form."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.costs import Kinetic, WithPotential
from mfgen.densities import Gaussian
from mfgen.derive._action import cost, dual, exploitability_bound, frozen
from mfgen.dynamics import Integrator
from mfgen.functionals import KL, Entropy, Linear
from mfgen.games import MFG
from mfgen.models import Potential
from mfgen.solvers._base import Result, Solution, Status

pytestmark = pytest.mark.usefixtures("x64")
DONE = Result(Status.CONVERGED, "a formula")


class Scalar(NamedTuple):
    """dX = v dt + sigma dW, L = r v^2/2 + q x^2/2, M = G x^2/2 with G = P = sqrt(q r) constant."""

    sigma: float = 0.6
    r: float = 0.5
    q: float = 2.0
    horizon: float = 1.5
    start: float = 0.8

    @property
    def gain(self):
        return np.sqrt(self.q * self.r)

    def game(self):
        lagrangian = WithPotential(Kinetic(self.r), lambda t, x: 0.5 * self.q * x @ x)
        terminal = Linear(lambda x: 0.5 * self.gain * x @ x)
        dynamics = Integrator(sigma=self.sigma, horizon=self.horizon)
        return MFG(dynamics, lagrangian, terminal, initial=Gaussian(jnp.zeros(1), self.start))

    def candidate(self, gain):
        """U = gain x^2/2 + ... with the law that its control v = -(gain / r) x generates."""
        rate, nu = gain / self.r, 0.5 * self.sigma**2
        value = lambda t, x: 0.5 * gain * x @ x + nu * gain * (self.horizon - t)
        density = lambda t: Gaussian(jnp.zeros(1), self.variance(rate, t))
        return Solution(self.game(), Potential(value), density, DONE)

    def variance(self, rate, t):
        rest = 0.5 * self.sigma**2 / rate
        return rest + (self.start - rest) * jnp.exp(-2 * rate * t)

    def cost_of(self, gain):
        """int (r k^2 + q) S / 2 dt + G S(T) / 2 with k = gain / r, integrated by hand."""
        rate = gain / self.r
        rest = 0.5 * self.sigma**2 / rate
        decay = -np.expm1(-2 * rate * self.horizon) / (2 * rate)
        second_moment = rest * self.horizon + (self.start - rest) * decay
        last = rest + (self.start - rest) * np.exp(-2 * rate * self.horizon)
        return 0.5 * (self.r * rate**2 + self.q) * second_moment + 0.5 * self.gain * last

    def least(self):
        return 0.5 * self.gain * (self.start + self.sigma**2 * self.horizon)


@pytest.mark.parametrize("sigma", [0.0, 0.6])
def test_linear_quadratic_costs(sigma):
    """Frozen cost, Ito's formula and the known cost agree for right and wrong gains."""
    problem = Scalar(sigma=sigma)
    for factor in (1.0, 0.7, 1.4):
        candidate = problem.candidate(factor * problem.gain)
        action, population = cost(candidate), frozen(candidate)
        exact = problem.cost_of(factor * problem.gain)
        np.testing.assert_allclose(action.total, exact, rtol=1e-9)
        np.testing.assert_allclose(population.cost, exact, rtol=1e-9)
        np.testing.assert_allclose(population.policy, exact, rtol=1e-9)
        np.testing.assert_allclose(population.defect, 0.0, atol=1e-9)
    assert problem.cost_of(problem.gain) == pytest.approx(problem.least(), rel=1e-12)


def test_linear_quadratic_duality():
    """J - D is the known suboptimality, and the bound from suprema lies above it."""
    problem = Scalar()
    wrong = problem.candidate(1.3 * problem.gain)
    gap = problem.cost_of(1.3 * problem.gain) - problem.least()
    assert gap > 0.01
    best = problem.candidate(problem.gain).value
    population = frozen(wrong)
    points, weights = wrong.density(0.0).particles()
    start = weights @ jax.vmap(lambda x: best(0.0, x))(points)
    value = dual(cost(wrong), population, population.policy - start)
    np.testing.assert_allclose(value, problem.least(), rtol=1e-9)
    domain = jnp.linspace(-4.0, 4.0, 81)[:, None]
    assert exploitability_bound(wrong, domain) > gap
    right = exploitability_bound(problem.candidate(problem.gain), domain)
    np.testing.assert_allclose(right, 0.0, atol=1e-9)


def test_a_function_of_time_changes_nothing():
    problem = Scalar()
    candidate = problem.candidate(1.3 * problem.gain)
    lifted = eqx.tree_at(
        lambda solution: solution.value,
        candidate,
        Potential(lambda t, x: candidate.value(t, x) + 3.0 + t**2),
    )
    domain = jnp.linspace(-3.0, 3.0, 11)[:, None]
    one, two = frozen(candidate), frozen(lifted)
    np.testing.assert_allclose(two.start - one.start, 3.0)
    np.testing.assert_allclose(two.policy, one.policy, rtol=1e-12)
    np.testing.assert_allclose(
        exploitability_bound(lifted, domain), exploitability_bound(candidate, domain), rtol=1e-12
    )


def test_a_law_of_another_control_is_a_defect():
    """rho stands still although v* contracts it: not part of the policy's cost, but seen."""
    problem = Scalar()
    moving = problem.candidate(problem.gain)
    still = Gaussian(jnp.zeros(1), problem.start)
    frozen_law = Solution(moving.game, moving.value, lambda t: still, DONE)
    population = frozen(frozen_law)
    np.testing.assert_allclose(population.policy, problem.least(), rtol=1e-9)
    # The weak Fokker-Planck equation against U: E U(T) - E U(0) - int E (dt + b.grad + nu lap) U.
    growth = 2 * problem.gain / problem.r * problem.start - problem.sigma**2
    np.testing.assert_allclose(
        population.defect, 0.5 * problem.gain * growth * problem.horizon, rtol=1e-9
    )


def logarithmic(gamma=0.4, b=0.9, nu=0.3, horizon=2.0):
    """MATH: a stationary Gaussian, U = alpha x^2/2 + kappa (T - t), interaction gamma E log rho."""
    alpha = (-gamma + np.sqrt(gamma**2 + 4 * nu**2 * b)) / (2 * nu)
    kappa = nu * alpha + gamma * (0.5 * np.log(alpha / (2 * np.pi * nu)) + 1)
    law = Gaussian(jnp.zeros(1), nu / alpha)
    game = MFG(
        Integrator(sigma=float(np.sqrt(2 * nu)), horizon=horizon),
        WithPotential(Kinetic(), lambda t, x: 0.5 * b * x @ x),
        Linear(lambda x: 0.5 * alpha * x @ x),
        interaction=gamma * Entropy(),
        initial=law,
    )
    value = Potential(lambda t, x: 0.5 * alpha * x @ x + kappa * (horizon - t))
    variance = nu / alpha
    entropy = -0.5 * (np.log(2 * np.pi * variance) + 1)
    running = 0.5 * (alpha**2 + b) * variance * horizon
    return Solution(game, value, lambda t: law, DONE), running, gamma * entropy * horizon


def test_interaction_enters_the_cost_by_value_and_the_frozen_cost_by_variation():
    solution, running, interaction = logarithmic()
    action, population = cost(solution), frozen(solution)
    np.testing.assert_allclose(action.running, running, rtol=1e-10)
    np.testing.assert_allclose(action.interaction, interaction, rtol=1e-10)
    # int E_rho f - int I(rho) = gamma T for the entropy.
    np.testing.assert_allclose(population.cost - action.total, 0.4 * 2.0, rtol=1e-10)
    np.testing.assert_allclose(population.policy, population.cost, rtol=1e-10)
    np.testing.assert_allclose(dual(action, population, 0.0), action.total, rtol=1e-10)


@pytest.mark.parametrize(("k", "total"), [(0.1, 0.19373), (1.0, 1.08494), (10.0, 2.05885)])
def test_flow_with_a_soft_target(k, total):
    """OT-Flow to N(0, 1): straight paths between Gaussians; costs as in the literature of MATH."""
    m0, s0 = 2.0, 0.5
    m1, s1 = k * m0 / (1 + k), (k * s0 + np.sqrt(k**2 * s0**2 + 4 * (1 + k))) / (2 * (1 + k))
    game = MFG(Integrator(), Kinetic(k), KL(Gaussian(jnp.zeros(1))))
    mean, scale = (lambda t: m0 + t * (m1 - m0)), (lambda t: s0 + t * (s1 - s0))
    density = lambda t: Gaussian(jnp.full(1, mean(t)), jnp.square(scale(t)))

    def value(t, x):
        """-k times the potential of the velocity (m1 - m0) + (s1 - s0) (x - mean) / scale."""
        y = x[0] - mean(t)
        shape = (m1 - m0) * y + 0.5 * (s1 - s0) / scale(t) * y**2
        return -k * (shape + 0.5 * (m1 - m0) ** 2 * t)

    solution = Solution(game, Potential(value), density, DONE)
    action, population = cost(solution), frozen(solution)
    np.testing.assert_allclose(action.total, total, atol=6e-6)
    np.testing.assert_allclose(population.defect, 0.0, atol=1e-10)
    # sup r = 0 and m is constant, so no particle gains anything.
    bound = exploitability_bound(solution, jnp.linspace(-5.0, 5.0, 41)[:, None])
    np.testing.assert_allclose(bound, 0.0, atol=1e-9)


def test_a_solution_without_density_is_refused():
    problem = Scalar()
    alone = Solution(problem.game(), problem.candidate(1.0).value, None, DONE)
    with pytest.raises(TypeError, match="`cost` got a solution without density"):
        cost(alone)
    with pytest.raises(TypeError, match="`frozen` got a solution without density"):
        frozen(alone)
