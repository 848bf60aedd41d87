import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.simulate import Adaptive, RungeKutta4


def pendulum(tau, y):
    return {"x": y["v"], "v": -y["x"] + 0.0 * tau}


def error(integrator, span):
    y, tau = integrator(pendulum, {"x": jnp.ones(()), "v": jnp.zeros(())}, jnp.asarray(span))
    assert float(tau) == span
    return abs(float(y["x"]) - np.cos(span)) + abs(float(y["v"]) + np.sin(span))


def test_runge_kutta_has_order_four(x64):
    errors = [error(RungeKutta4(steps), 3.0) for steps in (8, 16, 32)]
    np.testing.assert_allclose(np.log2(np.divide(errors[:-1], errors[1:])), 4.0, atol=0.3)


def test_runge_kutta_integrates_cubics_exactly(x64):
    cubic = lambda tau, y: 4 * tau**3 * jnp.ones_like(y)
    y, _ = RungeKutta4(3)(cubic, jnp.zeros(1), jnp.asarray(2.0))
    np.testing.assert_allclose(y, 16.0, rtol=1e-13)


@pytest.mark.parametrize("solver", [diffrax.Tsit5(), diffrax.Dopri5()])
def test_adaptive_error_follows_its_tolerance(solver, x64):
    errors = [error(Adaptive(tolerance, solver), 3.0) for tolerance in (1e-4, 1e-8)]
    assert errors[0] < 1e-3
    assert errors[1] < 1e-7


def test_adaptive_reports_how_far_it_came():
    wave = lambda tau, y: jnp.cos(400 * tau) * y
    y, tau = Adaptive(1e-5, max_steps=20)(wave, jnp.ones(1), jnp.asarray(2.0))
    assert 0 < float(tau) < 1.0
    assert np.all(np.isfinite(y))


def test_adaptive_ends_where_the_error_is_rounding_alone():
    # The slope jumps by rounding noise of 1e-3, so no step meets the tolerance.
    rough = lambda tau, y: 1 + 1e-3 * jnp.sin(1e9 * tau) * jnp.ones_like(y)
    y, tau = Adaptive(1e-6, max_steps=400_000)(rough, jnp.zeros(1), jnp.asarray(1.0))
    assert float(tau) == 1.0
    np.testing.assert_allclose(y, 1.0, atol=2e-3)


@pytest.mark.parametrize("integrator", [RungeKutta4(20), Adaptive(1e-6)])
def test_gradients_reach_the_parameters(integrator):
    end = lambda rate: integrator(lambda tau, y: -rate * y, jnp.ones(()), jnp.asarray(1.0)).value
    np.testing.assert_allclose(jax.grad(end)(0.7), -np.exp(-0.7), rtol=1e-4)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match=r"`RungeKutta4` got steps = 0.*pass steps >= 1"):
        RungeKutta4(0)
    with pytest.raises(ValueError, match=r"`Adaptive` got tolerance = 0.*pass tolerance=1e-5"):
        Adaptive(0.0)
    with pytest.raises(ValueError, match=r"`Adaptive` got max_steps = -1"):
        Adaptive(max_steps=-1)
