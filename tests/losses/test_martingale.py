"""The martingale form of the HJB equation: zero on every path of exact solutions, of order one."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfgen as mg

KEY = jax.random.key(0)
START = mg.Gaussian(jnp.array([1.0, -1.0]), jnp.array([[0.4, 0.1], [0.1, 0.2]]))
END = mg.Linear(lambda x: 2 * x @ x)
SKEW = np.array([[0.1, 1.0], [-1.0, 0.1]])


def made(dynamics, **parts):
    return mg.MFG(dynamics, mg.Kinetic(), END, initial=START, **parts)


GAMES = {
    "noise": lambda: made(mg.Integrator(0.6)),
    "matrices": lambda: made(
        mg.dynamics.ControlAffine(SKEW, np.eye(2)[:, :1] + 0.2, np.eye(2) / 2 + 0.1)
    ),
    "second order": lambda: made(mg.dynamics.Underdamped(0.4, 0.3)),
    "discount": lambda: made(mg.Integrator(0.6), discount=1.5),
    "crowd": lambda: made(mg.Integrator(0.6), interaction=2.0 * mg.functionals.MeanAttraction()),
}


def missed(game, value, steps, measure="mean_square"):
    loss = mg.losses.Martingale(mg.simulate.EulerMaruyama(steps), measure=measure)
    call = eqx.filter_jit(lambda key: loss(game, value, jnp.zeros((4000, 2)), key=key))
    return float(call(KEY))


@pytest.mark.parametrize("name", GAMES)
def test_it_vanishes_on_the_paths_of_a_solution_and_not_beside_it(name):
    game = GAMES[name]()
    value = mg.solve(game, mg.solvers.Riccati()).value
    coarse, fine = missed(game, value, 16), missed(game, value, 128)
    # What one step leaves is of order h: the mean square of the sum of n of them as well. A crowd
    # of 2,000 has a mean of its own besides.
    assert coarse > (1.2 if name == "crowd" else 4) * fine
    for wrong in (
        lambda t, x: 0.9 * value(t, x),
        lambda t, x: value(t, x) + 0.3 * (1 - t) * jnp.sin(x[0]),
        lambda t, x: value(t, x) - 0.3 * t * x[1],
    ):
        assert missed(game, mg.models.Potential(wrong), 128) > 2 * fine


def test_the_variance_leaves_a_number_free():
    game = GAMES["noise"]()
    value = mg.solve(game, mg.solvers.Riccati()).value
    shifted = mg.models.Potential(lambda t, x: value(t, x) + 3.0)
    # U(T) is given by the game: a number in U is one in R.
    first, second = (missed(game, u, 32, "variance") for u in (value, shifted))
    np.testing.assert_allclose(first, second, rtol=1e-3)
    assert missed(game, shifted, 32) > 8.9


def test_any_control_of_the_paths_will_do():
    """The model plays another control than that of its costate; R is zero all the same."""

    class Elsewhere(mg.models.AbstractPotential):
        value: mg.models.AbstractPotential

        def __call__(self, t, x):
            return self.value(t, x)

        def control(self, game, t, x):
            return jnp.stack([jnp.sin(3 * t), -0.5 * x[0]])

    game = GAMES["noise"]()
    value = mg.solve(game, mg.solvers.Riccati()).value
    found = [missed(game, Elsewhere(value), steps) for steps in (32, 256)]
    assert found[1] < 0.04
    assert found[1] < 0.3 * found[0]


@pytest.mark.parametrize(
    ("game", "model", "said"),
    [
        (
            made(mg.Integrator()),
            mg.models.Potential(lambda t, x: x @ x),
            "got a game without noise",
        ),
        (
            made(mg.Integrator(0.5)),
            mg.models.ControlField(lambda t, x: x),
            "without a value function",
        ),
        (
            mg.MFG(mg.Integrator(0.5), mg.Kinetic(), mg.KL(START), initial=START),
            mg.models.Potential(lambda t, x: x @ x),
            "`KL`, which asks for log rho",
        ),
    ],
)
def test_what_it_is_not_for_is_refused(game, model, said):
    with pytest.raises(TypeError, match=said):
        mg.fit(game, model, mg.losses.Martingale(), steps=1, key=KEY)


def test_it_trains_a_game_by_itself():
    game = GAMES["noise"]()
    value = mg.solve(game, mg.solvers.Riccati()).value
    model = mg.models.ot_flow_potential(game, key=KEY, width=16)
    loss = mg.losses.Martingale(mg.simulate.EulerMaruyama(16))
    trained, _ = mg.fit(game, model, loss, steps=600, key=KEY, batch_size=128, learning_rate=2e-2)
    x = START.sample(500, key=KEY)
    gap = jax.vmap(lambda x: trained(0.0, x) - value(0.0, x))(x)
    size = jax.vmap(lambda x: value(0.0, x))(x)
    assert float(jnp.sqrt(jnp.mean(gap**2) / jnp.mean(size**2))) < 0.1
