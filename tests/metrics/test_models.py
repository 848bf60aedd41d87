"""Certificates of models as solutions: values free in time, controls without a value, labels.

dX = v dt + sigma dW with |v|^2 / 2 on the way and |x|^2 / 2 at the end: U = x^2 / (2 (2 - t)) +
(sigma^2 / 2) log(2 - t), v = -x / (2 - t). Feedback that is `gain` times as strong pays more.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfgen as mg
from mfgen.metrics._audit import UP_TO_TIME
from mfgen.solvers._base import Result, Status

SIGMA = 0.5
SMALL = {"times": 3, "points": 128, "steps": 6}
KEY = jax.random.key(0)
GAME = mg.MFG(
    mg.Integrator(sigma=SIGMA),
    mg.Kinetic(),
    mg.Linear(lambda x: 0.5 * x @ x),
    initial=mg.Gaussian(jnp.full(1, 0.4), jnp.full((1, 1), 0.25)),
)


class Value(eqx.Module):
    """U times the gain, and a function of time."""

    gain: jax.Array
    free: jax.Array

    def __call__(self, t, x):
        left = 2 - t
        exact = 0.5 * x @ x / left + 0.5 * SIGMA**2 * jnp.log(left)
        return self.gain * exact + self.free * jnp.sin(2 * t)


class Control(eqx.Module):
    gain: jax.Array

    def __call__(self, t, x):
        return -self.gain * x / (2 - t)


def valued(gain=1.0, free=0.0, **options):
    model = mg.models.Potential(Value(jnp.asarray(gain), jnp.asarray(free)))
    return mg.solution(GAME, model, key=KEY, particles=1024, **options)


def steered(gain=1.0):
    model = mg.models.ControlField(Control(jnp.asarray(gain)))
    return mg.solution(GAME, model, key=KEY, particles=1024)


def fraction(certificate, name):
    return float(certificate.checks[name].fraction.value)


def test_a_value_that_is_right_up_to_a_function_of_time():
    """Tied it holds; as it is the HJB equation fails, and the verdict says by what alone."""
    held = mg.certify(valued(free=3.0), **SMALL)
    assert held.holds, str(held)
    assert "HJB" in held.checks
    bare = mg.certify(valued(free=3.0, tie=False), **SMALL)
    assert bare.failures == ["HJB"]
    assert fraction(bare, UP_TO_TIME) < 1e-3
    assert fraction(bare, "exploitability, estimated") < 1e-3
    assert "right up to a function of time" in bare.verdict


def test_a_wrong_value_fails():
    wrong = mg.certify(valued(gain=0.6), **SMALL)
    assert not wrong.holds
    assert {"HJB", UP_TO_TIME} <= set(wrong.failures)
    assert "up to a function of time, which" not in wrong.verdict


def extra_cost(gain):
    """What feedback gain times as strong costs more, by quadrature of the moments."""
    times = np.linspace(0.0, 1.0, 2001)
    shrunk = ((2 - times) / 2) ** gain
    spread = SIGMA**2 * (2 - times) ** (2 * gain)
    inner = np.concatenate(
        [[0.0], np.cumsum(0.5 * np.diff(times) * _pairs((2 - times) ** (-2 * gain)))]
    )
    second = (0.4**2 + 0.25) * shrunk**2 + spread * inner
    rate = 0.5 * gain**2 * second / (2 - times) ** 2
    return 0.5 * np.sum(np.diff(times) * _pairs(rate)) + 0.5 * second[-1]


def _pairs(values):
    return values[1:] + values[:-1]


def test_a_control_is_judged_by_its_gain(within):
    """HJB is not asked of it; what it pays and what a particle would gain are the exact ones."""
    held = mg.certify(steered(), **SMALL)
    assert held.holds, str(held)
    assert held.missing["HJB"] == "the model is a control, `ControlField`, not a value"
    assert "No particle gains" in held.verdict
    within(held["primal cost"], extra_cost(1.0))
    wrong = mg.certify(steered(0.4), **SMALL)
    assert not wrong.holds
    gained = wrong["exploitability"]
    exact = extra_cost(0.4) - extra_cost(1.0)
    assert exact > 0.015
    # One Newton step from so far off has an error of its own.
    assert abs(float(gained.value) - exact) < 4 * float(gained.standard_error) + 0.3 * exact


def test_models_are_compared():
    """A control against a value: controls and densities agree, values are said to be missing."""
    found = mg.compare(steered(), valued(), times=3, points=128)
    assert found.relative("control") < 1e-5
    assert "not a value" in found.missing["value, up to a constant"]
    assert "ControlField" in found.missing["gradient"]
    far = mg.compare(steered(0.4), valued(), times=3, points=128)
    assert far.relative("control") == pytest.approx(0.6, rel=1e-5)
    other = mg.MFG(mg.Integrator(sigma=0.7), mg.Kinetic(), GAME.terminal, initial=GAME.initial)
    stranger = mg.solution(
        other, mg.models.ControlField(Control(jnp.asarray(1.0))), key=KEY, particles=64
    )
    with pytest.raises(ValueError, match="different diffusions"):
        mg.compare(stranger, valued())


def test_labels():
    """Two populations that go to places of their own, by their labels: exact, and certified."""
    points = jnp.linspace(-1.0, 1.0, 200)[:, None]
    labels = jnp.tile(mg.densities.one_hot(jnp.arange(2), 2), (100, 1))
    data = mg.densities.LabelledPoints(points, labels)
    end = mg.Linear(lambda z: 0.5 * (z[0] - z[1] + z[2]) ** 2)
    game = mg.MFG(
        mg.games.WithLabels(mg.Integrator(sigma=SIGMA), 1, 2),
        mg.games.OfPoints(mg.Kinetic(), 2),
        end,
        initial=data,
    )
    value = Value(jnp.asarray(1.0), jnp.asarray(0.0))
    exact = mg.models.Potential(lambda t, z: value(t, (z[0] - z[1] + z[2])[None]))
    found = mg.certify(mg.solution(game, exact, key=KEY, particles=400), **SMALL)
    assert found.holds, str(found)


@pytest.mark.slow
def test_a_trained_game_is_certified():
    """By its own cost alone, which leaves U free in time: the tied value is the exact one."""
    model = mg.models.ot_flow_potential(GAME, key=jax.random.key(1), width=16)
    loss = mg.GameCost(mg.simulate.StochasticHeun(16))
    model, _ = mg.fit(GAME, model, loss, steps=1500, batch_size=512, key=jax.random.key(2))
    found = mg.solution(GAME, model, key=KEY)
    certificate = mg.certify(found, tolerance=0.05)
    assert certificate.holds, str(certificate)
    exact = mg.models.Potential(Value(jnp.asarray(1.0), jnp.asarray(0.0)))
    known = mg.Solution(GAME, exact, found.density, Result(Status.CONVERGED, "a formula"))
    assert mg.compare(found, known).relative("value, up to a constant") < 0.05
