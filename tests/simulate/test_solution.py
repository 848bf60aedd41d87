"""Models as solutions: values tied in time, densities, samples, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfgen as mg
from mfgen.densities import AbstractEvaluable
from mfgen.simulate._solution import Status, trained

SIGMA, RATE = 0.5, 0.7
NORMAL = mg.Gaussian(jnp.full(1, 0.4), jnp.full((1, 1), 0.25))


def value(t, x):
    """Of dX = v dt + sigma dW with |v|^2 / 2 and |x|^2 / 2 at the end: P = 1 / (2 - t)."""
    left = 2 - t
    return 0.5 * x @ x / left + 0.5 * SIGMA**2 * jnp.log(left)


GAME = mg.MFG(
    mg.Integrator(sigma=SIGMA), mg.Kinetic(), mg.Linear(lambda x: 0.5 * x @ x), initial=NORMAL
)
STILL = mg.MFG(mg.Integrator(), mg.Kinetic(), mg.Linear(lambda x: x @ x), initial=NORMAL)
DAMPED = mg.models.ControlField(lambda t, x: -RATE * x)


@pytest.fixture(scope="module")
def drifting():
    """The value less a function of time, as a training by costs leaves it."""
    free = mg.models.Potential(lambda t, x: value(t, x) - 3 * jnp.sin(2 * t))
    return mg.solution(GAME, free, key=jax.random.key(0), particles=512)


def test_a_value_is_tied(drifting):
    x = jnp.asarray([0.7])
    for t in (0.0, 0.43, 1.0):
        assert float(drifting.value(t, x)) == pytest.approx(float(value(t, x)), abs=2e-3)
    assert drifting.result.status is Status.TRAINED
    assert not drifting.result.converged


def test_it_is_asked_like_a_game_and_its_model(drifting):
    key = jax.random.key(1)
    drawn = mg.sample(drifting, 8, key=key)
    np.testing.assert_array_equal(drawn, drifting.sample(8, key=key))
    np.testing.assert_array_equal(drawn, mg.sample(GAME, drifting.model, 8, key=key))
    paths = mg.trajectories(drifting, drawn, key=key, method=mg.simulate.EulerMaruyama(3))
    assert paths.points.shape == (4, 8, 1)
    # X(1) of the optimal control: mean m / 2, P(0) = 1/2.
    end = drifting.density(1.0).moments()[0]
    assert abs(float(end[0]) - 0.2) < 4 * 0.45 / np.sqrt(512)


def test_a_density_with_noise(drifting):
    with pytest.raises(TypeError, match="known by particles alone"):
        mg.log_prob(drifting, jnp.zeros((3, 1)))
    with pytest.raises(TypeError, match="expected a score-based"):
        mg.log_prob(drifting, jnp.zeros((3, 1)), method="flow")
    smooth = mg.solution(
        GAME,
        mg.models.Potential(value),
        key=jax.random.key(2),
        particles=4000,
        density="kernel",
        tie=False,
    )
    # m / 2 and sigma^2 (1 - t/2)^2 int ds / (1 - s/2)^2 + (1 - t/2)^2 / 4 at t = 1
    exact = mg.Gaussian(jnp.full(1, 0.2), jnp.full((1, 1), SIGMA**2 / 2 + 0.0625))
    x = jnp.linspace(-0.6, 0.9, 7)[:, None]
    found = mg.log_prob(smooth, x)
    np.testing.assert_allclose(found, jax.vmap(exact.log_density)(x), atol=0.12)


def test_a_density_without_noise(x64):
    """x' = -k x from N(m, s^2): N(m e^{-kt}, s^2 e^{-2kt}), exactly, at places of one's own."""
    found = mg.solution(STILL, DAMPED, key=jax.random.key(0), particles=64, density="flow")
    for t in (0.0, 0.6, 1.0):
        shrunk = np.exp(-RATE * t)
        law, exact = found.density(t), mg.Gaussian(0.4 * jnp.full(1, shrunk), 0.25 * shrunk**2)
        assert isinstance(law, AbstractEvaluable)
        for x in (-0.4, 0.9):
            place = jnp.asarray([x])
            np.testing.assert_allclose(law.log_density(place), exact.log_density(place), rtol=1e-6)
    drawn = found.density(0.6).sample(400, key=jax.random.key(1))
    deviation = 0.5 * np.exp(-0.6 * RATE)
    assert abs(drawn.mean() - 0.4 * np.exp(-0.6 * RATE)) < 4 * deviation / 20
    x = jnp.asarray([[0.1], [0.5]])
    end = jax.vmap(found.density(1.0).log_density)(x)
    np.testing.assert_allclose(mg.log_prob(found, x), end, rtol=1e-6)


def test_a_cost_that_asks_for_a_density_gets_one():
    """ "auto": the flow without noise, a kernel estimate with it, particles where they will do."""
    crowd = 0.1 * mg.functionals.Entropy()
    for dynamics, kind in ((mg.Integrator(), "FlowLaw"), (mg.Integrator(sigma=0.5), "Smoothed")):
        game = mg.MFG(dynamics, mg.Kinetic(), mg.Linear(jnp.sum), crowd, NORMAL)
        found = mg.solution(game, DAMPED, key=jax.random.key(0), particles=16)
        assert type(found.density(0.5)).__name__ == kind
    plain = mg.solution(STILL, DAMPED, key=jax.random.key(0), particles=16)
    assert type(plain.density(0.5)).__name__ == "Empirical"


def test_times_of_a_noising():
    """In a score-based game stages crowd where the noise is small; samples are the end's law."""
    data = mg.Gaussian(jnp.full(1, 0.5), jnp.full((1, 1), 0.09))
    game = mg.score_based(mg.VP(), data)
    exact = mg.models.Potential(lambda t, x: -noised(game, data, t).log_density(x))
    found = mg.solution(game, exact, key=jax.random.key(0), particles=800)
    mean, covariance = found.density(game.dynamics.horizon).moments()
    assert abs(float(mean[0]) - 0.5) < 4 * 0.3 / np.sqrt(800)
    assert abs(float(covariance[0, 0]) / 0.09 - 1) < 4 * np.sqrt(2 / 800) + 0.02
    x = jnp.asarray([[0.2], [0.8]])
    flow = jax.vmap(noised(game, data, game.dynamics.horizon).log_density)(x)
    np.testing.assert_allclose(mg.log_prob(found, x), flow, atol=2e-3)


def noised(game, data, t):
    noising = game.dynamics.noising
    s = noising.horizon - t
    return data.noised(noising.signal(s), noising.noise(s))


def test_what_is_no_solution():
    key = jax.random.key(0)
    bare = mg.MFG(mg.Integrator(), mg.Kinetic(), mg.Linear(jnp.sum))
    with pytest.raises(ValueError, match="without an initial density"):
        mg.solution(bare, DAMPED, key=key)
    plane = mg.MFG(
        mg.Integrator(), mg.Kinetic(), mg.Linear(jnp.sum), initial=mg.Gaussian(jnp.zeros(2), 1.0)
    )
    with pytest.raises(ValueError, match="cannot be evaluated at points of 1 features"):
        mg.solution(STILL, mg.models.ot_flow_potential(plane, key=key), key=key)
    with pytest.raises(ValueError, match=r"control has the shape \(2,\), expected \(1,\)"):
        mg.solution(STILL, mg.models.ControlField(lambda t, x: jnp.concatenate([x, x])), key=key)
    with pytest.raises(TypeError, match='density="flow" for a game with noise'):
        mg.solution(GAME, DAMPED, key=key, density="flow")
    with pytest.raises(TypeError, match="tie=True for a control"):
        mg.solution(STILL, DAMPED, key=key, particles=8, tie=True)
    with pytest.raises(mg.simulate.Unfinished, match="not finite"):
        mg.solution(STILL, mg.models.ControlField(lambda t, x: 1e9 * x**3), key=key, particles=8)


def test_a_training_claims_nothing():
    said = trained("OTFlowPotential by GameCost", 200, 1.2345)
    assert said.status is Status.TRAINED
    assert "200 steps, the last loss 1.234" in said.message
