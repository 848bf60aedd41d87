"""Riccati against exact games, against an independent fixed point of the mean, and its refusals.

float64: the error is that of a Runge-Kutta method of fourth order, which its step must show.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from mfgen.costs import AbstractLagrangian, Kinetic, NoCost, Power, Relativistic, WithPotential
from mfgen.densities import Gaussian, GaussianMixture
from mfgen.densities._base import expectation
from mfgen.derive import fokker_planck, hjb, terminal
from mfgen.derive._action import cost
from mfgen.dynamics import AbstractDynamics, Integrator
from mfgen.functionals import (
    KL,
    AbstractFunctional,
    Linear,
    MeanAttraction,
    MeanTarget,
    Pairwise,
    Prescribed,
)
from mfgen.games import MFG
from mfgen.oracles import (
    QuadraticCost,
    cost_identity,
    discounted_flow,
    gaussian_bridge,
    linear_quadratic,
)
from mfgen.solvers import Riccati, solve
from mfgen.solvers._base import Status
from mfgen.solvers._riccati_residual import residual

pytestmark = pytest.mark.usefixtures("x64")


def difference(solution, exact, horizon):
    """The largest difference of values, means and covariances from the start to the end."""

    def one(t, x):
        pairs = zip(solution.density(t).moments(), exact.density(t).moments(), strict=True)
        moments = [jnp.max(jnp.abs(a - b)) for a, b in pairs]
        return jnp.stack([jnp.abs(solution.value(t, x) - exact.value(t, x)), *moments])

    times = jnp.linspace(0.0, 1.0, 7) * horizon
    dim = solution.game.initial.dim
    points = jnp.asarray(np.random.default_rng(dim).normal(size=(7, dim)))
    return float(jnp.max(jax.jit(jax.vmap(one))(times, points)))


ORACLES = {
    "control-1": lambda: linear_quadratic(1),
    "control-3": lambda: linear_quadratic(3),
    "bridge-2": lambda: gaussian_bridge(2),
    "descent-2": lambda: discounted_flow(2),
    "score-1": cost_identity,
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("control-1", marks=pytest.mark.slow),
        pytest.param("control-3", marks=pytest.mark.slow),
        "bridge-2",
        pytest.param("descent-2", marks=pytest.mark.slow),
        "score-1",
    ],
)
def test_exact_games(name):
    oracle = ORACLES[name]()
    exact = oracle.solution
    solution = solve(exact.game, Riccati(steps=128))
    assert difference(solution, exact, exact.game.dynamics.horizon) < 1e-6
    assert solution.result.converged
    assert solution.stats["error"] < 1e-6


@pytest.mark.slow
def test_the_error_is_of_fourth_order_and_known():
    exact = linear_quadratic(2).solution
    horizon = exact.game.dynamics.horizon
    coarse, fine = (Riccati(steps=steps).solve(exact.game) for steps in (8, 16))
    errors = [difference(solution, exact, horizon) for solution in (coarse, fine)]
    assert 10 < errors[0] / errors[1] < 26
    assert 0.2 < coarse.stats["error"] / errors[0] < 5
    assert Riccati(steps=8, tolerance=1e-9).solve(exact.game).result.status is Status.STALLED


A = np.array([[-0.2, 0.7], [-0.5, 0.1]])
B = np.array([[0.3], [1.1]])
R = np.array([[0.8]])
Q = np.array([[0.6, 0.2], [0.2, 0.9]])
WEIGHT, PULL, TARGET, SIGMA, HORIZON = 1.3, 0.9, np.array([0.5, -0.8]), 0.4, 1.2
MEAN, COVARIANCE = np.array([1.0, -0.4]), np.array([[0.3, 0.1], [0.1, 0.2]])
LINEAR = np.array([0.3, -0.2])


class Drifting(AbstractDynamics):
    """dX = (A X + (sin 2t, 0.3) + B v) dt + sigma dW."""

    horizon: float = HORIZON

    @property
    def deterministic(self):
        return False

    def free(self, t, x):
        return A @ x + jnp.stack([jnp.sin(2 * t), 0.3 + 0 * t])

    def gain(self, t):
        return jnp.asarray(B)

    def diffusion(self, t):
        return jnp.asarray(SIGMA)


class Faster(AbstractDynamics):
    """As `Drifting`, with twice the noise."""

    horizon: float = HORIZON

    @property
    def deterministic(self):
        return False

    def free(self, t, x):
        return Drifting().free(t, x)

    def gain(self, t):
        return jnp.asarray(B)

    def diffusion(self, t):
        return jnp.asarray(2 * SIGMA)


def mean_field_game(interaction=None, initial=None):
    """Time-dependent drift, linear costs, and two costs of the mean."""
    return MFG(
        Drifting(),
        WithPotential(QuadraticCost(jnp.asarray(R), jnp.asarray(Q)), lambda t, x: LINEAR @ x + t),
        MeanTarget(jnp.asarray(TARGET), PULL) + Linear(lambda x: 0.2 * x @ x),
        interaction=interaction or MeanAttraction(WEIGHT),
        initial=initial or Gaussian(MEAN, COVARIANCE),
    )


@pytest.fixture(scope="module")
def mean_field():
    with jax.enable_x64(True):
        return Riccati(steps=200).solve(mean_field_game())


def test_the_mean_is_a_fixed_point(mean_field):
    """s backwards for a given mean, the mean forwards for a given s, over and over."""
    tight = {"rtol": 1e-9, "atol": 1e-10, "dense_output": True}
    push = B @ np.linalg.inv(R) @ B.T
    running, last = Q + WEIGHT * np.eye(2), 0.4 * np.eye(2)
    outside = lambda t: np.array([np.sin(2 * t), 0.3])

    def riccati(t, y):
        p = y.reshape(2, 2)
        return (-(running + p @ A + A.T @ p - p @ push @ p)).ravel()

    parabola = solve_ivp(riccati, (HORIZON, 0.0), last.ravel(), **tight).sol
    mean = lambda t: MEAN
    for _ in range(24):
        now = mean

        def slope(t, s, now=now):
            p = parabola(t).reshape(2, 2)
            return -(LINEAR - WEIGHT * now(t) + A.T @ s + p @ outside(t) - p @ push @ s)

        end = PULL * (now(HORIZON) - TARGET)
        line = solve_ivp(slope, (HORIZON, 0.0), end, **tight).sol

        def motion(t, m, line=line):
            p = parabola(t).reshape(2, 2)
            return A @ m + outside(t) - push @ (p @ m + line(t))

        found = solve_ivp(motion, (0.0, HORIZON), MEAN, **tight).sol
        # Half a step: the whole one need not converge.
        mean = lambda t, found=found, now=now: 0.5 * (found(t) + now(t))
    for t in (0.0, 0.5, 1.2):
        assert np.allclose(mean_field.density(t).moments()[0], found(t), atol=1e-6)
        assert np.allclose(mean_field.value.slope(t), line(t), atol=1e-6)


def test_the_equations_hold(mean_field):
    """At points off the nodes, up to the error of the cubic pieces."""
    game, u, rho = mean_field.game, mean_field.value, mean_field.density

    def three(t, x):
        both = (hjb(game, u, rho, t, x), fokker_planck(game, u, rho, t, x))
        return jnp.abs(jnp.stack([*both, terminal(game, u, rho, x)]))

    times = jnp.array([0.101, 0.55, 1.17])
    points = jnp.asarray(np.random.default_rng(0).normal(size=(3, 2)))
    assert jnp.max(jax.jit(jax.vmap(three))(times, points)) < 1e-6


def test_no_other_control_costs_less(mean_field):
    """The game is potential: J has a minimum at the solution, along a push in any direction.

    The cost of v* + h w(t) is a parabola in h, computed from moments of its own: a constant push
    moves the mean only.
    """
    steps = 400
    h = HORIZON / steps

    def change_of_mean(w):
        """How the mean answers to the push w of the control, by the linear dynamics."""

        def step(moved, t):
            p = mean_field.value.hessian
            closed = lambda t: A - B @ np.linalg.inv(R) @ B.T @ p(t)
            rate = lambda t, y: closed(t) @ y + B @ w(t)
            a = rate(t, moved)
            b = rate(t + h / 2, moved + h / 2 * a)
            c = rate(t + h / 2, moved + h / 2 * b)
            d = rate(t + h, moved + h * c)
            return moved + h / 6 * (a + 2 * b + 2 * c + d), moved

        end, path = jax.lax.scan(step, jnp.zeros(2), jnp.arange(steps) * h)
        return jnp.concatenate([path, end[None]])

    times = jnp.arange(steps + 1) * h
    means = jax.vmap(lambda t: mean_field.density(t).mean)(times)
    costates = jax.vmap(lambda t, m: mean_field.value.costate(t, m))(times, means)
    controls = -costates @ B @ np.linalg.inv(R).T

    @jax.jit
    def slope(phase):
        """dJ/dh at h = 0, by the trapezoidal rule: terms of the mean alone."""
        w = lambda t: jnp.cos(3 * t + phase)[None]
        moved = change_of_mean(w)
        pushed = jax.vmap(w)(times) - jnp.einsum(
            "tij,tj->ti",
            jax.vmap(lambda t: np.linalg.inv(R) @ B.T @ mean_field.value.hessian(t))(times),
            moved,
        )
        # The interaction is half the variance, which a push leaves as it is.
        rate = jnp.sum((controls @ R) * pushed, 1) + jnp.sum((means @ Q + LINEAR[None]) * moved, 1)
        last = (PULL * (means[-1] - TARGET) + 0.4 * means[-1]) @ moved[-1]
        return h * (jnp.sum(rate) - 0.5 * (rate[0] + rate[-1])) + last, last

    for phase in (0.0, 1.3):
        total, part = slope(phase)
        assert jnp.abs(part) > 0.01
        assert jnp.abs(total) < 1e-5


def test_the_cost_of_the_mean_field_game(mean_field):
    """J = E U(0) - int (E dI/drho - I) dt - (E dM/drho - M): the first is zero for the variance."""
    action = cost(mean_field, times=16)
    m, _ = mean_field.density(HORIZON).moments()
    m0, c0 = MEAN, COVARIANCE
    p, s, constant = (
        part(0.0)
        for part in (mean_field.value.hessian, mean_field.value.slope, mean_field.value.constant)
    )
    start = 0.5 * (m0 @ p @ m0 + jnp.trace(p @ c0)) + s @ m0 + constant
    target = mean_field.game.terminal.terms[0]
    excess = PULL * (m - TARGET) @ m - target.value(mean_field.density(HORIZON))
    assert jnp.allclose(action.total, start - excess, atol=1e-6)


def test_pairs_that_attract_are_the_attraction_of_the_mean(mean_field):
    """E |x - Y|^2 / 2 = |x - m|^2 / 2 + a constant: another declaration, the same equilibrium."""
    pairs = Pairwise(lambda z: 0.5 * WEIGHT * z @ z)
    found = Riccati(steps=200).solve(mean_field_game(interaction=pairs))
    assert jnp.allclose(found.value.slope(0.3), mean_field.value.slope(0.3), atol=1e-9)
    assert jnp.allclose(found.density(1.0).mean, mean_field.density(1.0).mean, atol=1e-9)


def test_another_initial_law_is_reduced_to_its_moments(mean_field):
    shift = np.array([0.3, -0.1])
    inside = COVARIANCE - np.outer(shift, shift)
    mixture = GaussianMixture([0.5, 0.5], [MEAN - shift, MEAN + shift], [inside, inside])
    found = Riccati(steps=200).solve(mean_field_game(initial=mixture))
    assert found.result.converged
    assert "`GaussianMixture` is reduced to its mean and covariance" in found.result.message
    assert "reduced" not in mean_field.result.message
    x = jnp.array([0.2, 0.7])
    assert jnp.allclose(found.value(0.1, x), mean_field.value(0.1, x), rtol=1e-10)
    assert jnp.allclose(found.density(0.7).moments()[1], mean_field.density(0.7).moments()[1])


def test_a_game_without_a_bounded_value_is_told():
    """dX = v dt, M = -3 |x|^2 / 2: P = -3 / (1 - 3 (T - t)) leaves at T - t = 1/3."""
    game = MFG(Integrator(), Kinetic(), Linear(lambda x: -1.5 * x @ x), initial=Gaussian([0.0]))
    result = Riccati().solve(game).result
    assert result.status is Status.DIVERGED
    assert "not convex enough" in result.message


NORMAL = {"initial": Gaussian([0.3, -0.2], 0.5)}
HALF = Linear(lambda x: 0.5 * x @ x)


class Cubic(AbstractFunctional):
    """Its first variation sees the cube of the mean."""

    def value(self, rho):
        return jnp.sum(rho.moments()[0] ** 4) / 4

    def variation(self, rho, x):
        return rho.moments()[0] ** 3 @ x


class Bent(AbstractDynamics):
    horizon: float = 1.0
    deterministic: bool = True

    def free(self, t, x):
        return jnp.sin(x)

    def gain(self, t):
        return jnp.asarray(1.0)

    def diffusion(self, t):
        return jnp.asarray(0.0)


REFUSED = {
    "no initial density": (
        lambda: MFG(Integrator(), Kinetic(), HALF),
        "without an initial density",
    ),
    "drift": (lambda: MFG(Bent(), Kinetic(), HALF, **NORMAL), "`Bent`, whose free drift"),
    "speed": (lambda: MFG(Integrator(), Relativistic(100.0), HALF, **NORMAL), "`Relativistic`"),
    "place": (
        lambda: MFG(
            Integrator(), WithPotential(Kinetic(), lambda t, x: jnp.sum(x**4)), HALF, **NORMAL
        ),
        "the Lagrangian `WithPotential`",
    ),
    "no cost": (lambda: MFG(Integrator(), NoCost(), HALF, **NORMAL), "`NoCost`"),
    "terminal": (
        lambda: MFG(Integrator(), Kinetic(), Linear(lambda x: jnp.sum(x**4)), **NORMAL),
        "terminal cost `Linear`, whose first variation is not quadratic",
    ),
    "covariance": (
        lambda: MFG(Integrator(), Kinetic(), KL(Gaussian([0.0, 0.0])), **NORMAL),
        "terminal cost `KL`",
    ),
    "prescribed": (
        lambda: MFG(Integrator(), Kinetic(), Prescribed(Gaussian([0.0, 0.0])), **NORMAL),
        "`Prescribed`, which has no first variation",
    ),
    "pairs": (
        lambda: MFG(Integrator(), Kinetic(), HALF, Pairwise(lambda z: jnp.exp(-z @ z)), **NORMAL),
        "interaction cost `Pairwise`, whose first variation",
    ),
    "mean": (
        lambda: MFG(Integrator(), Kinetic(), HALF, Cubic(), **NORMAL),
        "interaction cost `Cubic`, whose first variation does not depend on the mean",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_games_are_refused(name):
    declare, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        Riccati().solve(declare())


@pytest.mark.parametrize("steps", [0, 7])
def test_an_odd_number_of_steps_is_refused(steps):
    with pytest.raises(ValueError, match=f"steps = {steps}"):
        Riccati(steps=steps)


class Bump(AbstractLagrangian):
    """|v|^2 / 2, and |v|^4 / 4 for a moment between those at which a few looks would fall."""

    middle: float = 0.37
    width: float = 0.05

    def __call__(self, t, x, v):
        return jnp.where(self._inside(t), Power(4.0)(t, x, v), Kinetic()(t, x, v))

    def argmax(self, t, x, q):
        return jnp.where(self._inside(t), Power(4.0).argmax(t, x, q), q)

    def _inside(self, t):
        return jnp.abs(t - self.middle) < self.width


class Correlated(AbstractFunctional):
    """Its first variation sees how two coordinates vary together, and neither by itself."""

    def value(self, rho):
        return 0.5 * jnp.square(rho.moments()[1][0, 1])

    def variation(self, rho, x):
        return rho.moments()[1][0, 1] * x[0] * x[1]


def vanishing(x):
    """Quadratic where |x| is below 12, and steeper beyond."""
    size = jnp.sqrt(jnp.sum(x**2) + 1e-12)
    return 0.5 * x @ x + jnp.maximum(size - 12, 0.0) ** 2


FOOLED = {
    "for a moment": (lambda: MFG(Integrator(), Bump(), HALF, **NORMAL), "`Bump`"),
    "together": (
        lambda: MFG(
            Integrator(),
            Kinetic(),
            HALF,
            Correlated(),
            initial=Gaussian([0.0, 0.0], [[0.5, 0.3], [0.3, 0.5]]),
        ),
        "`Correlated`, whose first variation depends on more of the population",
    ),
    "far away": (
        lambda: MFG(Integrator(), Kinetic(), Linear(vanishing), **NORMAL),
        "terminal cost `Linear`, whose first variation is not quadratic",
    ),
    "far away on the way": (
        lambda: MFG(
            Integrator(), WithPotential(Kinetic(), lambda t, x: vanishing(x)), HALF, **NORMAL
        ),
        "the Lagrangian `WithPotential`",
    ),
}


@pytest.mark.parametrize("name", FOOLED)
def test_games_that_a_few_looks_take_for_quadratic_are_refused(name):
    declare, message = FOOLED[name]
    with pytest.raises(ValueError, match=message):
        Riccati().solve(declare())


class Blink(AbstractFunctional):
    """Quadratic at every place but in a ball around the crowd, which no look from afar hits."""

    def value(self, rho):
        return expectation(rho, lambda x: self.variation(rho, x))

    def variation(self, rho, x):
        near = jnp.maximum(1.0 - jnp.sum(jnp.square(x - 3.0)), 0.0)
        return 0.5 * x @ x + 0.05 * near**4


def test_the_answer_is_put_into_the_equations(mean_field):
    """Whatever looks did not see, the residual at the crowd does; and it is told in words."""
    assert mean_field.stats["residual"] < 1e-12
    game = MFG(Integrator(), Kinetic(), Blink(), initial=Gaussian([6.0, 6.0], 4.0))
    result = Riccati(steps=16).solve(game).result
    assert result.status is Status.STALLED
    assert "terminal condition" in result.message


@pytest.mark.parametrize(
    ("changes", "equation"),
    [
        (
            {"interaction": MeanAttraction(WEIGHT) + Linear(lambda x: 0.01 * jnp.sin(x[0]))},
            "Hamilton-Jacobi-Bellman equation",
        ),
        ({"dynamics": Faster()}, "equation of the covariance"),
    ],
)
def test_each_equation_has_its_residual(mean_field, changes, equation):
    """The answer of one game in the equations of another."""
    other = dataclasses.replace(mean_field.game, **changes)
    left = residual(other, mean_field.value, mean_field.density)
    assert left.nodes > 1e-4
    assert left.equation == equation
