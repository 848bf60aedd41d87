"""The catalogue of Lagrangians: doors, refusals, and the edges of their domains."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from mfgen.costs import (
    Anisotropic,
    Kinetic,
    NoCost,
    Power,
    Relativistic,
    ScoreLagrangian,
    WithPotential,
)
from mfgen.derive import hamiltonian, hjb
from mfgen.dynamics import VP, Integrator, TimeReversal
from mfgen.functionals import Zero
from mfgen.games import MFG
from mfgen.math import divergence

X = jnp.array([0.5, -0.2])


@pytest.mark.parametrize(
    ("build", "fix"),
    [
        (lambda: Kinetic(0.0), "pass weight > 0"),
        (lambda: Kinetic(jnp.asarray(-1.0)), "pass weight > 0"),
        (lambda: Kinetic(float("nan")), "pass weight > 0"),
        (lambda: Power(1.0), "use exponent=1.1"),
        (lambda: Power(float("nan")), "use exponent=1.1"),
        (lambda: Relativistic(-2.0), "pass speed > 0"),
    ],
)
def test_parameters_are_checked(build, fix):
    with pytest.raises(ValueError, match=fix):
        build()


def test_parameters_may_be_traced():
    """The weight of the kinetic cost can be learnt or swept."""
    slope = jax.grad(lambda weight: Kinetic(weight)(0.0, X, 2 * X))(3.0)
    assert jnp.allclose(slope, 2 * X @ X)
    swept = jax.vmap(lambda speed: Relativistic(speed).argmax(0.0, X, X))(jnp.array([1.0, 2.0]))
    assert swept.shape == (2, 2)


@pytest.mark.parametrize("lagrangian", [NoCost(), WithPotential(NoCost(), lambda t, x: x @ x)])
def test_no_cost_is_declared_but_has_no_hamiltonian(lagrangian):
    game = MFG(Integrator(), lagrangian, Zero())
    with pytest.raises(ValueError, match=r"ill posed; add a cost of speed such as `Kinetic"):
        hamiltonian(game, 0.0, X, X)
    with pytest.raises(ValueError, match=r"infinite unless p = 0"):
        hjb(game, lambda t, x: x @ x, None, 0.0, X)


@pytest.mark.parametrize("exponent", [1.5, 2.0, 3.0])
def test_power_at_rest(exponent):
    """Derivatives at v = 0 and q = 0 are finite, and exact for r = 2."""
    lagrangian, zero = Power(exponent), jnp.zeros(2)
    cost = lambda v: lagrangian(0.0, X, v)
    argmax = lambda q: lagrangian.argmax(0.0, X, q)
    derivatives = lambda v: (
        jax.grad(cost)(v),
        argmax(v),
        jax.hessian(cost)(v),
        jax.jacfwd(argmax)(v),
    )
    slope, control, *second = jax.jit(derivatives)(zero)
    assert jnp.all(slope == 0)
    assert jnp.all(control == 0)
    for derivative in second:
        assert jnp.all(derivative == jnp.eye(2) * (exponent == 2))


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e3, 1e6])
def test_relativistic_speed_stays_below_the_limit(size):
    """Rounding in single precision neither breaks the limit nor gives nan in H or its slope."""
    game = MFG(Integrator(), Relativistic(0.7), Zero())
    p = size * jnp.array([0.6, -0.8])
    value, slope = jax.value_and_grad(lambda p: hamiltonian(game, 0.0, X, p))(p)
    exact = 0.7 * size**2 / (jnp.sqrt(0.49 + size**2) + 0.7)
    assert jnp.allclose(value, exact, rtol=1e-5)
    assert jnp.allclose(slope, 0.7 * p / jnp.sqrt(0.49 + p @ p), rtol=1e-4)
    assert jnp.sqrt(slope @ slope) <= 0.7 * (1 + 1e-6)


def test_relativistic_is_infinite_beyond_the_limit():
    assert not jnp.isfinite(Relativistic(1.0)(0.0, X, jnp.array([1.1, 0.0])))


def test_indefinite_metric_is_refused():
    lagrangian = Anisotropic(lambda x: jnp.diag(jnp.array([1.0, -1.0])))
    with pytest.raises(RuntimeError, match=r"positive eigenvalues, such as B @ B\.T"):
        eqx.filter_jit(lambda q: lagrangian.argmax(0.0, X, q))(X)


def test_diverged_costate_is_not_the_fault_of_the_metric():
    lagrangian = Anisotropic(lambda x: jnp.eye(2))
    assert jnp.all(jnp.isnan(lagrangian.argmax(0.0, X, jnp.array([jnp.nan, 1.0]))))


def test_score_lagrangian_is_the_divergence_of_the_drift():
    dynamics, v = TimeReversal(VP()), jnp.array([1.0, 2.0])
    free = lambda x: dynamics.free(0.3, x)
    general = WithPotential(Kinetic(), lambda t, x: -divergence(free)(x))
    assert jnp.allclose(ScoreLagrangian(dynamics)(0.3, X, v), general(0.3, X, v), rtol=1e-6)
