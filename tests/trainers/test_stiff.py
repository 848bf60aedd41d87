"""Paths that do not arrive: what was reached is kept, and a training says what to look at.

The field v = -k x with a large k is stiff: an explicit method needs steps of order 1 / k.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfgen as mg
from mfgen.simulate import inverse_error
from mfgen.zoo import _flows

KEY = jax.random.key(0)
REFERENCE = mg.Gaussian(jnp.zeros(2), jnp.ones(2))
# Towards the reference the particles start; likelihoods go from the data back.
GAME = mg.MFG(mg.Integrator(), mg.Kinetic(), 1.0 * mg.KL(REFERENCE), initial=REFERENCE)
SHORT = mg.simulate.Adaptive(1e-5, max_steps=50)
POINTS = jnp.array([[1.0, 0.5], [-0.3, 2.0], [0.0, 0.0]])


class Line(eqx.Module):
    """v = -rate x."""

    rate: jax.Array

    def __call__(self, t, x):
        return -self.rate * x


STIFF = mg.models.ControlField(Line(jnp.asarray(1e4)))


def test_samples_that_do_not_arrive_are_kept_with_their_times():
    with pytest.raises(
        mg.simulate.Unfinished, match=r"time 0\.\d+ on the way to 1 for 6 of 6"
    ) as caught:
        mg.sample(GAME, STIFF, 6, key=KEY, method=mg.simulate.ProbabilityFlow(SHORT))
    error = caught.value
    assert isinstance(error, RuntimeError)
    assert error.points.shape == (6, 2)
    assert error.times.shape == error.arrived.shape == (6,)
    assert error.values is None
    assert not error.arrived.any()
    # The smallest time is the one that is told.
    assert f"{error.times.min():.5g}" in str(error)
    assert np.all((error.times > 0) & (error.times < 0.1))
    # The exact path is x(0) exp(-k t): at those times all is over.
    assert np.all(np.abs(error.points) < 1e-3)


def test_the_places_of_an_unfinished_path_are_those_of_its_times():
    slow = mg.models.ControlField(lambda t, x: jnp.array([3.0, -1.0]) * (1 + 0 * t))
    with pytest.raises(mg.simulate.Unfinished) as caught:
        mg.sample(
            GAME,
            slow,
            4,
            key=KEY,
            method=mg.simulate.ProbabilityFlow(mg.simulate.Adaptive(1e-7, max_steps=1)),
        )
    whole = mg.sample(GAME, slow, 4, key=KEY, method=mg.simulate.ProbabilityFlow())
    left = 1 - caught.value.times[:, None]
    expected = np.asarray(whole) - left * np.array([[3.0, -1.0]])
    np.testing.assert_allclose(caught.value.points, expected, atol=1e-5)


def test_log_densities_of_points_that_arrive_are_kept():
    """Stiff on one half of the plane alone; the others rest."""
    mixed = mg.models.ControlField(lambda t, x: -1e4 * jnp.where(x[0] > 0, x, 0.0))
    method = mg.simulate.FlowLikelihood(SHORT)
    with pytest.raises(
        mg.simulate.Unfinished, match=r"`log_prob` stopped .* for 1 of 3 points"
    ) as caught:
        mg.log_prob(GAME, mixed, POINTS, method=method)
    error = caught.value
    assert error.arrived.tolist() == [False, True, True]
    assert np.isnan(error.values).tolist() == [True, False, False]
    exact = jax.vmap(REFERENCE.log_density)(POINTS[1:])
    np.testing.assert_allclose(error.values[1:], exact, rtol=1e-5)
    np.testing.assert_array_equal(error.points, POINTS)


def test_inverse_errors_keep_their_times():
    with pytest.raises(mg.simulate.Unfinished, match="`inverse_error` stopped") as caught:
        inverse_error(GAME, STIFF, POINTS[:2], integrator=SHORT)
    assert np.isnan(caught.value.values).all()


def test_a_training_that_does_not_arrive_names_the_limit_and_the_checkpoint(tmp_path):
    game = _flows.flow_game(REFERENCE, mg.costs.NoCost())
    model = mg.models.ControlField(Line(jnp.asarray(1.0)))
    paths = mg.losses.Paths(mg.simulate.Adaptive(1e-5, max_steps=50))
    objective = mg.losses.PathLikelihood(paths)
    data = np.asarray(REFERENCE.sample(64, key=KEY))
    # The first step of the optimiser makes the second field stiff.
    checkpoints = mg.trainers.Checkpoints(tmp_path / "kept", every=1)
    options = {"key": KEY, "batch_size": 2, "learning_rate": 2e4, "checkpoints": checkpoints}
    with pytest.raises(mg.trainers.NonFiniteError) as caught:
        mg.fit(game, model, objective, data, steps=4, **options)
    error = caught.value
    assert error.step >= 1
    assert error.term == "PathLikelihood"
    assert error.checkpoint == str(tmp_path / "kept" / str(error.step))
    message = str(error)
    assert f"in term 'PathLikelihood' at step {error.step}" in message
    assert f"the last good checkpoint is {error.checkpoint}" in message
    assert "may have hit the limit max_steps = 50 of `Adaptive`" in message


def test_without_adaptive_steps_no_limit_is_named():
    assert mg.losses.PathLikelihood().advice(GAME) == ""
    assert mg.losses.TransportCost().advice(GAME) == ""
    assert mg.losses.DenoisingScoreMatching().advice(GAME) == ""


def test_a_control_above_the_speed_of_light_is_told_what_to_do():
    game = _flows.flow_game(REFERENCE, mg.costs.Relativistic(2.0))
    data = np.asarray(REFERENCE.sample(64, key=KEY)) + 5.0
    fast = mg.models.ControlField(Line(jnp.asarray(0.9)))
    objective = mg.losses.PathLikelihood() + mg.losses.TransportCost()
    with pytest.raises(mg.trainers.NonFiniteError) as caught:
        mg.fit(game, fast, objective, data, steps=3, key=KEY, batch_size=8)
    assert caught.value.term == "TransportCost"
    message = str(caught.value)
    assert "at step 0" in message
    assert "above the speed c = 2.0 of `Relativistic`: take a potential" in message
    assert "max_steps" not in message


@pytest.mark.parametrize(("speed", "finite"), [(1.99, True), (2.01, False), (20.0, False)])
def test_the_relativistic_cost_is_not_finite_above_its_speed(speed, finite):
    cost = mg.costs.Relativistic(2.0)
    v = speed * jnp.array([0.6, 0.8])
    assert bool(jnp.isfinite(cost(0.0, v, v))) is finite
    hill = mg.costs.WithPotential(cost, lambda t, x: 0.0 * x[0])
    assert bool(jnp.isfinite(hill(0.0, v, v))) is finite
    assert hill.advice() == cost.advice()


def test_relativistic_particles_stay_below_their_speed_along_whole_paths():
    """However steep the potential: |x(t + h) - x(t)| < c h for every pair of times."""
    game, model = _flows.relativistic_flow(REFERENCE, key=KEY, width=8, speed=2.0)[:2]
    steep = mg.models.Potential(lambda t, x: 30.0 * model(t, x))
    x = REFERENCE.sample(32, key=KEY)
    times = jnp.linspace(0.0, 1.0, 201)

    def step(x, t):
        h = times[1] - times[0]
        speed = jax.vmap(lambda x: mg.velocity(game, steep, t, x))
        half = x + 0.5 * h * speed(x)
        moved = x + h * jax.vmap(lambda x: mg.velocity(game, steep, t + 0.5 * h, x))(half)
        return moved, (jnp.linalg.norm(speed(x), axis=1), jnp.linalg.norm(moved - x, axis=1) / h)

    _, (speeds, gone) = jax.jit(lambda x: jax.lax.scan(step, x, times[:-1]))(x)
    assert jnp.max(speeds) < 2.0
    assert jnp.max(gone) < 2.0 * (1 + 1e-4)
    assert jnp.max(speeds) > 1.5
