"""A Lagrangian a user writes: `__call__` alone gives the Hamiltonian, the control, the residual."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from mfgen.costs import AbstractLagrangian
from mfgen.derive import drift, hamiltonian, hjb, optimal_control
from mfgen.dynamics import Integrator
from mfgen.functionals import Zero
from mfgen.games import MFG

P = jnp.array([0.6, -1.1])


class SpeedLimit(AbstractLagrangian):
    """c^2 (cosh(|v| / c) - 1): fast particles pay more than a square."""

    speed: jax.Array

    def __call__(self, t, x, v):
        return self.speed**2 * (jnp.cosh(jnp.sqrt(v @ v + 1e-12) / self.speed) - 1)


class Straight(AbstractLagrangian):
    """L = v_1 + v_2: not superlinear."""

    def __call__(self, t, x, v):
        return jnp.sum(v)


def exact(speed, p):
    """sup_s { |p| s - c^2 (cosh(s / c) - 1) } at s = c arcsinh(|p| / c)."""
    size = jnp.sqrt(p @ p)
    return (
        speed * size * jnp.arcsinh(size / speed) - speed * jnp.sqrt(speed**2 + size**2) + speed**2
    )


def game(speed):
    return MFG(Integrator(sigma=0.5), SpeedLimit(jnp.asarray(speed)), Zero())


@pytest.mark.parametrize("double", [True, False])
def test_hamiltonian_and_control_need_no_formula(double):
    with jax.enable_x64(double):
        mfg, x, p = game(2.0), jnp.zeros(2), jnp.array([0.6, -1.1])
        derived = eqx.filter_jit(lambda p: (hamiltonian(mfg, 0.1, x, p), drift(mfg, 0.1, x, p)))
        value, velocity = derived(p)
        slope = jax.grad(exact, 1)(jnp.asarray(2.0), p)
        tolerance = 1e-9 if double else 1e-5
        assert jnp.allclose(value, exact(2.0, p), rtol=tolerance)
        assert jnp.allclose(velocity, -slope, rtol=tolerance)


def test_derived_quantities_train(x64):
    """A penalty on the residual, differentiated in the parameters of u and of L, equals the one
    written with the exact Hamiltonian."""
    points = jnp.array([[0.2, -0.4], [1.0, 0.3]])
    start = (jnp.array([0.7, 0.2, -0.5]), jnp.asarray(1.3))

    def u(weights, t, x):
        return weights[0] * jnp.sin(x[0] + t) + weights[1] * x @ x + weights[2] * t * x[1]

    def derived(parameters):
        weights, speed = parameters
        residual = lambda x: hjb(game(speed), lambda t, x: u(weights, t, x), None, 0.3, x)
        return jnp.mean(jax.vmap(residual)(points) ** 2)

    def written(parameters):
        weights, speed = parameters

        def residual(x):
            potential = lambda t, x: u(weights, t, x)
            time, p = jax.grad(potential, (0, 1))(0.3, x)
            laplacian = jnp.trace(jax.hessian(potential, 1)(0.3, x))
            return -time + exact(speed, p) - 0.125 * laplacian

        return jnp.mean(jax.vmap(residual)(points) ** 2)

    pairs = eqx.filter_jit(
        lambda start: (jax.value_and_grad(derived)(start), jax.value_and_grad(written)(start))
    )(start)
    for computed, closed in zip(*map(jax.tree.leaves, pairs), strict=True):
        assert jnp.allclose(computed, closed, rtol=1e-9)


@pytest.mark.parametrize("compiled", [True, False])
def test_cost_that_is_not_superlinear_is_refused(compiled):
    mfg = MFG(Integrator(), Straight(), Zero())
    control = lambda p: optimal_control(mfg, 0.0, jnp.zeros(2), p)
    with pytest.raises(RuntimeError, match=r"`Straight\.argmax` found no maximum .*add a mult"):
        (eqx.filter_jit(control) if compiled else control)(P)


def test_refusal_reaches_out_of_batches_and_loops():
    mfg = MFG(Integrator(), Straight(), Zero())
    control = jax.vmap(lambda p: optimal_control(mfg, 0.0, jnp.zeros(2), p))
    step = lambda p, _: (control(p), None)
    scanned = eqx.filter_jit(lambda p: jax.lax.scan(step, p, length=2)[0])
    with pytest.raises(RuntimeError, match="override `argmax`"):
        scanned(jnp.stack([P, 2 * P]))
