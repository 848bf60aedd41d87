"""Particles, flows and models on circles and between walls, against closed forms."""

import jax.numpy as jnp
import numpy as np
import pytest

import mfgen as mg

TURN = 2 * np.pi
CIRCLE, ROOM = mg.games.Torus(TURN), mg.games.Box(0.0, 1.0)
MANY = 8192
STILL = mg.models.Potential(lambda t, x: 0.0 * x[0])


def near(values, exact):
    assert abs(jnp.mean(values) - exact) < 4 * jnp.std(values) / len(values) ** 0.5


@pytest.mark.parametrize("method", [mg.simulate.EulerMaruyama(3), mg.simulate.StochasticHeun(3)])
def test_brownian_motion_on_a_circle_and_between_walls(method, key):
    """Modes fall like exp(-k^2 sigma^2 t / 2), whatever the step: folding is exact."""
    circle = mg.MFG(
        mg.Integrator(sigma=0.9),
        mg.Kinetic(),
        mg.functionals.Zero(),
        initial=mg.Empirical([[6.0]]),
        domain=CIRCLE,
    )
    found = mg.trajectories(circle, STILL, jnp.full((MANY, 1), 6.0), key=key, method=method)
    assert found.points.min() >= 0
    assert found.points.max() <= np.float32(TURN)
    for k in (1, 2):
        near(jnp.cos(k * (found.points[-1] - 6.0)), np.exp(-0.5 * (0.9 * k) ** 2))
    room = mg.MFG(
        mg.Integrator(sigma=0.5),
        mg.Kinetic(),
        mg.functionals.Zero(),
        initial=mg.Empirical([[0.2]]),
        domain=ROOM,
    )
    x = mg.sample(room, STILL, MANY, key=key, method=method)
    assert x.min() >= 0
    assert x.max() <= 1
    for k in (1, 2):
        wave = k * np.pi
        near(jnp.cos(wave * x), np.cos(wave * 0.2) * np.exp(-0.5 * (0.5 * wave) ** 2))


def test_a_drift_against_a_wall_has_its_law_at_rest(key):
    """dX = -dt + dW in [0, 1] comes to exp(-2 x): no flux, by the field continued oddly."""
    game = mg.MFG(
        mg.dynamics.ControlAffine(
            lambda t, x: -jnp.ones_like(x), jnp.eye(1), jnp.eye(1), horizon=2.0
        ),
        mg.Kinetic(),
        mg.functionals.Zero(),
        initial=mg.densities.Uniform(ROOM),
        domain=ROOM,
    )
    exact = 0.5 - np.exp(-2) / (1 - np.exp(-2))
    x = mg.sample(game, STILL, 2 * MANY, key=key, method=mg.simulate.StochasticHeun(64))
    near(x, exact)
    start = game.initial.sample(MANY, key=key)
    found = mg.trajectories(game, STILL, start, key=key, method=mg.simulate.StochasticHeun(64))
    near(found.points[-1], exact)


def test_models_repeat_themselves_and_do_not_push_into_walls(key):
    domain = CIRCLE * ROOM
    game = mg.MFG(
        mg.Integrator(),
        mg.Kinetic(),
        mg.functionals.Zero(),
        initial=mg.densities.Uniform(domain),
        domain=domain,
    )
    potential = mg.models.ot_flow_potential(game, key=key, width=8)
    field = mg.models.control_field(game, key=key, width=8, depth=1)
    here, turned = jnp.array([0.3, 0.7]), jnp.array([0.3 + TURN, 0.7])
    np.testing.assert_allclose(potential(0.2, here), potential(0.2, turned), rtol=1e-5)
    np.testing.assert_allclose(
        field.control(game, 0.2, here), field.control(game, 0.2, turned), rtol=1e-4
    )
    for wall in (0.0, 1.0):
        at = jnp.array([0.3, wall])
        assert abs(potential.costate(0.2, at)[1]) < 1e-5
        assert abs(field.control(game, 0.2, at)[1]) < 1e-5
        mirrored = potential(0.2, jnp.array([0.3, 2 * wall - 0.7]))
        np.testing.assert_allclose(potential(0.2, here), mirrored, rtol=1e-5)


@pytest.mark.parametrize("domain", [CIRCLE, mg.games.Box(0.0, TURN)], ids=["circle", "walls"])
def test_densities_along_flows_keep_their_mass(domain, key):
    game = mg.MFG(
        mg.Integrator(),
        mg.Kinetic(0.3),
        mg.functionals.Zero(),
        initial=mg.densities.Folded(mg.Gaussian(jnp.array([0.4]), 1.0), domain),
        domain=domain,
    )
    model = mg.models.ot_flow_potential(game, key=key, width=8)
    x = (jnp.arange(256) + 0.5)[:, None] * TURN / 256
    total = jnp.mean(jnp.exp(mg.log_prob(game, model, x))) * TURN
    np.testing.assert_allclose(total, 1.0, atol=1e-4)
    samples = mg.sample(game, model, 512, key=key)
    assert samples.min() >= 0
    assert samples.max() <= np.float32(TURN)


def test_points_beyond_walls_are_refused_and_angles_wrapped(key):
    room = mg.MFG(
        mg.Integrator(),
        mg.Kinetic(),
        mg.functionals.Zero(),
        initial=mg.densities.Uniform(ROOM),
        domain=ROOM,
    )
    with pytest.raises(ValueError, match="1 of 2 points beyond the walls"):
        mg.trajectories(room, STILL, jnp.array([[0.5], [1.5]]), key=key)
    circle = mg.MFG(
        mg.Integrator(),
        mg.Kinetic(),
        mg.functionals.Zero(),
        initial=mg.densities.Uniform(CIRCLE),
        domain=CIRCLE,
    )
    found = mg.trajectories(
        circle, STILL, jnp.array([[-1.0]]), key=key, method=mg.simulate.RungeKutta4(2)
    )
    np.testing.assert_allclose(found.points[-1], [[TURN - 1.0]], rtol=1e-6)
