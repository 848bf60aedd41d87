"""Which way trains a game: the first that fits, and what the game lacks for the others."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from benchmarks.inventions.games import ROWS
from jaxtyping import config

import mfgen as mg
from mfgen.planning import Plan

KEY = jax.random.key(0)
POINTS = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
NORMAL = mg.Gaussian(jnp.zeros(2), 1.0)
ENERGY = mg.Unnormalised(lambda x: 0.5 * x @ x, 2)


@pytest.fixture
def without_checks_of_types():
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


def flow(terminal, lagrangian=None, **options):
    cost = mg.Kinetic() if lagrangian is None else lagrangian
    return mg.MFG(
        mg.Integrator(), cost, terminal, initial=mg.Empirical(POINTS), data_at="start", **options
    )


def forward(terminal, sigma=0.0, **options):
    return mg.MFG(mg.Integrator(sigma=sigma), mg.Kinetic(), terminal, initial=NORMAL, **options)


def hilly(data):
    """A score-based game that also pays for where it is."""
    game = mg.score_based(mg.VP(), data)
    hill = mg.costs.WithPotential(game.lagrangian, lambda t, x: jnp.exp(-x @ x))
    return dataclasses.replace(game, lagrangian=hill)


FIRST = {
    "score-based": (mg.score_based(mg.VP(), mg.Empirical(POINTS)), POINTS, "score matching"),
    "score-based, by any drift": (
        mg.score_based(
            mg.dynamics.Diffusion(lambda s, y: y - y**3, horizon=2.5), mg.Empirical(POINTS)
        ),
        None,
        "simulated score matching",
    ),
    "score-based, with labels": (
        mg.score_based(
            mg.VP(), mg.densities.LabelledPoints(POINTS, mg.densities.one_hot(np.arange(40) % 2, 2))
        ),
        None,
        "score matching",
    ),
    "score-based, of a density, at other costs": (
        hilly(mg.GaussianMixture(jnp.ones(1), jnp.ones((1, 2)), jnp.ones(1))),
        None,
        "own cost, from the score",
    ),
    "score-based, of a density, with a crowd": (
        dataclasses.replace(
            hilly(mg.GaussianMixture(jnp.ones(1), jnp.ones((1, 2)), jnp.ones(1))),
            interaction=mg.functionals.CrowdAversion(),
        ),
        None,
        "own cost, smoothed, from the score",
    ),
    "a flow from data": (flow(3.0 * mg.KL(NORMAL)), None, "likelihood"),
    "a plain flow": (flow(mg.KL(NORMAL), mg.costs.NoCost()), None, "likelihood"),
    "a flow with a hill": (
        flow(mg.KL(NORMAL), mg.costs.WithPotential(mg.Kinetic(), lambda t, x: x @ x)),
        None,
        "likelihood",
    ),
    "to an energy": (forward(2.0 * mg.KL(ENERGY)), None, "reverse KL"),
    "with noise": (forward(mg.MMD(mg.Empirical(POINTS)), 0.5), None, "own cost"),
    "with noise, uncoupled": (forward(mg.Linear(lambda x: x @ x), 0.5), None, "exploring paths"),
    "to a sum": (forward(mg.KL(ENERGY) + mg.Linear(lambda x: x @ x)), None, "own cost"),
    "with an interaction": (
        forward(
            mg.KL(ENERGY), interaction=mg.functionals.Pairwise(mg.functionals.GaussianKernel())
        ),
        None,
        "own cost",
    ),
    "crowd aversion with noise": (
        forward(mg.MMD(mg.Empirical(POINTS)), 0.5, interaction=mg.functionals.CrowdAversion()),
        None,
        "own cost, smoothed",
    ),
    "discounted, by particles": (
        mg.zoo.gradient_flow_game(mg.MMD(mg.Empirical(POINTS)), NORMAL, epsilon=0.1, horizon=2.0),
        None,
        "own cost, from any time",
    ),
    "prescribed": (forward(mg.Prescribed(mg.Empirical(POINTS)), 0.5), None, "rising weight"),
}


@pytest.mark.parametrize("case", FIRST)
def test_the_first_way_that_fits(case):
    game, data, name = FIRST[case]
    found = mg.plan(game, data)
    assert found.fitting[0] == name, str(found)
    assert found.way().name == name


def test_each_way_that_does_not_fit_says_what_the_game_lacks():
    lacks = {entry.way.name: entry.lack for entry in mg.plan(forward(mg.KL(ENERGY), 0.5)).entries}
    assert "not score-based" in lacks["score matching"]
    assert "the data are at the end" in lacks["likelihood"]
    assert "noise" in lacks["reverse KL"]
    assert "has no critic" in lacks["critic in turn"]
    assert "no end that is prescribed" in lacks["rising weight"]
    assert "log rho" in lacks["own cost"]
    assert lacks["own cost, smoothed"] is None


def test_the_plan_is_printed_with_the_first_way_marked():
    said = str(mg.plan(flow(mg.KL(NORMAL))))
    marked = [line for line in said.splitlines() if line.startswith("> ")]
    assert marked[0].startswith("> likelihood")
    assert "lacks: not score-based" in said


def test_value_functions_of_the_plan_hold_any_quadratic_form():
    start = mg.Gaussian(jnp.zeros(20), 1.0)
    end = mg.Linear(lambda x: x @ x)
    game = mg.MFG(mg.Integrator(sigma=0.5), mg.Kinetic(), end, initial=start)
    assert mg.plan(game).way().model(game, KEY).factor.shape[0] == 21


def test_where_no_way_fits_the_plan_says_what_would_help():
    """What makes a game score-based is gone, and samples have no log-density to be paid."""
    said = str(mg.plan(hilly(mg.Empirical(POINTS))))
    assert "> " not in said
    assert said.endswith("No way fits: give the game what it lacks for one of them.")
    assert "for samples their kernel estimate `Empirical(points).noised(1.0, bandwidth)`" in said
    with pytest.raises(ValueError, match=r"no way of training fits, .* nearest, it lacks: "):
        mg.train(hilly(mg.Empirical(POINTS)), key=KEY)


def test_data_are_those_of_the_game_unless_others_are_given():
    assert jnp.array_equal(mg.plan(flow(mg.KL(NORMAL))).data, POINTS)
    assert len(mg.plan(flow(mg.KL(NORMAL)), POINTS[:7]).data) == 7
    assert mg.plan(forward(mg.KL(ENERGY))).data is None
    assert "no samples" in next(
        entry.lack
        for entry in mg.plan(mg.score_based(mg.VP(), NORMAL)).entries
        if entry.way.name == "score matching"
    )


def test_what_is_no_game_or_no_way_is_refused(without_checks_of_types):
    with pytest.raises(TypeError, match="`plan` got game"):
        mg.plan(POINTS)
    with pytest.raises(ValueError, match="`plan` got data of 3 features"):
        mg.plan(flow(mg.KL(NORMAL)), np.eye(5)[:, :3])
    with pytest.raises(ValueError, match="`train` got way = 'luck', expected one of likelihood"):
        mg.train(flow(mg.KL(NORMAL)), key=KEY, way="luck")
    with pytest.raises(ValueError, match=r"which does not fit the game \(not score-based"):
        mg.train(flow(mg.KL(NORMAL)), key=KEY, way="score matching")


@pytest.mark.parametrize("name", ROWS)
def test_every_invented_game_has_a_way(name):
    found = mg.plan(ROWS[name].game())
    assert isinstance(found, Plan)
    assert found.fitting, str(found)


def test_a_game_that_no_recipe_has_is_trained_to_a_solution():
    """dX = v dt + dW/2 to a quadratic end: the optimal cost is Riccati's."""
    game = mg.MFG(
        mg.Integrator(sigma=0.5), mg.Kinetic(), mg.Linear(lambda x: x @ x), initial=NORMAL
    )
    way = "own cost"
    run = mg.train(game, key=KEY, way=way, steps=300, learning_rate=2e-2, batch_size=128)
    exact = mg.solve(game, mg.solvers.Riccati())
    x = NORMAL.sample(200, key=KEY)
    found = jax.vmap(lambda x: run.solution.control(0.2, x))(x)
    best = jax.vmap(lambda x: -exact.costate(0.2, x))(x)
    assert jnp.mean((found - best) ** 2) < 0.05 * jnp.mean(best**2)
    assert run.solution.sample(5, key=KEY).shape == (5, 2)
    assert "own cost" in run.solution.result.message
    assert run.history.records[-1].step == 300
