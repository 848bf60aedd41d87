"""Hamiltonian, control and drift with a free drift and with scalar or matrix gains."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.costs import Kinetic, Relativistic
from mfgen.derive import drift, hamiltonian, optimal_control
from mfgen.dynamics import AbstractDynamics
from mfgen.functionals import Zero
from mfgen.games import MFG

X, P = jnp.array([1.0, -2.0]), jnp.array([0.4, 0.9])


class Steered(AbstractDynamics):
    """dX = (x_2, -x_1) dt + g v dt, with any constant gain."""

    matrix: jax.Array
    horizon: float = eqx.field(static=True, default=1.0)
    deterministic: bool = eqx.field(static=True, default=True)

    def free(self, t, x):
        return jnp.array([x[1], -x[0]])

    def gain(self, t):
        return self.matrix

    def diffusion(self, t):
        return jnp.asarray(0.0)


GAINS = {
    "scalar": np.array(-2.0),
    "underactuated": np.array([[0.0], [3.0]]),
    "overactuated": np.array([[1.0, 0.0, 2.0], [0.0, 1.0, -1.0]]),
}


@pytest.mark.parametrize("gain", GAINS)
def test_quadratic_cost_by_hand(gain):
    """L = (k/2)|v|^2: v* = -g^T p / k, H = -p.a + |g^T p|^2 / (2k), drift = a - g g^T p / k."""
    matrix = GAINS[gain]
    game = MFG(Steered(jnp.asarray(matrix)), Kinetic(0.5), Zero())
    free = jnp.array([-2.0, -1.0])
    pulled = matrix.T @ P if matrix.ndim else matrix * P
    pushed = matrix @ pulled if matrix.ndim else matrix * pulled
    assert jnp.allclose(optimal_control(game, 0.0, X, P), -pulled / 0.5, rtol=1e-6)
    assert jnp.allclose(drift(game, 0.0, X, P), free - pushed / 0.5, rtol=1e-6)
    assert jnp.allclose(hamiltonian(game, 0.0, X, P), -P @ free + pulled @ pulled, rtol=1e-6)


@pytest.mark.parametrize("gain", GAINS)
def test_drift_is_minus_the_slope_of_the_hamiltonian(gain, x64):
    game = MFG(Steered(jnp.asarray(GAINS[gain])), Relativistic(1.5), Zero())
    x, p = jnp.array([1.0, -2.0]), jnp.array([0.4, 0.9])
    slope = jax.grad(lambda p: hamiltonian(game, 0.0, x, p))(p)
    assert jnp.allclose(drift(game, 0.0, x, p), -slope, rtol=1e-10)
