"""The game's equations at exact solutions: zero wherever they are asked for, and not beside."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfgen as mg
from mfgen.densities import AbstractEvaluable, WellProduct
from mfgen.derive import fokker_planck, hjb
from mfgen.losses import Windows
from mfgen.losses._coverage import check_coverage
from mfgen.oracles import entropic_flow
from mfgen.zoo import gradient_flow_game

KEY = jax.random.key(0)
END = mg.Linear(lambda x: x @ x + jnp.sum(x) / 2)
SKEW = np.array([[0.1, 1.0], [-1.0, 0.1]])
BATCH = jnp.zeros((64, 2))
STRONG = ("hjb", "terminal")
GRADIENT = ("hjb_gradient", "terminal_gradient")
EULER = mg.simulate.EulerMaruyama(8)


def start(dim=2):
    return mg.Gaussian(jnp.linspace(1.0, -1.0, dim), 0.3 * jnp.eye(dim))


def made(dynamics, dim=2, **parts):
    return mg.MFG(dynamics, mg.Kinetic(1.5), END, initial=start(dim), **parts)


GAMES = {
    "noise": lambda: made(mg.Integrator(0.6), discount=1.5),
    "still": lambda: made(mg.Integrator()),
    "matrices": lambda: made(
        mg.dynamics.ControlAffine(SKEW, np.eye(2)[:, :1] + 0.2, np.eye(2) / 2 + 0.1)
    ),
    "second order": lambda: made(mg.dynamics.Underdamped(0.4, 0.3)),
    "ten": lambda: made(mg.Integrator(0.6), 10),
}


class Bent(mg.models.AbstractPotential):
    """A value function, a multiple of it more, and functions of time and of place."""

    value: mg.models.AbstractPotential
    by: jax.Array

    def __call__(self, t, x):
        bend = self.by[1] * t * (1 - t) + self.by[2] * (1 - t) * jnp.sin(x[0])
        return (1 + self.by[0]) * self.value(t, x) + bend


BENDS = ((-2.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.3))


@eqx.filter_jit
def losses(objectives, game, model, batch):
    return jnp.stack([loss(game, model, batch, key=KEY) for loss in objectives])


def bent(objectives, game, batch, value=None):
    """The losses at the exact value, and beside it."""
    value = mg.solve(game, mg.solvers.Riccati()).value if value is None else value
    at = lambda by: np.asarray(losses(objectives, game, Bent(value, jnp.asarray(by)), batch))
    return at((0.0, 0.0, 0.0)), np.array([at(by) for by in BENDS])


@pytest.mark.parametrize("name", GAMES)
def test_strong_residuals_vanish_at_the_exact_value_and_not_beside_it(name, x64):
    game = GAMES[name]()
    method = mg.simulate.RungeKutta4(4) if name == "still" else EULER
    asked = [mg.Residual(mg.losses.OwnPaths(method), of) for of in (STRONG, GRADIENT)]
    right, wrong = bent(asked, game, jnp.zeros((8, game.initial.dim)))
    assert np.all(np.sqrt(right) < 2e-6), right
    assert np.all(wrong[[0, 2]] > 1e-3), wrong
    # A function of time alone is seen by the value form only.
    assert wrong[1, 0] > 1e-3
    assert wrong[1, 1] < 1e-11


def test_they_vanish_at_any_places(x64):
    game = GAMES["noise"]()
    asked = [
        mg.Residual(at)
        for at in (
            mg.losses.UniformBox(-2.0, 2.0),
            mg.losses.UniformTime(),
            mg.losses.OwnPaths(EULER, starts="batch", play=(0.0, 1.5)),
        )
    ]
    asked += [mg.Residual(mg.losses.OwnPaths(EULER), "hjb", mg.losses.Absolute(), points=3)]
    right, wrong = bent(asked, game, game.initial.sample(8, key=KEY).astype(float))
    assert np.all(right < 2e-6), right
    assert np.all(wrong > 1e-3), wrong


def test_each_number_of_the_game_is_seen(x64):
    """The value of a game in another: half the noise's square, the discount, the cost of speed."""
    game = GAMES["noise"]()
    value = mg.solve(game, mg.solvers.Riccati()).value
    x, t = jnp.array([2.0, 1.0]), 0.4  # where the costate is large
    assert abs(float(hjb(game, value, None, t, x))) < 1e-6
    for other in (
        made(mg.Integrator(0.6 * 2**0.5), discount=1.5),
        made(mg.Integrator(0.6 / 2**0.5), discount=1.5),
        made(mg.Integrator(0.6), discount=1.2),
        dataclasses.replace(game, lagrangian=mg.Kinetic(3.0)),
    ):
        assert abs(float(hjb(other, value, None, t, x))) > 0.05


def test_the_crowd_of_the_batch_pays_for_interactions():
    """Half of the batch is the crowd of the other: its mean is off by 1 / sqrt(n)."""
    game = made(mg.Integrator(0.6), interaction=mg.functionals.MeanAttraction(jnp.asarray(2.0)))
    value = mg.solve(
        made(mg.Integrator(0.6), interaction=mg.functionals.MeanAttraction(2.0)),
        mg.solvers.Riccati(),
    )
    batch = jnp.zeros((1000, 2))
    asked = [mg.Residual(mg.losses.OwnPaths(EULER), of, points=32) for of in (STRONG, GRADIENT)]
    asked += [mg.Residual(mg.losses.OwnPaths(mg.simulate.EulerMaruyama(64)), "martingale")]
    right = losses(asked, game, value.value, batch)
    for strength in (-2.0, 0.0, 1.0):
        wrong = eqx.tree_at(lambda g: g.interaction.weight, game, jnp.asarray(strength))
        assert jnp.all(losses(asked, wrong, value.value, batch) > 4 * right), right


def test_log_rho_is_followed_without_noise():
    """A discounted game with r KL as its interaction, whose value asks for log rho."""
    solution = entropic_flow(epsilon=0.25, horizon=1.0).solution
    asked = [mg.Residual(mg.losses.OwnPaths(mg.simulate.RungeKutta4(20)), of) for of in STRONG]
    right, wrong = bent(asked, solution.game, jnp.zeros((64, 1)), solution.value)
    assert np.all(right < 1e-4), right
    assert np.all(wrong[0] > 1e-2)


def test_the_martingale_from_any_time_sees_a_function_of_time_and_any_control_will_do():
    game = GAMES["noise"]()
    batch, found = jnp.zeros((1000, 2)), []
    for steps in (16, 128):
        own, other = (
            mg.losses.OwnPaths(mg.simulate.EulerMaruyama(steps), play=p)
            for p in ((1.0, 1.0), (0.0, 1.5))
        )
        asked = [
            mg.Residual(own, "martingale"),
            mg.Residual(own, "martingale_anytime"),
            mg.Residual(other, "martingale_anytime"),
            mg.Residual(other, "martingale", mg.losses.Variance()),
        ]
        found.append(bent(asked, game, batch))
    (coarse, _), (fine, wrong) = found
    assert np.all(coarse > 4 * fine), (coarse, fine)
    assert np.all(wrong[[0, 2]] > 4 * fine), (wrong, fine)
    # From time 0 on a function of time is not seen, c(0) = c(1) = 0.
    assert np.all(wrong[1, 1:3] > 0.02)
    assert wrong[1, 0] < 2 * fine[0]


def test_the_derivative_in_the_parameters_is_that_of_the_loss(x64):
    """Along uncontrolled paths, which do not move with the parameters."""
    game = made(mg.Integrator(0.6), interaction=2.0 * mg.functionals.MeanAttraction(), discount=0.5)
    model = mg.models.ot_flow_potential(game, width=4, key=KEY)
    model = jax.tree.map(lambda leaf: leaf.astype(float), model)
    of = (*STRONG, *GRADIENT, "martingale_anytime")
    loss = mg.Residual(mg.losses.OwnPaths(mg.simulate.EulerMaruyama(4), play=(0.0, 0.0)), of)
    moves = jax.tree.map(lambda leaf: jnp.cos(jnp.arange(leaf.size)).reshape(leaf.shape), model)

    @jax.jit
    def at(h):
        moved = jax.tree.map(lambda leaf, by: leaf + h * by, model, moves)
        return loss(game, moved, jnp.zeros((6, 2)), key=KEY)

    # The mean over chunks has its own rule for derivatives.
    slope = jax.jit(jax.grad(at))(0.0)
    np.testing.assert_allclose(slope, (at(1e-5) - at(-1e-5)) / 2e-5, rtol=1e-6)


class Boltzmann(AbstractEvaluable):
    """exp(-U(t, .)), whatever U is."""

    value: mg.models.Potential
    t: jax.Array
    dim: int = eqx.field(static=True, default=2)

    def log_density(self, x):
        return -self.value(self.t, x)

    def sample(self, n, *, key):
        raise NotImplementedError

    def moments(self):
        raise NotImplementedError

    def particles(self):
        raise NotImplementedError


def test_the_fokker_planck_equation_of_a_score_game_is_its_hjb_equation(x64):
    """For rho = exp(-U) and any U at all: why there is no term for it."""
    game = mg.score_based(mg.VP(), start())
    u = mg.models.Potential(lambda t, x: jnp.sin(x[0] + t) * x[1] + 0.3 * t * x @ x)
    for t, x in ((0.3, jnp.array([0.4, -1.0])), (0.7, jnp.array([-2.0, 0.3]))):
        other = fokker_planck(game, u, lambda t: Boltzmann(u, t), jnp.asarray(t), x)
        np.testing.assert_allclose(other, hjb(game, u, None, jnp.asarray(t), x), rtol=1e-10)
        assert abs(float(other)) > 0.1


NORMAL = mg.Gaussian(jnp.zeros(2), jnp.eye(2))
NOISY = mg.Integrator(0.5)
VALUE = mg.models.Potential(lambda t, x: x @ x)
REFUSED = {
    "no Hamiltonian": (
        mg.MFG(NOISY, mg.costs.NoCost(), END, initial=NORMAL),
        mg.Residual(),
        "`NoCost` .* has no optimal control",
    ),
    "log rho in noise": (
        mg.MFG(NOISY, mg.Kinetic(), mg.KL(NORMAL), initial=NORMAL),
        mg.Residual(),
        "`HJB` got the terminal cost `KL`, which asks for log rho",
    ),
    "gradient of log rho": (
        mg.MFG(mg.Integrator(), mg.Kinetic(), mg.KL(NORMAL), initial=NORMAL),
        mg.Residual(of=GRADIENT),
        'gradient is not known along paths.*density="kernel"',
    ),
    "a crowd in a box": (
        made(NOISY, interaction=mg.functionals.MeanAttraction()),
        mg.Residual(mg.losses.UniformBox(-1.0, 1.0)),
        "`HJB` got the interaction cost `MeanAttraction`.*OwnPaths",
    ),
    "noise along flows": (
        made(NOISY),
        mg.Residual(mg.losses.Paths()),
        "`PathHJB` got dynamics with noise.*Residual",
    ),
    "no start": (
        mg.MFG(NOISY, mg.Kinetic(), END),
        mg.Residual(),
        "`HJB` got a game without an initial density",
    ),
    "windows without discount": (
        made(mg.Integrator()),
        mg.Residual(Windows()),
        "`DissipationHJB` got a game without a discount",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_asked_is_refused_before_a_training(name):
    game, loss, said = REFUSED[name]
    with pytest.raises((TypeError, ValueError), match=said):
        loss.check(game)


def test_residuals_that_make_no_sense_cannot_be_built():
    for arguments, said in (
        ({"of": "fokker_planck"}, "Fokker-Planck equation is solved by particles"),
        ({"at": mg.losses.UniformTime(), "of": "martingale"}, r"at `UniformTime`.*at=OwnPaths\(\)"),
        ({"penalty": mg.losses.Variance()}, "compares all residuals"),
        ({"at": mg.losses.Paths(), "points": 3}, "expected None at `Paths`"),
    ):
        with pytest.raises(ValueError, match=said):
            mg.Residual(**arguments)
    for build, said in (
        (lambda: mg.losses.UniformBox(1.0, 0.0), "low < high"),
        (lambda: mg.losses.OwnPaths(play=(1.0, 0.0)), "least multiple of the control"),
    ):
        with pytest.raises(ValueError, match=said):
            build()
    field = mg.models.ControlField(lambda t, x: x)
    with pytest.raises(TypeError, match="`HJB` got a model `ControlField` without a value"):
        mg.Residual()(made(NOISY), field, BATCH, key=KEY)


def test_what_residuals_pay_for():
    game = made(NOISY)
    for loss in (
        mg.Residual(),
        mg.Residual(mg.losses.UniformBox(-1.0, 1.0)),
        mg.Residual(of="hjb") + mg.Residual(of="terminal"),
        mg.Residual(of="martingale", penalty=mg.losses.Variance()),
        mg.GameCost() + 0.1 * mg.Residual(of="hjb"),
    ):
        check_coverage(game, loss, 2)
        assert not loss.needs_data(game)
    for loss in (mg.Residual(of="hjb"), mg.Residual(of="terminal")):
        with pytest.raises(ValueError, match="expected an objective that pays for the game"):
            check_coverage(game, loss, 2)


def test_records_name_what_is_asked_and_terms_at_equal_places_share_them():
    loss = (
        mg.Residual(of="hjb")
        + 2 * mg.Residual(of="terminal")
        + mg.losses.HJB()
        + mg.losses.PathHJB()
    )
    assert loss.names == ("HJB", "Terminal", "HJB-2", "PathHJB")
    game, model = made(NOISY), mg.models.Potential(lambda t, x: x @ x + t)
    shared = mg.Residual(of="hjb") + 2.0 * mg.Residual(of="terminal")
    both, first, second = losses(
        [shared, mg.Residual(of="hjb"), mg.Residual(of="terminal")], game, model, BATCH
    )
    np.testing.assert_allclose(both, first + 2 * second, rtol=1e-6)


def test_a_discounted_flow_needs_no_data():
    game = gradient_flow_game(mg.KL(NORMAL), start())
    assert not mg.Residual(Windows()).needs_data(game)


@pytest.mark.slow
def test_it_finds_both_wells_of_an_energy_from_a_point():
    """A path-integral sampler: log Z and the masses of the wells, known by quadrature."""
    well = WellProduct(1, (0,))
    end = mg.Linear(lambda x: well.energy(x) - 0.5 * x @ x - 0.5 * jnp.log(2 * jnp.pi))
    game = mg.MFG(mg.Integrator(1.0), mg.Kinetic(), end, initial=mg.Gaussian([0.0], 1e-8))
    at = mg.losses.OwnPaths(mg.simulate.EulerMaruyama(32), play=(0.0, 1.0))
    loss = mg.Residual(at, "martingale_anytime", mg.losses.Huber(1.0))
    model = mg.models.ot_flow_potential(game, key=KEY, width=32)
    model, _ = mg.fit(game, model, loss, steps=2000, key=KEY, learning_rate=1e-2, average=0.99)
    x, steps = jnp.zeros((20_000, 1)), mg.simulate.EulerMaruyama(200)
    found = mg.trajectories(game, model, x, key=jax.random.key(1), method=steps)
    ends = found.points[-1]
    assert abs(float(jnp.mean(ends > 0)) - well.upper) < 0.02
    # Without control the steps have the exact law, so that weights of Girsanov have the mean Z.
    rows = found.times[:-1], found.points[:-1]
    played = jax.lax.map(
        lambda row: jax.vmap(lambda x: model.control(game, row[0], x))(row[1]), rows
    )
    work = found.paid[-1] + jnp.sum(played * found.noise, (0, 2)) + jax.vmap(end.function)(ends)
    log_z = float(jax.nn.logsumexp(-work)) - np.log(len(x))
    assert abs(log_z - well.log_normaliser) < 0.02


@pytest.mark.slow
def test_beside_the_own_cost_the_martingale_trains_faster_and_ties_the_value():
    """Control within 3 %, cost within 1 % of Riccati."""
    game = mg.MFG(mg.Integrator(0.6), mg.Kinetic(), mg.Linear(lambda x: 2 * x @ x), initial=start())
    value = mg.solve(game, mg.solvers.Riccati()).value
    loss = mg.GameCost(mg.simulate.StochasticHeun(8)) + 0.1 * mg.losses.Martingale(
        mg.simulate.EulerMaruyama(16)
    )
    model = mg.models.ot_flow_potential(game, key=KEY)
    model, _ = mg.fit(game, model, loss, steps=3000, key=KEY, learning_rate=2e-2, average=0.99)
    at = mg.trajectories(game, value, start().sample(4000, key=KEY), key=KEY)
    gap = lambda t, x: model.control(game, t, x) - value.control(game, t, x)
    square = lambda f: jnp.mean(
        jax.vmap(lambda t, x: jax.vmap(lambda x: f(t, x))(x))(at.times, at.points) ** 2
    )
    assert (square(gap) / square(lambda t, x: value.control(game, t, x))) ** 0.5 < 0.03
    paid = [
        float(mg.GameCost(mg.simulate.StochasticHeun(64))(game, u, jnp.zeros((20_000, 2)), key=KEY))
        for u in (model, value)
    ]
    assert paid[0] < 1.01 * paid[1]
    apart = jax.vmap(lambda x: model(0.0, x) - value(0.0, x))(at.points[0])
    assert jnp.sqrt(jnp.mean(apart**2)) < 0.05 * jnp.mean(
        jax.vmap(lambda x: value(0.0, x))(at.points[0])
    )
