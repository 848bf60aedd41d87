"""The sign conventions, one by one: each is checked against numbers worked out by hand.

dX = [a + g v] dt + sigma dW,  t from 0 to T;  U is the cost to go
H(t, x, p) = sup_v { -p.(a + g v) - L },   v* its argmax,   drift a + g v* = -dH/dp
HJB   -dt U + H(t, x, grad U) - (sigma^2/2) lap U = dI/drho,      U(T, x) = dM/drho
FP     dt rho + div(rho b*) = (sigma^2/2) lap rho
"""

import jax.numpy as jnp
import pytest

from mfgen.costs import Kinetic, WithPotential
from mfgen.densities import Gaussian
from mfgen.derive import drift, fokker_planck, hamiltonian, hjb, optimal_control, terminal
from mfgen.dynamics import VP, Integrator
from mfgen.functionals import Entropy, Linear, Zero
from mfgen.games import MFG

T = 2.0
K, SIGMA = 0.5, 0.6
X, P = jnp.array([0.3, -0.4]), jnp.array([1.0, 2.0])
constant = lambda c: Linear(lambda x: jnp.asarray(c))
zero = lambda t, x: 0.0 * x[0]


def game(lagrangian=None, terminal=None, interaction=None, sigma=SIGMA):
    return MFG(
        Integrator(sigma=sigma, horizon=T),
        lagrangian or Kinetic(K),
        terminal or Zero(),
        interaction or Zero(),
    )


def residual(u, **parts):
    return hjb(game(**parts), u, None, 0.5, X)


def test_control_goes_down_the_value():
    """v* = -p / k: the particle moves to where the cost to go is smaller."""
    assert jnp.allclose(optimal_control(game(), 0.0, X, P), -P / K)
    assert jnp.allclose(drift(game(), 0.0, X, P), -P / K)


def test_hamiltonian_is_a_supremum_over_minus_costs():
    """+|p|^2 / (2k), minus p.a for the free drift, minus the cost of the place."""
    assert jnp.allclose(hamiltonian(game(), 0.0, X, P), 5.0)
    here = WithPotential(Kinetic(K), lambda t, x: jnp.asarray(7.0))
    assert jnp.allclose(hamiltonian(game(here), 0.0, X, P), 5.0 - 7.0)


def test_free_drift_and_gain_enter_the_hamiltonian_and_the_drift():
    dynamics = VP()
    mfg = MFG(dynamics, Kinetic(K), Zero())
    free, gain = dynamics.free(0.5, X), dynamics.gain(0.5)
    assert jnp.allclose(hamiltonian(mfg, 0.5, X, P), -P @ free + gain**2 * 5.0, rtol=1e-5)
    assert jnp.allclose(drift(mfg, 0.5, X, P), free - gain**2 * P / K, rtol=1e-5)
    # VP contracts: its free drift points to the origin.
    assert free @ X < 0


@pytest.mark.parametrize(
    ("u", "parts", "expected"),
    [
        (lambda t, x: 3.0 * t + 0 * x[0], {}, -3.0),
        (lambda t, x: P @ x, {}, 5.0),
        (lambda t, x: -P @ x, {}, 5.0),
        (lambda t, x: 0.5 * (x - X) @ (x - X), {}, -(SIGMA**2)),
        (lambda t, x: 0.5 * (x - X) @ (x - X), {"sigma": 0.0}, 0.0),
        (zero, {"interaction": constant(4.0)}, -4.0),
        (zero, {"lagrangian": WithPotential(Kinetic(K), lambda t, x: jnp.asarray(7.0))}, -7.0),
    ],
    ids=["time", "slope", "slope-reversed", "laplacian", "no-noise", "interaction", "place"],
)
def test_terms_of_the_hamilton_jacobi_bellman_equation(u, parts, expected):
    assert jnp.allclose(residual(u, **parts), expected, atol=1e-6)


def test_interaction_sees_the_density_of_the_same_time():
    mfg = game(interaction=Entropy())
    path = lambda t: Gaussian(jnp.zeros(2), 1.0 + t)
    expected = -(Gaussian(jnp.zeros(2), 1.5).log_density(X) + 1)
    assert jnp.allclose(hjb(mfg, zero, path, 0.5, X), expected, rtol=1e-6)


def test_value_at_the_final_time_is_the_variation_of_the_terminal_cost():
    mfg = game(terminal=constant(4.0))
    assert jnp.allclose(terminal(mfg, lambda t, x: 10.0 * t, None, X), 10.0 * T - 4.0)
    mfg = game(terminal=Entropy())
    path = lambda t: Gaussian(jnp.zeros(2), 1.0 + t)
    expected = -(Gaussian(jnp.zeros(2), 1.0 + T).log_density(X) + 1)
    assert jnp.allclose(terminal(mfg, zero, path, X), expected, rtol=1e-6)


def test_terms_of_the_fokker_planck_equation():
    """rho = N(m(t), C(t)), l = log rho: each term by hand at X."""
    still, mean = Gaussian(jnp.zeros(2)), jnp.array([1.0, 0.0])
    flow, noisy = game(sigma=0.0), game()
    # dt l alone: the mean moves with velocity (1, 0), dt l = (X - m).(1, 0) at m = 0.
    moving = lambda t: Gaussian(mean * (t - 0.5))
    assert jnp.allclose(fokker_planck(flow, zero, moving, 0.5, X), X[0], atol=1e-6)
    # b.grad l alone: U = P.x gives b = -P / k, grad l = -X.
    slope = lambda t, x: P @ x
    expected = P @ X / K
    assert jnp.allclose(fokker_planck(flow, slope, lambda t: still, 0.5, X), expected, atol=1e-5)
    # div b alone: U = |x - X|^2 / 2 gives b = 0 at X and div b = -2 / k.
    bowl = lambda t, x: 0.5 * (x - X) @ (x - X)
    assert jnp.allclose(fokker_planck(flow, bowl, lambda t: still, 0.5, X), -2 / K, atol=1e-5)
    # -(sigma^2 / 2)(lap l + |grad l|^2) alone: lap l = -2, |grad l|^2 = |X|^2.
    expected = -0.5 * SIGMA**2 * (-2 + X @ X)
    assert jnp.allclose(fokker_planck(noisy, zero, lambda t: still, 0.5, X), expected, atol=1e-6)


def test_value_is_the_expected_cost_of_the_derived_control(x64):
    """U(0, x) = E[ integral of L + terminal ] along dX = b* dt + sigma dW, in closed form.

    L = k v^2 / 2 + x^2 / 2 with terminal cost P x^2 / 2, P = sqrt(k): U = P x^2 / 2 + sigma^2 P
    (T - t) / 2. Any other linear feedback v = -c x costs more. The cost comes from E X_t^2 alone,
    not from any of the equations.
    """
    stiffness = K**0.5
    running = WithPotential(Kinetic(K), lambda t, x: 0.5 * x @ x)
    mfg = game(running, Linear(lambda x: 0.5 * stiffness * x @ x))
    u = lambda t, x: 0.5 * stiffness * x @ x + 0.5 * SIGMA**2 * stiffness * (T - t)
    x = jnp.array([0.8])
    assert jnp.allclose(hjb(mfg, u, None, 0.3, x), 0, atol=1e-12)
    assert jnp.allclose(terminal(mfg, u, None, x), 0, atol=1e-12)
    derived = -drift(mfg, 0.3, x, stiffness * x) / x

    def cost(c):
        """E X_t^2 = x^2 e^(-2ct) + sigma^2 (1 - e^(-2ct)) / (2c) under v = -c X."""
        decay, level = jnp.exp(-2 * c * T), SIGMA**2 / (2 * c)
        square = lambda weight: (x @ x - level) * weight
        integral = square((1 - decay) / (2 * c)) + level * T
        return 0.5 * (K * c**2 + 1) * integral + 0.5 * stiffness * (square(decay) + level)

    assert jnp.allclose(u(0.0, x), cost(derived), rtol=1e-12)
    assert cost(derived) < min(cost(0.9 * derived), cost(1.1 * derived))
