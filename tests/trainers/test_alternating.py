"""Flows and critics in turn: against exact answers, with critics anywhere in the terminal cost."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfgen as mg
from mfgen.functionals._lipschitz import duals
from mfgen.losses import AbstractObjective, PathCost, PathCostate, Paths, TransportCost
from mfgen.trainers import Alternating, Ascent, Gradient, NonFiniteError, Problem, run
from mfgen.zoo import w1w2_flow
from mfgen.zoo._proximal import ProximalGame

KEY = jax.random.key(0)
SLOPE = jnp.array([0.6, -0.8])
START = mg.Gaussian(jnp.zeros(2), jnp.ones(2))
DATA = mg.Empirical(START.sample(64, key=KEY) + 1.0)
FRESH = Paths(starts="initial")
EULER = mg.simulate.EulerMaruyama(4)


def critic(seed=0, **settings):
    return mg.models.lipschitz_critic(2, width=8, depth=1, key=jax.random.key(seed), **settings)


def made(terminal, sigma=0.5, **parts):
    lagrangian = mg.costs.Relativistic(4.0)
    return mg.MFG(mg.Integrator(sigma=sigma), lagrangian, terminal, initial=START, **parts)


def both():
    """Two critics and a linear cost in one terminal cost."""
    first = mg.functionals.Wasserstein1(critic(0), DATA)
    second = mg.functionals.LipschitzDivergence(critic(1), DATA, mg.functionals.Alpha(2.0))
    return made(20.0 * first + mg.Linear(lambda x: x @ x) + 3.0 * second)


def trainer(game, objective=None, method=EULER, **ascent):
    model = mg.models.ot_flow_potential(game, width=8, key=KEY)
    flow = Gradient(model, objective or mg.GameCost(method), batch_size=32)
    return Alternating(Ascent(batch_size=32, **ascent), flow, method)


def test_a_linear_end_has_the_exact_costate_and_cost():
    """M = E s.x: the value is s.x - (T - t) |s|^2 / 2, all move by -s, and M = -|s|^2."""
    with jax.enable_x64(True):
        end = mg.Linear(lambda x: SLOPE @ x)
        game = mg.MFG(mg.Integrator(), mg.Kinetic(), end, initial=START)
        exact = mg.models.Potential(lambda t, x: SLOPE @ x - 0.5 * (1 - t))
        points = START.sample(64, key=KEY).astype(float)
        along = Paths()
        assert PathCostate(along)(game, exact, points, key=KEY) < 1e-20
        found = PathCost(along)(game, exact, points, key=KEY)
        np.testing.assert_allclose(found, jnp.mean(points @ SLOPE) - 1, rtol=1e-6)
        # Half the slope is |s / 2|^2 off, and moves half as far.
        half = mg.models.Potential(lambda t, x: 0.5 * SLOPE @ x)
        np.testing.assert_allclose(PathCostate(along)(game, half, points, key=KEY), 0.25, rtol=1e-6)


def test_the_gradient_of_the_mismatch_leaves_paths_alone():
    game = mg.MFG(mg.Integrator(), mg.Kinetic(), mg.Linear(lambda x: x @ x), initial=START)
    points = START.sample(16, key=KEY)

    def mismatch(scale):
        model = mg.models.Potential(lambda t, x: scale * x @ x)
        return PathCostate(Paths())(game, model, points, key=KEY)

    # x(T) = e^(-2 scale) x: at scale 1 the mismatch is zero whatever the ends, and so its slope.
    assert mismatch(1.0) < 1e-9
    ends = jnp.exp(-2 * 0.5) * points  # grad U - grad M = -2 (1 - scale) x(T), by hand
    slope = jax.grad(mismatch)(0.5)
    np.testing.assert_allclose(slope, -8 * 0.5 * jnp.mean(jnp.sum(ends**2, 1)), rtol=1e-2)


def test_a_game_with_critics_held_still_has_the_same_cost():
    """In a sum, at weights: the value of each dual on the same points of its target."""
    game = both()
    alternating = trainer(game)
    problem = Problem(game)
    state = alternating.init(problem, key=KEY)
    held = alternating._held(problem, state.critics, KEY).game
    assert not duals(held.terminal)
    drawn = [DATA.sample(32, key=jax.random.fold_in(KEY, index)) for index in range(2)]
    seen = eqx.tree_at(
        lambda game: [dual.target for dual in duals(game.terminal)],
        game,
        [mg.Empirical(points) for points in drawn],
    )
    rho, x = mg.Empirical(START.sample(50, key=KEY)), jnp.array([0.3, 0.7])
    np.testing.assert_allclose(held.terminal.value(rho), seen.terminal.value(rho), rtol=1e-5)
    slopes = [jax.grad(lambda x, g=g: g.terminal.variation(rho, x))(x) for g in (held, seen)]
    np.testing.assert_allclose(*slopes, rtol=1e-5)


def test_all_critics_rise():
    """With noise, a relativistic cost, two critics and a linear cost."""
    game = both()
    problem = Problem(game)
    alternating = trainer(game, learning_rate=1e-2, steps=1)
    whole = run(alternating, problem, steps=40, key=KEY, every=10)
    assert set(whole.history.records[0].terms) == {"Critic", "GameCost"}
    trained = alternating.game(problem, whole.state)
    starts = START.sample(500, key=KEY)
    ends = mg.trajectories(game, whole.solution, starts, key=KEY, method=EULER).points[-1]
    for before, after in zip(duals(game.terminal), duals(trained.terminal), strict=True):
        assert after.value(mg.Empirical(ends)) > before.value(mg.Empirical(ends)) + 0.1


@pytest.fixture(scope="module")
def translated():
    """Data that are N((1, 0), I / 4), a little less than N(0, I) moved."""
    data = mg.Gaussian(jnp.array([1.0, 0.0]), jnp.full(2, 0.25)).sample(2000, key=KEY)
    return data, *w1w2_flow(
        data,
        key=KEY,
        steps=300,
        every=100,
        weight=20.0,
        width=16,
        critic={"width": 16, "depth": 2},
        batch_size=128,
    )


@pytest.mark.slow
def test_a_flow_reaches_its_data(translated):
    data, game, found = translated
    end = mg.Empirical(jnp.asarray(data))
    assert found.history.records[-1].terms["Critic"] < 0.02
    drawn = mg.sample(game, found.solution, 2000, key=KEY)
    # Moments of 2000 points, and a divergence of weight 20 that is not the only cost.
    np.testing.assert_allclose(jnp.mean(drawn, 0), end.moments()[0], atol=0.15)
    np.testing.assert_allclose(jnp.std(drawn, 0), 0.5, atol=0.15)


@pytest.mark.slow
def test_the_critic_keeps_its_bound(translated):
    _, game, _ = translated
    points = 3 * jax.random.normal(KEY, (200, 2))
    (dual,) = duals(game.terminal)
    slopes = jnp.linalg.norm(jax.vmap(jax.grad(dual.critic))(points), axis=1)
    assert jnp.max(slopes) < 1 + 1e-5


@pytest.mark.slow
def test_records_are_kept_and_told(translated):
    _, _, found = translated
    records = found.history.records
    assert [record.step for record in records] == [100, 200, 300]
    names = {"Critic", "PathCost", "TransportCost", "PathHJB", "PathCostate"}
    assert all(set(record.terms) == names for record in records)


@pytest.mark.slow
def test_noise_and_a_relativistic_cost_reach_their_data():
    """The law of the ends, which the diffusion alone would make N(0, 1.25 I)."""
    data = mg.Gaussian(jnp.array([1.0, 0.0]), jnp.full(2, 0.25)).sample(2000, key=KEY)
    found = critic(around=mg.Empirical(data))
    game = made(20.0 * mg.functionals.Wasserstein1(found, mg.Empirical(data)))
    model = mg.models.ot_flow_potential(game, width=16, key=KEY)
    method = mg.simulate.StochasticHeun(12)
    flow = Gradient(model, mg.GameCost(method), learning_rate=1e-2, batch_size=128, average=0.9)
    told = Alternating(Ascent(batch_size=128), flow, method)
    ends = run(told, Problem(game), steps=500, key=KEY)
    drawn = mg.trajectories(game, ends.solution, START.sample(2000, key=KEY), key=KEY).points[-1]
    np.testing.assert_allclose(jnp.mean(drawn, 0), jnp.mean(data, 0), atol=0.15)
    np.testing.assert_allclose(jnp.std(drawn, 0), 0.5, atol=0.15)


def test_a_break_down_names_its_term():
    """A critic without a bound whose divergence overflows at once."""
    scale = lambda size: jax.tree_util.Partial(lambda a, x: a * x @ x, jnp.asarray(size))
    game = ProximalGame(2)(mg.functionals.LipschitzDivergence(scale(1e38), DATA))
    told = trainer(game, PathCost(FRESH) + TransportCost(FRESH), mg.simulate.RungeKutta4(2))
    with pytest.raises(NonFiniteError, match=r"term 'Critic' at step 0.*bound the slope") as error:
        run(told, Problem(game), steps=4, key=KEY, every=2)
    assert error.value.term == "Critic"


def test_the_objective_has_to_be_the_games():
    game = ProximalGame(2)(mg.functionals.LipschitzDivergence(critic(), DATA))
    unpaid = trainer(game, 1.0 * PathCost(FRESH), mg.simulate.RungeKutta4(2))
    with pytest.raises(ValueError, match="`Kinetic` is left out"):
        run(unpaid, Problem(game), steps=1, key=KEY)


REFUSED = {
    "no critic": (lambda: made(mg.Linear(lambda x: x @ x)), "without a critic to train"),
    "nothing to train": (
        lambda: made(mg.functionals.Wasserstein1(lambda x: x[0], DATA)),
        "without a critic",
    ),
    "on the way": (
        lambda: made(
            mg.functionals.Wasserstein1(critic(), DATA),
            interaction=mg.functionals.Wasserstein1(critic(), DATA),
        ),
        "a critic for each time",
    ),
    "no start": (
        lambda: mg.MFG(
            mg.Integrator(0.5), mg.Kinetic(), mg.functionals.Wasserstein1(critic(), DATA)
        ),
        "without an initial density",
    ),
    "log rho": (
        lambda: made(
            mg.functionals.Wasserstein1(critic(), DATA), interaction=mg.functionals.Entropy()
        ),
        "asks for log rho",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_trained_is_refused_before(name):
    build, words = REFUSED[name]
    with pytest.raises((ValueError, TypeError), match=words):
        run(trainer(both()), Problem(build()), steps=1, key=KEY)


def test_a_method_that_does_not_integrate_the_game_is_refused():
    told = Alternating(Ascent(), trainer(both()).flow, mg.simulate.RungeKutta4(4))
    with pytest.raises(TypeError, match=r"`Alternating` got the method .* for a game with noise"):
        run(told, Problem(both()), steps=1, key=KEY)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"batch_size": 0}, {"learning_rate": -1.0}])
def test_settings_are_checked(wrong):
    with pytest.raises(ValueError, match=f"`Ascent` got {next(iter(wrong))}"):
        run(
            Alternating(Ascent(**wrong), trainer(both()).flow, EULER),
            Problem(both()),
            steps=1,
            key=KEY,
        )


def test_a_second_training_is_not_compiled_again():
    """Other data of the same size, another key: a study of many seeds compiles once."""
    traced = []

    class Traced(AbstractObjective):
        def needs_data(self, game):
            return False

        def __call__(self, game, model, batch, *, key):
            traced.append(key)
            return jnp.sum(jnp.square(model.costate(0.5, batch[0])))

    def once(seed):
        points = mg.Empirical(jax.random.normal(jax.random.key(seed), (64, 2)))
        game = ProximalGame(2)(mg.functionals.LipschitzDivergence(critic(seed), points))
        told = trainer(game, Traced(), mg.simulate.RungeKutta4(2), steps=1)
        run(told, Problem(game), steps=2, key=jax.random.key(seed))

    once(0)
    count = len(traced)
    once(1)
    assert len(traced) == count > 0
