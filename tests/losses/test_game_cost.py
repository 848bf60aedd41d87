"""The game's own cost: its value and its zero derivative at exact controls, and what it refuses."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfgen as mg
from mfgen.losses import Paths
from mfgen.losses import _crowd as crowd
from mfgen.oracles import quadratic_flow

KEY = jax.random.key(0)
START = mg.Gaussian(jnp.array([1.0, -1.0]), jnp.array([[0.4, 0.1], [0.1, 0.2]]))
END = mg.Linear(lambda x: 2 * x @ x)
NOISE = np.array([[0.5, 0.0], [0.2, 0.3]])
SKEW = np.array([[0.1, 1.0], [-1.0, 0.1]])


def linear_quadratic(dynamics, interaction=None, discount=0.0, start=START):
    interaction = interaction or mg.functionals.Zero()
    return mg.MFG(
        dynamics, mg.Kinetic(), END, interaction=interaction, initial=start, discount=discount
    )


GAMES = {
    "noise": lambda: linear_quadratic(mg.Integrator(0.6)),
    "still": lambda: linear_quadratic(mg.Integrator()),
    "matrices": lambda: linear_quadratic(
        mg.dynamics.ControlAffine(SKEW, np.eye(2)[:, :1] + 0.2, NOISE)
    ),
    "second order": lambda: linear_quadratic(mg.dynamics.Underdamped(0.4, 0.3)),
    "discount": lambda: linear_quadratic(mg.Integrator(0.6), discount=1.5),
    "crowd": lambda: linear_quadratic(mg.Integrator(0.6), 2.0 * mg.functionals.MeanAttraction()),
    "pairs": lambda: linear_quadratic(
        mg.Integrator(0.6), -0.5 * mg.functionals.Pairwise(lambda z: z @ z)
    ),
}


class Pushed(mg.models.AbstractModel):
    """A costate, more or less of it, and a multiple of another."""

    best: mg.models.AbstractModel
    push: jax.Array

    def costate(self, t, x):
        return (1 + self.push[0]) * self.best.costate(t, x) + self.push[1] * jnp.sin(x + t)

    def control(self, game, t, x):
        return mg.optimal_control(game, t, x, self.costate(t, x))


def estimates(game, value, loss, count=48, batch=256):
    """Values and derivatives in two directions of many batches, at the control of a value."""

    def one(key):
        cost = lambda push: loss(game, Pushed(value, push), jnp.zeros((batch, 2)), key=key)
        return jax.value_and_grad(cost)(jnp.zeros(2))

    values, slopes = eqx.filter_jit(lambda keys: jax.lax.map(one, keys))(
        jax.random.split(KEY, count)
    )
    return np.asarray(values, float), np.asarray(slopes, float)


def least(game, solution):
    """J of the solution, by an independent way: sums over its density path."""
    rule, weights = np.polynomial.legendre.leggauss(24)
    total = float(jnp.exp(-game.discount)) * float(game.terminal.value(solution.density(1.0)))
    for node, weight in zip(0.5 * (rule + 1), 0.5 * weights, strict=True):
        rho = solution.density(node)
        x = jnp.asarray(rho.sample(20_000, key=jax.random.key(5)))
        v = jax.vmap(lambda x, t=node: solution.value.control(game, t, x))(x)
        paid = jnp.mean(jax.vmap(lambda x, v, t=node: game.lagrangian(t, x, v))(x, v))
        crowd = game.interaction.value(rho)
        total += weight * float(jnp.exp(-game.discount * node) * (paid + crowd))
    return total


@pytest.mark.parametrize("kind", ["moving", "frozen"])
@pytest.mark.parametrize("name", GAMES)
def test_at_the_exact_control_the_derivative_is_zero_and_the_value_the_cost(name, kind):
    game = GAMES[name]()
    if kind == "frozen" and game.interaction.vanishes:
        pytest.skip("nothing to freeze")
    solution = mg.solve(game, mg.solvers.Riccati())
    values, slopes = estimates(game, solution.value, mg.GameCost(crowd=kind))
    errors = slopes.std(0) / np.sqrt(len(slopes))
    assert np.all(np.abs(slopes.mean(0)) < 4 * errors + 2e-3), (slopes.mean(0), errors)
    if kind == "moving":
        error = values.std() / np.sqrt(len(values))
        assert abs(values.mean() - least(game, solution)) < 4 * error + 5e-3 * abs(values.mean())


def test_a_discount_hides_late_controls_unless_costs_count_from_any_time():
    """r = 8 to T = 1: at the exact control the derivative is zero, beyond t = 1/2 it is seen."""
    exact = quadratic_flow(2, epsilon=0.125).solution

    class Late(mg.models.AbstractModel):
        push: jax.Array

        def costate(self, t, x):
            return (1 + self.push[0] + self.push[1] * (t > 0.5)) * exact.costate(t, x)

    def slopes(loss, at, count=24):
        cost = lambda push, key: loss(exact.game, Late(push), jnp.zeros((128, 2)), key=key)
        slope = lambda key: jax.grad(cost)(jnp.array(at), key)
        found = jax.jit(lambda keys: jax.lax.map(slope, keys))(jax.random.split(KEY, count))
        return np.asarray(found.mean(0)), np.asarray(found.std(0)) / count**0.5

    anytime = mg.GameCost(mg.simulate.RungeKutta4(32), nodes=32, anytime=True)
    mean, error = slopes(anytime, [0.0, 0.0])
    assert np.all(np.abs(mean) < 4 * error + 2e-3), (mean, error)
    whole, _ = slopes(mg.GameCost(mg.simulate.RungeKutta4(32), nodes=32), [0.0, 0.5])
    seen, error = slopes(anytime, [0.0, 0.5])
    assert seen[1] > 20 * abs(whole[1])
    assert seen[1] > 4 * error[1]


def test_a_wrong_control_is_seen():
    game = GAMES["noise"]()
    solution = mg.solve(game, mg.solvers.Riccati())
    wrong = mg.models.Potential(lambda t, x: 0.7 * solution.value(t, x))
    values, slopes = estimates(game, wrong, mg.GameCost(), count=16)
    right, _ = estimates(game, solution.value, mg.GameCost(), count=16)
    assert values.mean() > right.mean() + 3 * right.std() / 4
    assert np.abs(slopes.mean(0)).max() > 10 * slopes.std(0).max() / 4


def test_a_part_of_the_nodes_has_the_mean_of_all():
    """Along the same paths: the offset of the nodes alone tells the two from each other."""
    game = GAMES["crowd"]()
    model = mg.models.Potential(lambda t, x: 3.0 * t * x @ x)
    whole, _ = estimates(game, model, mg.GameCost(nodes=100), count=64)
    part, _ = estimates(game, model, mg.GameCost(nodes=2), count=64)
    apart = part - whole
    assert apart.std() > 1e-4
    assert abs(apart.mean()) < 3 * apart.std() / 8, (apart.mean(), apart.std())


CROWDS = {
    "pairs": (mg.functionals.Pairwise(lambda z: jnp.exp(-z @ z)), mg.MMD(mg.Empirical(np.eye(2)))),
    "transport": (
        mg.functionals.Zero(),
        mg.functionals.SinkhornDivergence(mg.Empirical(np.eye(2)), epsilon=0.3),
    ),
    "kernel": (mg.functionals.CrowdAversion(), END),
}


@pytest.mark.parametrize("name", CROWDS)
def test_a_moving_and_a_frozen_crowd_have_one_derivative_in_a_potential_game(name):
    interaction, terminal = CROWDS[name]
    game = mg.MFG(
        mg.Integrator(0.5), mg.Kinetic(), 5 * terminal, interaction=interaction, initial=START
    )
    model = mg.models.Potential(lambda t, x: 0.3 * x @ x)
    density = "kernel" if name == "kernel" else "followed"
    method = mg.simulate.StochasticHeun(6)
    found = []
    for kind in ("moving", "frozen"):
        loss = mg.GameCost(method=method, crowd=kind, density=density)
        _, slopes = estimates(game, model, loss, count=24, batch=128)
        found.append((slopes.mean(0), slopes.std(0) / np.sqrt(len(slopes))))
    (first, e), (second, d) = found
    assert np.all(np.abs(first - second) < 4 * np.hypot(e, d) + 2e-3)
    assert np.abs(first).max() > 5 * max(e.max(), d.max())


def test_halves_take_the_bias_of_a_finite_crowd_away():
    """E F over many small batches is F of the law for a quadratic functional."""
    law = mg.Gaussian(jnp.zeros(2), jnp.eye(2))
    pairs, exact = mg.functionals.Pairwise(lambda z: z @ z), 2.0  # E |X - Y|^2 / 2 = dim
    draws = law.sample(4000 * 8, key=KEY).reshape(4000, 8, 2)
    nothing = jnp.zeros(8)
    values = jax.vmap(lambda x: crowd.moving(pairs, crowd.empirical, x, nothing))(draws)
    plain = jax.vmap(lambda x: pairs.value(mg.Empirical(x)))(draws)
    error = float(values.std()) / np.sqrt(len(values))
    assert abs(float(values.mean()) - exact) < 4 * error
    assert float(plain.mean()) < exact - 10 * error


def test_with_data_at_the_start_it_is_maximum_likelihood():
    """J = 30 KL + E int L: the same derivative as 30 PathLikelihood + TransportCost."""
    data = mg.Gaussian(jnp.array([0.5, 0.0]), 0.3 * jnp.eye(2))
    goal = mg.Gaussian(jnp.zeros(2), jnp.eye(2))
    game = mg.MFG(mg.Integrator(), mg.Kinetic(), 30 * mg.KL(goal), initial=data, data_at="start")
    model = mg.models.ot_flow_potential(game, key=KEY, width=8)
    batch = data.sample(64, key=KEY)
    moving, fixed = eqx.partition(model, eqx.is_inexact_array)
    paths = Paths(mg.simulate.RungeKutta4(16))
    known = 30 * mg.losses.PathLikelihood(paths=paths) + mg.losses.TransportCost(paths=paths)
    own = mg.GameCost(starts="batch")
    slopes = [
        jax.grad(lambda m, loss=loss: loss(game, eqx.combine(m, fixed), batch, key=KEY))(moving)
        for loss in (known, own)
    ]
    for a, b in zip(*map(jax.tree.leaves, slopes), strict=True):
        np.testing.assert_allclose(b, a, rtol=2e-3, atol=2e-3 * float(jnp.abs(a).max()))


@pytest.mark.slow
def test_it_trains_a_game_with_noise_to_its_cost_and_control(key):
    """Within 1 % of the least cost, without any data, and close to the control."""
    game = GAMES["noise"]()
    solution = mg.solve(game, mg.solvers.Riccati())
    model = mg.models.ot_flow_potential(game, key=key, width=32)
    trained, _ = mg.fit(
        game,
        model,
        mg.GameCost(mg.simulate.StochasticHeun(16)),
        steps=1200,
        key=key,
        batch_size=128,
        learning_rate=3e-2,
    )
    x = START.sample(20_000, key=key)
    costs = []
    for one in (trained, solution.value):
        path = mg.trajectories(game, one, x, key=key, method=mg.simulate.StochasticHeun(40))
        costs.append(float(jnp.mean(path.paid[-1] + jax.vmap(END.function)(path.points[-1]))))
    assert abs(costs[0] / costs[1] - 1) < 0.01
    played = [
        jax.vmap(lambda t, y, one=one: jax.vmap(lambda x: one.control(game, t, x))(y))(
            path.times[:-1:4], path.points[:-1:4]
        )
        for one in (trained, solution.value)
    ]
    gap = jnp.sqrt(jnp.mean((played[0] - played[1]) ** 2) / jnp.mean(played[1] ** 2))
    assert float(gap) < 0.07


def made(**parts):
    parts = {"dynamics": mg.Integrator(0.5), "lagrangian": mg.Kinetic(), "initial": START} | parts
    return mg.MFG(**parts)


@pytest.mark.parametrize(
    ("game", "loss", "said"),
    [
        (made(terminal=END, initial=None), mg.GameCost(), "without an initial density"),
        (made(terminal=mg.KL(START)), mg.GameCost(), "`KL`, which asks for log rho, in a game"),
        (
            made(terminal=END, interaction=mg.functionals.Entropy()),
            mg.GameCost(),
            "interaction `Entropy`, which asks for log rho",
        ),
        (made(terminal=mg.Prescribed(START)), mg.GameCost(), "zero or infinite"),
        (made(terminal=END), mg.GameCost(mg.simulate.RungeKutta4(4)), "for a game with noise"),
        (
            made(terminal=mg.KL(START), dynamics=mg.Integrator()),
            mg.GameCost(crowd="frozen"),
            'with crowd = "frozen"',
        ),
        (made(terminal=END), mg.losses.DenoisingScoreMatching(), "got no data"),
    ],
)
def test_what_it_cannot_pay_for_is_refused_before_a_training(game, loss, said):
    model = mg.models.Potential(lambda t, x: 0.5 * x @ x)
    with pytest.raises((TypeError, ValueError), match=said):
        mg.fit(game, model, loss, steps=1, key=KEY)


def test_what_is_paid_twice_is_told():
    game, model = (
        made(terminal=END, dynamics=mg.Integrator()),
        mg.models.Potential(lambda t, x: x @ x),
    )
    with pytest.raises(ValueError, match="GameCost` and `TransportCost` pay for the same part"):
        mg.fit(game, model, mg.GameCost() + mg.losses.TransportCost(), np.eye(2), steps=1, key=KEY)


def test_options_are_checked():
    for name in ("crowd", "starts", "density"):
        with pytest.raises((TypeError, ValueError), match=name):
            mg.GameCost(**{name: "much"})


def test_particles_may_begin_at_samples_where_a_cost_asks_for_log_rho_up_to_a_constant():
    """KL + a linear cost and an entropy on the way, from a law and from samples of it."""
    law = mg.Gaussian(jnp.array([0.5, -0.3]), 0.4)
    points = law.sample(16, key=KEY)
    end = 3.0 * mg.KL(mg.Gaussian(jnp.zeros(2), 1.0)) + mg.Linear(lambda x: x[0] ** 2)
    loss = mg.GameCost(mg.simulate.RungeKutta4(4), starts="batch")
    games = [
        mg.MFG(mg.Integrator(), mg.Kinetic(), end, mg.functionals.Entropy(), initial)
        for initial in (law, mg.Empirical(points))
    ]
    model = mg.models.ot_flow_potential(games[0], key=KEY, width=4)
    value = lambda model, game: loss(game, model, points, key=KEY)
    (known, slope), (unknown, other) = (
        eqx.filter_jit(eqx.filter_value_and_grad(value))(model, game) for game in games
    )
    apart = 4.0 * jnp.mean(jax.vmap(law.log_density)(points))  # 3 at the end, 1 on the way
    assert jnp.allclose(known - unknown, apart, rtol=1e-4)
    for one, two in zip(jax.tree.leaves(slope), jax.tree.leaves(other), strict=True):
        assert jnp.allclose(one, two, rtol=1e-3, atol=1e-4)
    aversion = mg.MFG(
        mg.Integrator(), mg.Kinetic(), end, mg.functionals.CrowdAversion(), games[1].initial
    )
    with pytest.raises(TypeError, match="without a log-density"):
        loss.check(aversion)
