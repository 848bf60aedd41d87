"""Prescribed ends: the mismatch, the weight that rises, and bridges against their closed form."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfgen as mg
from mfgen.oracles import gaussian_bridge
from mfgen.trainers import Augmented, Gradient, NonFiniteError, Problem, run

KEY = jax.random.key(0)
ORACLE = gaussian_bridge(2)
START, GOAL = ORACLE.solution.game.initial, ORACLE.target
POINTS = mg.Empirical(GOAL.sample(500, key=KEY))
BRIDGE = eqx.tree_at(lambda game: game.terminal, ORACLE.solution.game, mg.Prescribed(GOAL))
EULER = mg.simulate.EulerMaruyama(4)


def made(terminal=None, sigma=0.5, start=START, lagrangian=None, **parts):
    terminal = mg.Prescribed(POINTS) if terminal is None else terminal
    lagrangian = lagrangian or mg.Kinetic()
    return mg.MFG(mg.Integrator(sigma=sigma), lagrangian, terminal, initial=start, **parts)


def trainer(game=BRIDGE, method=EULER, rate=2e-2, batch=64, **settings):
    model = mg.models.ot_flow_potential(game, width=8, key=KEY)
    flow = Gradient(model, mg.GameCost(method), learning_rate=rate, batch_size=batch, average=0.9)
    return Augmented(flow, **({"particles": 64, "method": method} | settings))


def test_a_functional_tells_its_finite_part_from_what_it_prescribes():
    bowl, end = mg.Linear(lambda x: x @ x), mg.Prescribed(GOAL)
    cost, goals = (2.0 * (bowl + end) + bowl).separated()
    assert goals == (GOAL,)
    x = jnp.array([1.0, 2.0])
    np.testing.assert_allclose(cost.variation(None, x), 15.0)
    assert end.separated()[0].vanishes
    assert bowl.separated() == (bowl, ())


@pytest.mark.parametrize(
    "divergence", [None, mg.functionals.SinkhornDivergence(GOAL, 1.0, tolerance=1e-2)]
)
def test_the_mismatch_is_zero_at_the_bridge_and_seen_away_from_it(divergence):
    """Without bias: of 64 points each, whose divergence alone is some twenty errors."""
    exact = Gradient(ORACLE.solution.value, mg.GameCost())
    problem, far = Problem(BRIDGE), mg.models.Potential(lambda t, x: 0.0 * x[0])
    options = {"divergence": divergence, "particles": 64}
    told = Augmented(exact, **options)
    found = told.ended(problem, told.init(problem, key=KEY))
    assert abs(found.mismatch) < 4 * found.error + 2e-3
    assert found.reached
    told = Augmented(Gradient(far, mg.GameCost()), **options)
    away = told.ended(problem, told.init(problem, key=KEY))
    assert away.mismatch > found.mismatch + 20 * found.error
    assert not away.reached
    assert "not below the tolerance" in str(away)


def test_the_weight_rises_while_the_end_is_missed_and_then_rests():
    problem, settings = Problem(BRIDGE), {"steps": 40, "key": KEY, "every": 20}
    strict = run(trainer(rate=1e-9, rise=10.0), problem, **settings)
    assert strict.history.records[-1].errors["mismatch"] > 0
    weights = [record.terms["weight"] for record in strict.history.records]
    # The whole of the factor in half of the run, its square in all of it.
    np.testing.assert_allclose(weights, [1e2, 1e3], rtol=1e-4)
    loose = run(trainer(rate=1e-9, tolerance=100.0), problem, **settings)
    assert float(loose.state.weight) == 10.0


def test_the_mismatch_falls():
    whole = run(trainer(), Problem(BRIDGE), steps=60, key=KEY, every=15)
    first, last = (whole.history.records[i].terms["mismatch"] for i in (0, -1))
    assert last < first


REFUSED = {
    "no end": (lambda: trainer(), made(mg.Linear(lambda x: x @ x)), "0 prescribed ends"),
    "two": (lambda: trainer(), made(mg.Prescribed(GOAL) + mg.Prescribed(GOAL)), "2 prescribed"),
    "no start": (lambda: trainer(), made(start=None), "without an initial density"),
    "an energy": (
        lambda: trainer(),
        made(mg.Prescribed(mg.Unnormalised(lambda x: x @ x, 2))),
        "cannot be sampled",
    ),
    "densities": (lambda: trainer(divergence=mg.KL(GOAL)), made(), "asks for densities"),
    "no law": (
        lambda: trainer(divergence=mg.functionals.Entropy()),
        made(),
        "compares with no law",
    ),
    "a critic": (
        lambda: trainer(divergence=mg.functionals.Wasserstein1(lambda x: x[0], GOAL)),
        made(),
        "whose critic would stay untrained",
    ),
    "log rho": (lambda: trainer(), made(interaction=mg.functionals.Entropy()), "asks for log rho"),
    "a method": (
        lambda: trainer(method=mg.simulate.RungeKutta4(4)),
        made(),
        "for a game with noise",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_trained_is_refused_before(name):
    build, game, words = REFUSED[name]
    with pytest.raises((ValueError, TypeError), match=words):
        run(build(), Problem(game), steps=1, key=KEY)


@pytest.mark.parametrize(
    "wrong", [{"tolerance": 0.0}, {"weight": -1.0}, {"rise": 0.5}, {"particles": 2}]
)
def test_settings_are_checked(wrong):
    with pytest.raises(ValueError, match=f"`Augmented` got {next(iter(wrong))}"):
        trainer(**wrong)
    with pytest.raises(ValueError, match="dimensions"):
        made(mg.Prescribed(mg.Gaussian(jnp.zeros(3), jnp.ones(3))))


def test_paths_that_blow_up_are_told():
    wild = mg.models.Potential(
        jax.tree_util.Partial(lambda a, t, x: -a * (x @ x) ** 3, jnp.asarray(1e5))
    )
    flow = Gradient(wild, mg.GameCost(EULER), batch_size=16)
    with pytest.raises(NonFiniteError, match="at step 0"):
        run(Augmented(flow, particles=16, method=EULER), Problem(BRIDGE), steps=4, key=KEY)


@pytest.mark.slow
def test_a_bridge_has_the_cost_and_the_control_of_its_closed_form():
    oracle = gaussian_bridge(1)
    game = eqx.tree_at(lambda g: g.terminal, oracle.solution.game, mg.Prescribed(oracle.target))
    model = mg.models.ot_flow_potential(game, width=32, key=KEY)
    told = Augmented(Gradient(model, mg.GameCost(), learning_rate=2e-2))
    found = run(told, Problem(game), steps=1500, key=KEY, every=500)
    end = told.ended(Problem(game), found.state)
    assert end.reached
    starts = game.initial.sample(8000, key=KEY)
    paths = mg.trajectories(game, found.solution, starts, key=KEY)
    np.testing.assert_allclose(jnp.mean(paths.paid[-1]), oracle.cost, rtol=0.03)
    path = mg.trajectories(game, oracle.solution.value, starts[:500], key=KEY)
    missed = size = 0.0
    for t, points in zip(path.times[:-1:10], path.points[:-1:10], strict=True):
        played, best = (
            jax.vmap(lambda x, t=t, u=u: u.control(game, t, x))(points)
            for u in (found.solution, oracle.solution.value)
        )
        missed, size = missed + jnp.sum((played - best) ** 2), size + jnp.sum(best**2)
    assert jnp.sqrt(missed / size) < 0.05


@pytest.mark.slow
def test_a_hill_is_gone_around():
    """The bridge that knows of the hill pays less on it than the one that does not."""
    start = mg.Gaussian(jnp.array([-1.5, 0.0]), jnp.full(2, 0.1))
    goal = mg.Empirical(mg.Gaussian(jnp.array([1.5, 0.0]), jnp.full(2, 0.1)).sample(1000, key=KEY))
    hill = mg.costs.WithPotential(mg.Kinetic(), lambda t, x: 20 * jnp.exp(-2 * x @ x))
    games = {
        lagrangian: made(mg.Prescribed(goal), 0.3, start, lagrangian)
        for lagrangian in (hill, mg.Kinetic())
    }
    paid = []
    for game in games.values():
        model = mg.models.ot_flow_potential(game, width=32, key=KEY)
        flow = Gradient(model, mg.GameCost(mg.simulate.StochasticHeun(16)), learning_rate=2e-2)
        told = Augmented(flow, method=mg.simulate.StochasticHeun(16))
        found = run(told, Problem(game), steps=1000, key=KEY, every=500)
        assert told.ended(Problem(game), found.state).mismatch < 0.01
        paths = mg.trajectories(games[hill], found.solution, start.sample(2000, key=KEY), key=KEY)
        paid.append(paths.paid[-1])
    errors = np.hypot(*(np.std(costs) / 2000**0.5 for costs in paid))
    assert np.mean(paid[1]) - np.mean(paid[0]) > 5 * errors
