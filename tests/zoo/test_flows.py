"""Laws of the flow recipes: densities sum to one, paths are inverted, divergences are right.

They hold for any parameters, so models are taken as they are initialised.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfgen as mg
from mfgen.losses import PathHJB, Paths, TransportCost
from mfgen.simulate import ExactDivergence, RungeKutta4, inverse_error
from mfgen.zoo import Recipe, _flows, train

DATA = mg.Gaussian(jnp.array([0.5, -0.3]), jnp.array([0.4, 0.9]))
KEY = jax.random.key(0)
RECIPES: dict[str, Callable[[], Recipe]] = {
    "cnf": lambda: _flows.cnf(DATA, key=KEY, width=8),
    "ot-flow": lambda: _flows.ot_flow(DATA, key=KEY, width=8),
    "potential-flow": lambda: _flows.potential_flow(DATA, key=KEY, width=8),
    "rnode": lambda: _flows.rnode(DATA, key=KEY, width=8),
    "wr-flow": lambda: _flows.wr_flow(DATA, key=KEY, width=8),
    "relativistic-flow": lambda: _flows.relativistic_flow(DATA, key=KEY, width=8),
    "anisotropic-flow": lambda: _flows.anisotropic_flow(DATA, key=KEY, width=8),
    "obstacle-flow": lambda: _flows.obstacle_flow(DATA, key=KEY, width=8),
    "flow-matching": lambda: _flows.flow_matching(DATA, key=KEY, width=8),
    "ot-flow-matching": lambda: _flows.ot_flow_matching(DATA, key=KEY, width=8),
    "stochastic-interpolant": lambda: _flows.stochastic_interpolant(DATA, key=KEY, width=8),
    "action-matching": lambda: _flows.action_matching(DATA, key=KEY, width=8),
    "boltzmann": lambda: _flows.boltzmann(mg.densities.double_well(), key=KEY, width=8),
}
FEW = ("cnf", "ot-flow", "relativistic-flow")  # one of each way to a divergence
LAWS = [
    pytest.param(name, marks=[] if name in FEW else [pytest.mark.slow], id=name) for name in RECIPES
]
METHOD = mg.simulate.FlowLikelihood(RungeKutta4(16))


def calm(name):
    """The game and the model of a recipe, at a third of its first weights: it moves less far."""
    game, model = RECIPES[name]()[:2]
    weights, rest = eqx.partition(model, eqx.is_inexact_array)
    return game, eqx.combine(jax.tree.map(lambda leaf: leaf / 3, weights), rest)


@pytest.mark.parametrize("name", LAWS)
def test_the_density_of_a_flow_sums_to_one(name):
    game, model = calm(name)
    axis = jnp.linspace(-9, 9, 91)
    grid = jnp.stack(jnp.meshgrid(axis, axis), -1).reshape(-1, 2)
    log_density = mg.log_prob(game, model, grid, method=METHOD, chunk=2048)
    total = float(jnp.sum(jnp.exp(log_density))) * float(axis[1] - axis[0]) ** 2
    assert abs(total - 1) < 5e-3, total


@pytest.mark.parametrize("name", LAWS)
def test_a_flow_is_inverted(name):
    game, model = calm(name)
    points = DATA.sample(64, key=jax.random.key(1))
    assert jnp.max(inverse_error(game, model, points)) < 1e-3


@pytest.mark.parametrize("name", LAWS)
def test_the_divergence_is_the_trace_of_the_jacobian(name):
    with jax.enable_x64(True):
        game, model = RECIPES[name]()[:2]
        x, t = jnp.array([0.3, -0.8]), jnp.asarray(0.4)
        method = ExactDivergence()
        slope = method(game, model, t, x, method.directions(x, key=None))
        jacobian = jax.jacfwd(lambda x: mg.velocity(game, model, t, x))(x)
        np.testing.assert_allclose(slope.divergence[0], jnp.trace(jacobian), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", LAWS)
def test_a_recipe_trains(name):
    recipe = RECIPES[name]()
    points = np.asarray(DATA.sample(256, key=jax.random.key(2)))
    trained, history = train(recipe, points, steps=3, key=KEY, batch_size=32)
    before, after = (
        jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(eqx.filter(m, eqx.is_array))])
        for m in (recipe.model, trained)
    )
    assert jnp.all(jnp.isfinite(after))
    assert not jnp.array_equal(before, after)
    assert all(np.isfinite(value) for value in history.records[-1].terms.values())


COSTS = {
    "kinetic": mg.Kinetic(0.7),
    "power": mg.costs.Power(1.5),
    "relativistic": mg.costs.Relativistic(2.0),
    "anisotropic": mg.costs.Anisotropic(_flows.Stretched(4.0)),
}


@pytest.mark.parametrize("name", COSTS)
def test_a_plane_wave_solves_the_equation_of_every_cost(name):
    """U = q.x - (T - t) H(q): everyone moves with the same velocity (MATH, oracle 1)."""
    with jax.enable_x64(True):
        cost, q = COSTS[name], jnp.array([0.8, -0.5])
        game = _flows.flow_game(DATA, cost)
        level = mg.hamiltonian(game, 0.0, q, q)
        wave = mg.models.Potential(lambda t, x: q @ x - (1 - t) * level)
        points = jnp.asarray(DATA.sample(16, key=KEY), float)
        fine = Paths(RungeKutta4(4, unroll=True))
        assert PathHJB(paths=fine)(game, wave, points, key=KEY) < 1e-12
        late = mg.models.Potential(lambda t, x: q @ x + (1 - t) * level)
        assert PathHJB(paths=fine)(game, late, points, key=KEY) > 0.1
        v = mg.optimal_control(game, 0.0, q, q)
        paid = TransportCost(fine)(game, wave, points, key=KEY)
        np.testing.assert_allclose(paid, cost(0.0, q, v), rtol=1e-12)


def test_a_relativistic_flow_stays_below_its_speed():
    with jax.enable_x64(True):
        game, model = RECIPES["relativistic-flow"]()[:2]
        steep = mg.models.Potential(lambda t, x: 1e3 * model(t, x))
        points = DATA.sample(64, key=KEY)
        for t in (0.0, 0.5, 1.0):
            moved = jax.vmap(lambda x: mg.velocity(game, steep, t, x))(points)  # noqa: B023
            speed = jnp.linalg.norm(moved, axis=1)
            assert jnp.max(speed) < 4.0
            assert jnp.max(speed) > 3.9


@pytest.mark.slow
def test_a_boltzmann_generator_finds_every_well():
    """The less deep well holds 16 %: without it log Z would be .17 too low, and no weight tell."""
    energy = mg.densities.double_well()
    recipe = _flows.boltzmann(energy, key=KEY, spread=1.5)
    start = recipe.game.initial.sample(1000, key=KEY)
    model, _ = train(recipe, start, steps=800, key=KEY)
    drawn = mg.sample(recipe.game, model, 4000, key=KEY)
    weights = mg.metrics.log_weights(energy, mg.log_prob(recipe.game, model, drawn), drawn)
    found = mg.metrics.log_normaliser(weights)
    assert abs(found.value) < 0.02 + 4 * found.standard_error
    assert jnp.mean(drawn[:, 0] < 0) > 0.05
    assert mg.metrics.effective_sample_size(weights) > 0.6
