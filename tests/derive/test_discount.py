"""A discounted game is the game with explicit weights e^{-rt}, seen through its current values.

The weighted game pays e^{-rt} L, e^{-rt} I and e^{-rT} M. If U solves its equations, W = e^{rt} U
solves those of the discounted game; costs, gains and bounds of a candidate are the same numbers.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp

from mfgen.costs import Kinetic, WithPotential
from mfgen.densities import Gaussian
from mfgen.derive import equations, hjb, optimal_control, terminal
from mfgen.derive._action import cost, dual, exploitability_bound, frozen
from mfgen.derive._costate import hjb_gradient
from mfgen.dynamics import VP, Integrator
from mfgen.functionals import KL, Linear
from mfgen.games import MFG
from mfgen.losses import Exact, PathHJB, TransportCost
from mfgen.losses._noised import noising_of
from mfgen.losses._paths import Here
from mfgen.math._autodiff import Jet
from mfgen.math._quadrature import gauss_exponential, gauss_legendre
from mfgen.metrics import _same_game, exploitability
from mfgen.models import Potential
from mfgen.oracles._descent import Discounted
from mfgen.solvers._base import Result, Solution, Status
from mfgen.zoo import score_based

pytestmark = pytest.mark.usefixtures("x64")
RATE, HORIZON, SIGMA = 3.0, 1.2, 0.5
START = Gaussian([0.7], 0.4)


def potential(t, x):
    return 0.8 * x @ x + jnp.sin(x[0])


def end(x):
    return jnp.cos(x[0]) + 0.3 * x @ x


def plain(sigma=SIGMA):
    return MFG(
        Integrator(sigma=sigma, horizon=HORIZON),
        WithPotential(Kinetic(1.3), potential),
        Linear(end),
        initial=START,
        discount=RATE,
    )


def weighted(sigma=SIGMA):
    return MFG(
        Integrator(sigma=sigma, horizon=HORIZON),
        Discounted(WithPotential(Kinetic(1.3), potential), RATE),
        Linear(lambda x: jnp.exp(-RATE * HORIZON) * end(x)),
        initial=START,
    )


def current(t, x):
    """Any function will do: both games leave the same of it."""
    return 0.6 * x @ x + 0.4 * jnp.sin(2 * x[0] + t)


def present(t, x):
    return jnp.exp(-RATE * t) * current(t, x)


def law(t):
    return Gaussian([0.7 - 0.3 * jnp.asarray(t, float)], 0.4 + 0.1 * t)


@pytest.mark.parametrize("sigma", [0.0, SIGMA])
def test_residuals_are_those_of_the_weighted_game(sigma):
    for t, x in ((0.1, jnp.array([0.4])), (0.9, jnp.array([-1.3]))):
        weight = np.exp(-RATE * t)
        here = hjb(plain(sigma), current, None, t, x)
        np.testing.assert_allclose(
            weight * here, hjb(weighted(sigma), present, None, t, x), rtol=1e-10
        )
        # The gradient form, and what objectives are made of, say the same.
        slope = jax.grad(lambda x, t=t: hjb(plain(sigma), current, None, t, x))(x)
        found = hjb_gradient(plain(sigma), jax.grad(current, 1), None, t, x)
        np.testing.assert_allclose(found, slope, rtol=1e-10)
        inside = Exact().residuals(plain(sigma), Potential(current), t, x, key=jax.random.key(0))
        np.testing.assert_allclose(inside.values, here[None], rtol=1e-10)
    final = jnp.exp(-RATE * HORIZON) * terminal(plain(), current, None, x)
    np.testing.assert_allclose(final, terminal(weighted(), present, None, x), rtol=1e-10)


def test_terms_along_paths_are_those_of_the_weighted_game():
    """What the control costs has the weight, the residual of current values has not."""
    t, x, none = jnp.asarray(0.7), jnp.array([0.4]), jnp.zeros(())
    terms = []
    for game, u in ((plain(0.0), current), (weighted(0.0), present)):
        value, (slope, p) = jax.value_and_grad(u, argnums=(0, 1))(t, x)
        v = optimal_control(game, t, x, p)
        here = Here(t, x, v, v, none, Jet(value, slope, p, none), None, True)
        terms.append((TransportCost().rate(game, here), PathHJB().rate(game, here)))
    (paid, residual), (weighed, less) = terms
    np.testing.assert_allclose(paid, weighed, rtol=1e-12)
    np.testing.assert_allclose(np.exp(-RATE * 0.7) * residual, less, rtol=1e-10)


@pytest.fixture(scope="module")
def candidates():
    done = Result(Status.CONVERGED, "a formula")
    pairs = ((plain(0.0), current), (weighted(0.0), present))
    return [Solution(game, Potential(u), law, done) for game, u in pairs]


def test_costs_are_those_of_the_weighted_game(candidates):
    mine, theirs = candidates
    np.testing.assert_allclose(cost(mine), cost(theirs, times=24), rtol=1e-7)
    population = frozen(mine)
    np.testing.assert_allclose(population, frozen(theirs, times=24), rtol=1e-7, atol=1e-9)
    points = jnp.linspace(-2.0, 2.0, 41)[:, None]
    bounds = [exploitability_bound(one, points, times=48) for one in candidates]
    np.testing.assert_allclose(*bounds, rtol=1e-3)  # a supremum has kinks in time
    same = dual(cost(mine), population, 0.0) - dual(cost(theirs, times=24), population, 0.0)
    np.testing.assert_allclose(same, 0.0, atol=1e-7)


def test_what_a_deviation_gains_is_that_of_the_weighted_game(candidates):
    settings = {"times": 12, "points": 48, "steps": 24, "key": jax.random.key(1)}
    (mine, _), (theirs, _) = (exploitability(one, **settings) for one in candidates)
    assert mine.value > 0.01
    # The nodes in time differ, and so do the draws.
    error = float(jnp.hypot(mine.standard_error, theirs.standard_error))
    assert abs(mine.value - theirs.value) < 4 * error


def test_a_function_of_time_changes_no_cost_of_the_policy(candidates):
    mine = candidates[0]
    shifted = eqx.tree_at(
        lambda s: s.value, mine, Potential(lambda t, x: current(t, x) + jnp.cos(3 * t))
    )
    first, second = frozen(mine, times=24), frozen(shifted, times=24)
    np.testing.assert_allclose(first.policy, second.policy, rtol=1e-9)
    np.testing.assert_allclose(first.defect, second.defect, rtol=1e-7)


@pytest.mark.parametrize("rate", [0.0, 0.5, 20.0, 1e4])
def test_rules_for_discounted_integrals(rate):
    """int_0^2 e^{-rate t} t^5 dt by n = 3 nodes, and cos t by 8, from the antiderivatives."""
    powers = gauss_exponential(3, 2.0, rate)
    fine = gauss_legendre(200, 0.0, min(2.0, 120 / max(rate, 1.0)))
    for rule, f in ((powers, lambda t: t**5), (gauss_exponential(8, 2.0, rate), np.cos)):
        exact = fine.weights @ (np.exp(-rate * fine.nodes) * f(fine.nodes))
        np.testing.assert_allclose(rule.weights @ f(rule.nodes), exact, rtol=1e-9)
        assert (rule.weights > 0).all()
        assert rule.nodes.min() >= 0
        assert rule.nodes.max() <= 2
    with pytest.raises(ValueError, match="rate"):
        gauss_exponential(3, 2.0, -1.0)


def test_equations_have_the_discount():
    game = MFG(
        Integrator(horizon=2.0), Kinetic(), Linear(lambda x: x @ x), initial=START, discount=4.0
    )
    derived = equations(game)
    x, t = derived.x[0], derived.t
    u = sp.Function("u")(t)
    left = derived.residual(u * x**2)
    assert sp.expand(left - (-sp.diff(u, t) * x**2 + 4 * u * x**2 + 2 * u**2 * x**2)) == 0
    lines = dict(derived.lines())
    assert lines["discount"] == "exp(-4 t)"
    assert lines["HJB equation"] == "-∂U/∂t + 4 U + |∇U|²/2 = 0"
    assert "U is the current value" in derived.reading
    without = equations(MFG(Integrator(), Kinetic(), Linear(lambda x: x @ x)), 1)
    assert "discount" not in dict(without.lines())
    assert "current" not in without.reading


@pytest.mark.parametrize("rate", [-1.0, np.inf, np.nan])
def test_a_discount_is_a_rate(rate):
    with pytest.raises(ValueError, match=r"`MFG` got discount = .*1 / epsilon"):
        MFG(Integrator(), Kinetic(), KL(START), discount=rate)


def test_a_score_based_game_has_none():
    game = score_based(VP(), START)
    discounted = MFG(game.dynamics, game.lagrangian, game.terminal, discount=1.0)
    with pytest.raises(ValueError, match="only without it"):
        noising_of(discounted, "HJB")


def test_games_with_other_discounts_are_other_games(candidates):
    mine, theirs = candidates
    with pytest.raises(ValueError, match="different discounts"):
        _same_game.check(mine, theirs, law)
