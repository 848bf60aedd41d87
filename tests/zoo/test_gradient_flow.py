"""Gradient flows as discounted games: exact solutions, their rates, and the limit of no foresight.

float64 throughout: the value function of a divergence is a path computed to ten digits.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_bvp

from mfgen.densities import Gaussian
from mfgen.derive import fokker_planck, hjb, terminal
from mfgen.derive._action import cost, frozen
from mfgen.functionals import KL, Linear, Zero
from mfgen.models import Potential
from mfgen.oracles import decay_rate, discounted_flow, entropic_flow, quadratic_flow
from mfgen.solvers import Riccati
from mfgen.zoo import dissipation, gradient_flow_game

pytestmark = pytest.mark.usefixtures("x64")


def residuals(solution, value=None):
    game, u, rho = solution.game, value or solution.value, solution.density
    times = jnp.linspace(0.03, 0.97, 5) * game.dynamics.horizon
    points = jnp.asarray(np.random.default_rng(3).normal(size=(5, game.initial.dim)))

    def three(t, x):
        # In units of U, whatever epsilon is.
        equation = hjb(game, u, rho, t, x) / game.discount
        found = (equation, fokker_planck(game, u, rho, t, x), terminal(game, u, rho, x))
        return jnp.abs(jnp.stack(found))

    return jnp.max(jax.jit(jax.vmap(three))(times, points), axis=0)


@pytest.mark.parametrize("make", [quadratic_flow, entropic_flow])
def test_what_is_gone_down_is_followed_along_the_paths(make):
    """F of the exact model at all stages, against that of the exact normal laws."""
    solution = make(2, 0.25).solution
    model = Potential(solution.value)
    found = dissipation(solution.game, model, particles=4000, stages=10, key=jax.random.key(0))
    for t, energy, error in zip(found.times, found.energies, found.standard_errors, strict=True):
        mean, covariance = solution.density(t).moments()
        size = float(mean @ mean + jnp.trace(covariance)) / 2
        exact = (
            size
            if make is quadratic_flow
            else size - 1 - 0.5 * float(jnp.linalg.slogdet(covariance)[1])
        )
        assert abs(energy - exact) < 4 * error + 1e-6
    assert found.rise == 0.0


@pytest.mark.parametrize("epsilon", [1.0, 0.1, 0.01])
def test_the_equations_hold(epsilon):
    assert (residuals(quadratic_flow(2, epsilon, curvature=1.7).solution) < 1e-10).all()
    for deviation in (0.5, 1.0, 1.6):
        entropic = entropic_flow(2, epsilon, deviation=deviation).solution
        assert (residuals(entropic) < 1e-8).all()


def test_a_wrong_sign_is_seen():
    """Of the discount, of the value, of time."""
    solution = entropic_flow(1, 0.1).solution
    u, horizon = solution.value, solution.game.dynamics.horizon
    assert residuals(solution, lambda t, x: -u(t, x))[0] > 0.1
    assert residuals(solution, lambda t, x: u(horizon - t, x))[0] > 1e-3


@pytest.mark.parametrize("build", [quadratic_flow, entropic_flow])
def test_the_cost_is_the_sum_of_its_parts_and_of_the_policy(build):
    oracle = build(2, 0.1)
    np.testing.assert_allclose(cost(oracle.solution).total, oracle.cost, rtol=1e-8)
    population = frozen(oracle.solution)
    np.testing.assert_allclose(population.defect, 0.0, atol=1e-8)
    np.testing.assert_allclose(population.residual, 0.0, atol=1e-8)


@pytest.mark.parametrize(("epsilon", "rate"), [(1.0, 0.618), (0.1, 0.916), (0.01, 0.990)])
def test_printed_rates(epsilon, rate):
    assert decay_rate(epsilon) == pytest.approx(rate, abs=5e-4)
    solution = quadratic_flow(1, epsilon).solution
    x = jnp.array([0.7])
    assert -solution.velocity(0.3, x)[0] / x[0] == pytest.approx(rate, abs=5e-4)


def test_without_weights_it_is_the_game_with_explicit_weights():
    """U = e^{t / e} times the value function of the game whose costs have the weights e^{-t/e}."""
    plain, weighted = quadratic_flow(2, 0.2), discounted_flow(2, 0.2)
    u = weighted.solution.value
    assert (residuals(plain.solution, lambda t, x: jnp.exp(t / 0.2) * u(t, x))[:2] < 1e-10).all()
    assert plain.cost == pytest.approx(weighted.cost, rel=1e-12)
    costs = [cost(one.solution).total for one in (plain, weighted)]
    np.testing.assert_allclose(*costs, rtol=1e-10)


@pytest.mark.parametrize(("epsilon", "deviation"), [(1.0, 0.5), (0.1, 2.0)])
def test_the_deviation_by_a_boundary_value_problem(epsilon, deviation):
    """The same path from both of its ends: s(0) given, s = 1 long after."""
    solution = entropic_flow(1, epsilon, deviation=deviation).solution
    change = lambda _, y: np.stack([y[1], (y[1] + y[0] - 1 / y[0]) / epsilon])
    ends = lambda a, b: np.array([a[0] - deviation, b[0] - 1])
    times = np.linspace(0, 14, 400)
    guess = 1 + (deviation - 1) * np.exp(-times)
    found = solve_bvp(change, ends, times, np.stack([guess, 1 - guess]), tol=1e-8, max_nodes=50_000)
    assert found.success
    for t in (0.2, 0.6, 1.0):
        spread = float(jnp.sqrt(solution.density(t).moments()[1][0, 0]))
        assert spread == pytest.approx(found.sol(t)[0], abs=1e-7)


def test_the_law_is_that_of_ornstein_and_uhlenbeck_to_first_order():
    """Mean and deviation against m e^{-t} and s^2 = 1 + (s_0^2 - 1) e^{-2t}, which is KL's flow."""
    off = []
    for epsilon in (0.04, 0.02, 0.01):
        law = entropic_flow(1, epsilon).solution.density(0.8)
        mean, covariance = law.moments()
        exact = 1.2 * np.exp(-0.8), np.sqrt(1 - 0.75 * np.exp(-1.6))
        off.append([abs(mean[0] - exact[0]), abs(jnp.sqrt(covariance[0, 0]) - exact[1])])
    orders = np.log2(np.array(off[:-1]) / np.array(off[1:]))
    assert (np.abs(orders - 1) < 0.1).all()
    assert max(off[-1]) < 0.01


@pytest.mark.parametrize("terminal", [None, Zero()])
def test_the_solved_law_is_the_gradient_flow_to_first_order(terminal):
    """F = |x - b|^2 / 2: the flow translates and shrinks by e^{-t}, whatever is paid at the end."""
    start, goal, t = Gaussian([1.0, -0.5], 0.3), jnp.array([-1.0, 0.5]), 0.7
    energy = Linear(lambda x: 0.5 * (x - goal) @ (x - goal))
    exact = goal + np.exp(-t) * (np.array([1.0, -0.5]) - goal), 0.3 * np.exp(-2 * t)
    off = []
    for epsilon in (0.04, 0.02, 0.01):
        game = gradient_flow_game(energy, start, epsilon, 1.0, terminal)
        solution = Riccati(steps=400).solve(game)
        assert solution.result.converged
        mean, covariance = solution.density(t).moments()
        off.append([jnp.linalg.norm(mean - exact[0]), jnp.abs(covariance[0, 0] - exact[1])])
    orders = np.log2(np.array(off[:-1]) / np.array(off[1:]))
    assert (np.abs(orders - 1) < 0.1).all()


def test_doors():
    normal = Gaussian([0.0], 1.0)
    with pytest.raises(ValueError, match="`gradient_flow_game` got epsilon"):
        gradient_flow_game(KL(normal), normal, epsilon=0.0)
    for build in (quadratic_flow, entropic_flow):
        with pytest.raises(ValueError, match="dim = 0"):
            build(0)
        with pytest.raises(ValueError, match="epsilon"):
            build(1, -1.0)
