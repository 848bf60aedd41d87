"""The computed maximiser against closed forms: values, derivatives, domains, failures."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.math._legendre import maximiser

METRIC = np.array([[2.0, 0.3, 0.0], [0.3, 1.0, 0.2], [0.0, 0.2, 0.5]])


def power(exponent):
    """|v|^r / r as a user would write it: its derivatives at 0 are nan for some r."""
    conjugate = exponent / (exponent - 1)
    return (
        lambda v: jnp.sqrt(v @ v) ** exponent / exponent,
        lambda q: (q @ q) ** (0.5 * conjugate - 1) * q,
    )


# name: L(v), its maximiser in closed form
CASES = {
    "quadratic": (lambda v: 0.5 * v @ METRIC @ v, lambda q: jnp.linalg.solve(METRIC, q)),
    "shifted": (lambda v: 0.5 * jnp.sum((v - 2) ** 2), lambda q: q + 2),
    "power-1.25": power(1.25),
    "power-1.5": power(1.5),
    "power-3": power(3.0),
    "power-8": power(8.0),
    "separable-1.5": (
        lambda v: jnp.sum(jnp.abs(v) ** 1.5) / 1.5,
        lambda q: jnp.sign(q) * q**2,
    ),
    "separable-4": (
        lambda v: jnp.sum(v**4) / 4,
        lambda q: jnp.cbrt(q),
    ),
    "bounded-speed": (
        lambda v: 4 - 4 * jnp.sqrt(1 - v @ v / 4),
        lambda q: 2 * q / jnp.sqrt(4 + q @ q),
    ),
    "bounded-box": (
        lambda v: jnp.sum(jnp.where(jnp.abs(v) < 1, -jnp.log1p(-(v**2)), jnp.inf)),
        lambda q: q / (1 + jnp.sqrt(1 + q**2)),
    ),
    "exponential": (
        lambda v: jnp.sum(jnp.cosh(v) - 1),
        lambda q: jnp.arcsinh(q),
    ),
}


def slopes(count=60):
    """Vectors in all directions, with lengths from 0.03 to 30."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return directions * 10.0 ** rng.uniform(-1.5, 1.5, (count, 1))


def excess(case, tolerance, floor):
    """The largest error beyond `tolerance` times the exact length plus `floor`."""
    cost, closed = CASES[case]
    points = jnp.asarray(slopes())
    values, found = jax.jit(jax.vmap(lambda q: maximiser(cost, q)))(points)
    assert jnp.all(found)
    exact = jax.vmap(closed)(points)
    allowed = tolerance * jnp.linalg.norm(exact, axis=1) + floor
    return jnp.max(jnp.linalg.norm(values - exact, axis=1) - allowed)


@pytest.mark.parametrize("case", CASES)
def test_accuracy_in_double_precision(case, x64):
    assert excess(case, 1e-11, 0.0) <= 0


@pytest.mark.parametrize("case", ["power-1.25", "power-3", "bounded-speed", "bounded-box"])
def test_accuracy_in_single_precision(case):
    """Twenty units of rounding; controls below 3e-8 count as zero."""
    assert excess(case, 2e-5, 4e-8) <= 0


@pytest.mark.parametrize("exponent", [1.05, 1.5, 3.0])
def test_at_rest(exponent):
    """q = 0, as for a network that starts at zero: v* = 0, and nothing is nan."""
    control = lambda q: maximiser(power(exponent)[0], q)
    jacobian, found = jax.jit(jax.jacfwd(control, has_aux=True))(jnp.zeros(2))
    assert found
    assert jnp.all(jax.jit(control)(jnp.zeros(2))[0] == 0)
    assert jnp.all(jnp.isfinite(jacobian))


def test_derivatives_in_slope_and_in_what_the_cost_closes_over(x64):
    """Three orders in q, mixed ones in a parameter, forward and reverse."""
    c = 2.0

    def conjugate(mass, q):
        cost = lambda v: mass * (c**2 - c * jnp.sqrt(c**2 - v @ v))
        v, _ = maximiser(cost, q)
        return q @ v - cost(v)

    def exact(mass, q):
        return c * jnp.sqrt((mass * c) ** 2 + q @ q) - mass * c**2

    mass, q = jnp.asarray(1.3), jnp.array([0.3, -1.0, 2.0])

    def derivatives(f):
        line = lambda h: f(mass - 0.5 * h, q + h * jnp.array([0.2, 0.4, -1.0]))
        bend = lambda h: jax.jvp(jax.grad(line), (h,), (jnp.ones_like(h),))
        penalty = lambda mass: jnp.sum(jax.grad(f, 1)(mass, q) ** 2)
        return jax.jvp(bend, (0.0,), (1.0,)), jax.grad(penalty)(mass)

    pairs = jax.jit(lambda: (derivatives(conjugate), derivatives(exact)))()
    for computed, closed in zip(*map(jax.tree.leaves, pairs), strict=True):
        assert jnp.allclose(computed, closed, rtol=1e-11, atol=1e-12)


def test_derivatives_pass_through_loops_and_batches(x64):
    """vmap outside, scan inside, derivative of the whole: as training does."""

    def last(scale, solve):
        step = lambda q, _: (solve(scale, q), None)
        return jax.lax.scan(step, jnp.array([0.4, -0.2]), length=3)[0]

    computed = lambda scale, q: maximiser(lambda v: scale * 0.5 * v @ v, q)[0]
    closed = lambda scale, q: q / scale
    scales = jnp.array([0.5, 2.0])
    jacobian = lambda solve: jax.vmap(jax.jacrev(lambda scale: last(scale, solve)))(scales)
    assert jnp.allclose(jax.jit(jacobian, static_argnums=0)(computed), jacobian(closed), rtol=1e-11)


FAILURES = {
    "zero": lambda v: 0.0,
    "linear": lambda v: jnp.sum(v),
    "linear growth": lambda v: jnp.sqrt(1 + v @ v),
    "concave": lambda v: -v @ v,
    "hard bound": lambda v: jnp.where(v @ v < 1, 0.0, jnp.inf),
}


@pytest.mark.parametrize("case", FAILURES)
def test_absence_of_a_maximum_is_told(case):
    _, found = maximiser(FAILURES[case], jnp.array([2.0, 3.0]))
    assert not found


def test_a_slope_that_is_no_number_is_not_the_fault_of_the_cost():
    v, found = maximiser(lambda v: v @ v, jnp.array([1.0, jnp.nan]))
    assert found
    assert jnp.all(jnp.isnan(v))


def test_traced_once_for_many_calls():
    solve = eqx.filter_jit(
        eqx.debug.assert_max_traces(lambda q: maximiser(lambda v: v @ v, q)[0], max_traces=1)
    )
    for length in (0.1, 1.0, 10.0):
        assert jnp.allclose(solve(length * jnp.ones(2)), 0.5 * length, rtol=1e-6)
