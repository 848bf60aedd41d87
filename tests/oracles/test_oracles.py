"""Every oracle solves its game: the residuals of its equations vanish, and it costs what it says.

float64 throughout, since the identities are exact. Costs are computed a second time from the parts
of the objective, E L(t, X, v*), I and M, by quadrature over the exact densities.
"""

import ast
import functools
import inspect
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfgen.oracles._named
from mfgen.costs import Anisotropic, Kinetic, Power, Relativistic, WithPotential
from mfgen.derive import fokker_planck, hjb, optimal_control, terminal
from mfgen.derive._action import cost
from mfgen.dynamics import VE, SubVP
from mfgen.math._quadrature import box_rule, gauss_legendre
from mfgen.oracles import (
    cost_identity,
    discounted_flow,
    gaussian_bridge,
    hopf_cole,
    hopf_lax_computed,
    kink,
    terminal_divergence,
    translation,
    wasserstein_proximal_kernel,
)
from mfgen.oracles._named import ORACLES, build
from mfgen.oracles._proximal import target

pytestmark = pytest.mark.usefixtures("x64")

SKEWED = ("oracle-hopf-lax-power", "oracle-hopf-cole", "oracle-wasserstein-proximal")


@functools.cache
def oracle_of(name, dim):
    return build(name, dim)


def residuals(solution, value=None, density=None, count=4):
    """The largest HJB, Fokker-Planck and terminal residual, and coordinate, of the population."""
    game, u, rho = solution.game, value or solution.value, density or solution.density
    times = jnp.linspace(0.05, 0.95, count) * game.dynamics.horizon
    keys = jax.random.split(jax.random.key(1), count)

    def four(t, key):
        points = solution.density(t).sample(16, key=key)
        x = points[0]
        # Where noise is strong, the equations are in units of its speed.
        speed = jnp.maximum(1.0, 0.5 * game.dynamics.diffusion(t) ** 2)
        both = (hjb(game, u, rho, t, x) / speed, fokker_planck(game, u, rho, t, x) / speed)
        ends = (terminal(game, u, rho, x), jnp.max(jnp.abs(points)))
        return jnp.abs(jnp.stack([*both, *ends]))

    return jnp.max(jax.jit(jax.vmap(four))(times, keys), axis=0)


def cases():
    """Dimensions 1, 2, 3; the middle one tells little more, and computed infima take long."""
    for name, dim in itertools.product(ORACLES, (1, 2, 3)):
        long = dim == 2 or (dim == 3 and name == "oracle-hopf-lax-power")
        yield pytest.param(name, dim, marks=[pytest.mark.slow] * long)


@pytest.mark.parametrize(("name", "dim"), list(cases()))
def test_the_equations_hold(name, dim):
    oracle = oracle_of(name, dim)
    *equations, furthest = residuals(oracle.solution)
    assert max(equations) < 1e-10
    assert furthest < oracle.box
    assert (oracle.name, oracle.summary) == (name, ORACLES[name].summary)


OTHERS = {
    "translation, still": lambda: translation(2, sigma=0.0),
    "translation, power": lambda: translation(2, Power(1.5), sigma=0.3, horizon=2.0),
    "translation, relativistic": lambda: translation(3, Relativistic(1.5)),
    "hopf-lax, relativistic": lambda: hopf_lax_computed(1, Relativistic(0.8)),
    "hopf-cole, VE": lambda: hopf_cole(2, VE()),
    "hopf-cole, SubVP": lambda: hopf_cole(1, SubVP()),
    "divergence": lambda: terminal_divergence(2, weight=0.5, divergence=2.0, horizon=1.7),
    "bridge": lambda: gaussian_bridge(2, sigma=1.6, horizon=0.7),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_the_equations_hold_for_other_settings(name):
    assert jnp.all(residuals(OTHERS[name]().solution)[:3] < 1e-10)


@pytest.mark.parametrize("name", ["oracle-translation", "oracle-gaussian-bridge"])
def test_a_wrong_sign_is_seen(name):
    """Of the time derivative, of the costate, and of the direction of time in the density."""
    solution = oracle_of(name, 1).solution
    horizon = solution.game.dynamics.horizon
    u, rho = solution.value, solution.density
    backwards = lambda t, x: 2 * u(horizon, x) - u(t, x)
    assert residuals(solution, value=backwards)[0] > 0.1
    assert jnp.all(residuals(solution, value=lambda t, x: -u(t, x))[:3] > 0.1)
    assert residuals(solution, density=lambda t: rho(horizon - t))[1] > 0.1


@pytest.mark.parametrize("name", sorted(set(ORACLES) - {*SKEWED, "oracle-kink"}))
def test_the_cost_is_the_sum_of_its_parts(name):
    """E L(t, X, v*), I and M, all parabolas in x: Gauss-Hermite quadrature is exact."""
    oracle = oracle_of(name, 3)
    assert jnp.allclose(cost(oracle.solution, times=24).total, oracle.cost, rtol=1e-9)


@pytest.mark.parametrize("name", SKEWED)
def test_the_cost_is_the_sum_of_its_parts_on_a_line(name):
    """As before, by panels that meet where U has a kink in its third derivative."""
    oracle = oracle_of(name, 1)
    solution, horizon = oracle.solution, oracle.solution.game.dynamics.horizon
    game, u, reach = solution.game, solution.value, 1.5 * oracle.box
    space = box_rule([(0.5 - reach, 0.5 + reach)], 60, n=6)
    weights, nodes = jnp.asarray(space.weights), jnp.asarray(space.nodes)
    time = gauss_legendre(32, 0.0, horizon)

    def mean(t, f):
        law = solution.density(t)
        return weights @ jax.vmap(lambda x: jnp.exp(law.log_density(x)) * f(x))(nodes)

    def running(t):
        costate = lambda x: jax.grad(u, argnums=1)(t, x)
        return mean(t, lambda x: game.lagrangian(t, x, optimal_control(game, t, x, costate(x))))

    def total(times):
        final = mean(horizon, lambda x: game.terminal.variation(None, x))
        return jnp.asarray(time.weights) @ jax.lax.map(running, times) + final

    assert jnp.allclose(jax.jit(total)(jnp.asarray(time.nodes)), oracle.cost, rtol=1e-7)


@pytest.mark.parametrize("name", SKEWED)
def test_the_cost_is_the_mean_value_at_the_start(name):
    """In three dimensions, by samples: the terminal cost is linear in the density."""
    oracle = oracle_of(name, 3)
    points = oracle.solution.density(0.0).sample(4000, key=jax.random.key(4))
    values = jax.jit(jax.vmap(lambda x: oracle.solution.value(0.0, x)))(points)
    error = jnp.std(values) / np.sqrt(len(points))
    assert jnp.abs(jnp.mean(values) - oracle.cost) < 3 * error


def test_the_cost_of_parting_by_samples():
    """The speed is 1 / k everywhere and |X_T| = |X_0| + T / k."""
    oracle = kink(3)
    solution, horizon = oracle.solution, oracle.solution.game.dynamics.horizon
    points = solution.density(horizon).sample(20_000, key=jax.random.key(3))
    ends = -jnp.linalg.norm(points, axis=1)
    running = solution.game.lagrangian(0.0, points[0], solution.velocity(0.5, points[0])) * horizon
    error = jnp.std(ends) / np.sqrt(len(points))
    assert jnp.abs(running + jnp.mean(ends) - oracle.cost) < 3 * error


def test_the_population_parts_without_loss():
    """In one dimension the mass of both halves is one, none is between them."""
    law = kink(1).solution.density(0.6)
    rule = gauss_legendre(80, 0.6 / 1.5, 4.2)
    points = jnp.asarray(rule.nodes)[:, None]
    half = rule.weights @ jnp.exp(jax.vmap(law.log_density)(points))
    assert jnp.abs(2 * half - 1) < 1e-8
    assert law.log_density(jnp.array([0.39])) == -jnp.inf


@pytest.mark.parametrize(
    ("weight", "mean", "deviation", "paid"),
    [
        (0.1, 0.1818, 0.9765, 0.19373),
        (1.0, 1.0, 0.8431, 1.08494),
        (10.0, 1.8182, 0.6048, 2.05885),
    ],
)
def test_printed_figures_of_the_normalizing_flow(weight, mean, deviation, paid):
    oracle = terminal_divergence(1, weight=weight)
    m, c = oracle.solution.density(1.0).moments()
    assert jnp.allclose(
        jnp.array([m[0], jnp.sqrt(c[0, 0])]), jnp.array([mean, deviation]), atol=5e-5
    )
    assert oracle.cost == pytest.approx(paid, abs=6e-6)


@pytest.mark.parametrize(("epsilon", "rate"), [(1.0, 0.618), (0.1, 0.916), (0.01, 0.990)])
def test_printed_rates_of_the_gradient_flow(epsilon, rate):
    solution = discounted_flow(1, epsilon=epsilon, horizon=0.8).solution
    x = jnp.array([0.7])
    assert -solution.velocity(0.0, x)[0] / x[0] == pytest.approx(rate, abs=5e-4)


def test_printed_cost_of_the_score_game():
    """1.590 with variance 0.3; with standard deviation 0.3 it would be another figure."""
    assert cost_identity().cost == pytest.approx(1.590, abs=5e-4)
    assert cost_identity(variance=0.09).cost == pytest.approx(1.597, abs=5e-4)


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.3])
def test_any_control_costs_its_distance_from_the_best_more(factor):
    """J(v) = E U(0, X) + E int |v - v*|^2 dt / 2 for v = factor v*, the law by its moments."""
    oracle = cost_identity()
    game, u = oracle.solution.game, oracle.solution.value
    horizon, steps = game.dynamics.horizon, 400
    best = lambda t, x: optimal_control(game, t, x, jax.grad(u, 1)(t, x))

    def rates(t, state):
        """Change of mean, variance, cost and distance: everything is affine in x."""
        mean, variance = state[0], state[1]
        x = mean[None]
        v, slope = factor * best(t, x)[0], factor * jax.jacfwd(best, 1)(t, x)[0, 0]
        gain = game.dynamics.gain(t)
        drift = game.dynamics.free(t, x)[0] + gain * v
        steep = jax.jacfwd(game.dynamics.free, 1)(t, x)[0, 0] + gain * slope
        square = v**2 + slope**2 * variance
        paid = 0.5 * square + game.lagrangian(t, x, jnp.zeros(1))
        away = 0.5 * square * (1 - 1 / factor) ** 2
        return jnp.stack([drift, 2 * steep * variance + gain**2, paid, away])

    def step(state, t):
        h = horizon / steps
        a = rates(t, state)
        b = rates(t + h / 2, state + h / 2 * a)
        c = rates(t + h / 2, state + h / 2 * b)
        d = rates(t + h, state + h * c)
        return state + h / 6 * (a + 2 * b + 2 * c + d), None

    start = jnp.array([0.0, 1.0, 0.0, 0.0])
    times = jnp.arange(steps) * horizon / steps
    end, _ = jax.jit(lambda start: jax.lax.scan(step, start, times))(start)
    mean, variance, paid, away = end
    final = lambda x: game.terminal.variation(None, x[None])
    last = final(mean) + 0.5 * variance * jax.hessian(final)(mean)
    assert jnp.allclose(paid + last, oracle.cost + away, rtol=1e-8)
    assert (away < 1e-12) == (factor == 1.0)


def test_the_kernel_of_the_proximal():
    """int K(x|y) rho_0(y) dy = rho(T, x) with K = pi(x) G(x - y) / (pi * G)(y)."""
    beta, horizon = 0.2, 1.3
    solution = wasserstein_proximal_kernel(1, beta=beta, horizon=horizon).solution
    rule = gauss_legendre(120, -8.0, 8.0)
    nodes = jnp.asarray(rule.nodes)[:, None]
    density = lambda law, points: jnp.exp(jax.vmap(law.log_density)(points))
    pi, variance = target(1), 2 * beta * horizon
    started = density(solution.density(0.0), nodes)
    noised = density(pi.noised(1.0, np.sqrt(variance)), nodes)
    x = jnp.array([[-0.8], [0.1], [1.2]])
    spread = jnp.exp(-((x - nodes.T) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
    kernel = density(pi, x)[:, None] * spread / noised[None, :]
    expected = density(solution.density(horizon), x)
    assert jnp.allclose(kernel @ (rule.weights * started), expected, rtol=1e-9)


@pytest.mark.parametrize("build", [gaussian_bridge, terminal_divergence])
def test_the_end_of_the_path_and_the_target(build):
    """A bridge arrives, a soft terminal cost does not."""
    oracle = build(2)
    mean, covariance = oracle.solution.density(1.0).moments()
    wanted, spread = oracle.target.moments()
    arrived = jnp.allclose(mean, wanted) and jnp.allclose(covariance, spread)
    assert arrived == (build is gaussian_bridge)


def test_the_action_of_the_bridge_is_the_entropy_of_its_ends():
    """KL of the joint law of (X_0, X_1) to that of (X_0, X_0 + sigma N), both normal."""
    sigma, oracle = 0.8, gaussian_bridge(1, sigma=0.8)
    (first, before), (last, after) = (oracle.solution.density(t).moments() for t in (0.0, 1.0))
    a, b = float(before[0, 0]), float(after[0, 0])
    shared = 0.5 * (np.sqrt(4 * a * b + sigma**4) - sigma**2)
    joint, free = np.array([[a, shared], [shared, b]]), np.array([[a, a], [a, a + sigma**2]])
    offset = np.array([0.0, float(last[0] - first[0])])
    inverse = np.linalg.inv(free)
    logs = np.log(np.linalg.det(free) / np.linalg.det(joint))
    entropy = 0.5 * (np.trace(inverse @ joint) - 2 + offset @ inverse @ offset + logs)
    assert oracle.cost == pytest.approx(entropy, rel=1e-10)


@pytest.mark.slow
def test_the_computed_infimum_is_the_closed_form_where_there_is_one():
    closed, computed = oracle_of("oracle-hopf-lax", 3), hopf_lax_computed(3, Kinetic(1.5))
    x = jnp.array([0.4, -0.9, 0.2])
    assert jnp.allclose(closed.solution.value(0.3, x), computed.solution.value(0.3, x), rtol=1e-10)
    logs = [one.solution.density(0.8).log_density(x) for one in (closed, computed)]
    assert jnp.allclose(*logs, rtol=1e-10)
    assert closed.cost == pytest.approx(computed.cost, rel=1e-9)


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: translation(1, WithPotential(Kinetic(), lambda t, x: x @ x)), "time or place"),
        (lambda: hopf_lax_computed(2, Anisotropic(lambda x: jnp.diag(jnp.array([1.0, 3])))), "dir"),
        (lambda: discounted_flow(1, epsilon=0.01, horizon=1.0), "underflows"),
        (lambda: gaussian_bridge(1, sigma=0.0), "sigma"),
        (lambda: build("oracle-unknown"), "expected one of"),
        *((lambda name=name: build(name, 0), "dim = 0") for name in ORACLES),
    ],
)
def test_what_has_no_exact_answer_is_refused(declare, message):
    with pytest.raises(ValueError, match=message):
        declare()


def test_the_list_of_names_needs_no_jax():
    tree = ast.parse(inspect.getsource(mfgen.oracles._named))
    named = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = {part.name for node in named for part in node.names if isinstance(node, ast.Import)}
    modules |= {node.module for node in named if isinstance(node, ast.ImportFrom)}
    assert modules <= {"importlib", "typing"}


def test_single_precision():
    """Without float64 an oracle is as good as its digits."""
    with jax.enable_x64(False):
        solution = wasserstein_proximal_kernel(2).solution
        x = jnp.array([0.3, -0.2])
        found = eqx.filter_jit(hjb)(solution.game, solution.value, None, 0.4, x)
        assert found.dtype == jnp.float32
        assert jnp.abs(found) < 1e-4
