"""The forward Laplacian against JAX's own second derivatives, for every kind of operation."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.nested import nested_jet

from mfgen.math import jet, laplacian
from mfgen.math._autodiff import heat_jet
from mfgen.math._forward import propagate
from mfgen.math._series import Series

DIM = 4
WEIGHT = np.random.default_rng(0).normal(size=(DIM, DIM))
EYE = np.eye(DIM)


@jax.custom_vjp
def reverse_only(x):
    return jnp.sum(jnp.tanh(x) ** 2)


reverse_only.defvjp(lambda x: (reverse_only(x), x), lambda x, c: (c * x,))


@jax.custom_jvp
def forward_rule(x):
    return jnp.sum(x**2)


# Twice the true derivative, to tell the rule from the body.
forward_rule.defjvp(lambda x, dx: (forward_rule(*x), 4 * jnp.vdot(x[0], dx[0])))


def network(activation):
    mlp = eqx.nn.MLP(DIM + 1, "scalar", 8, 2, activation, key=jax.random.key(3))
    return lambda t, x: mlp(jnp.concatenate([t[None], x]))


def conditional(t, x):
    cube, wave = (lambda y: jnp.sum(y**3)), (lambda y: jnp.sum(jnp.cos(y)))
    return jax.lax.cond(x[0] > 0, cube, wave, x * t)


def while_loop(t, x):
    step = lambda state: (state[0] + 1, jnp.sin(state[1]) * t)
    return jax.lax.while_loop(lambda state: state[0] < 3, step, (0, x))[1].sum()


def scan(t, x):
    step = lambda y, _: (jnp.sin(WEIGHT @ y) + t, None)
    return jax.lax.scan(step, x, None, length=3)[0].sum()


def positive(t, x):
    return jnp.outer(x, x) + t * EYE


CASES = {
    "tanh network": network(jnp.tanh),
    "silu network": network(jax.nn.silu),
    "softplus network": network(jax.nn.softplus),
    "gelu": lambda t, x: jnp.sum(jax.nn.gelu(WEIGHT @ x + t, approximate=False)),
    "relu": lambda t, x: jnp.sum(jax.nn.relu(x @ WEIGHT + t) ** 3),
    "sine": lambda t, x: jnp.sum(jnp.sin(x * t)),
    "logsumexp": lambda t, x: jax.nn.logsumexp(WEIGHT @ x * t),
    "softmax": lambda t, x: jax.nn.softmax(WEIGHT @ x * t) @ x,
    "norm": lambda t, x: jnp.linalg.norm(x) * t,
    "einsum": lambda t, x: t * jnp.einsum("i,j,ij", jnp.sin(x), x, jnp.outer(x, x) @ WEIGHT),
    "batched einsum": lambda t, x: jnp.einsum(
        "ij,ik->i", jnp.outer(x, x) * t, jnp.sin(jnp.outer(x, x) + WEIGHT)
    ).sum(),
    "matrix product": lambda t, x: jnp.sum(jnp.outer(x, x) @ jnp.outer(jnp.sin(x), x) * t),
    "constant times matrix": lambda t, x: jnp.sum((WEIGHT @ jnp.outer(x, x**2)) ** 2 * t),
    "indexing": lambda t, x: x[0] * x[1] + x[jnp.array([2, 3])] @ x[:2] * t,
    "updating": lambda t, x: jnp.sum(x.at[0].set(x[1] ** 2) * x * t),
    "dynamic slice": lambda t, x: jax.lax.dynamic_slice(x**2, (jnp.argmax(x),), (1,))[0] * t,
    "where": lambda t, x: jnp.sum(jnp.where(x > 0, x**2 * t, jnp.sin(x))),
    "powers": lambda t, x: jnp.sum(jnp.abs(x) ** x) + jnp.sum(jnp.power(jnp.abs(x), t)),
    "quotients": lambda t, x: jnp.sum(x / (1 + x**2) + x / t + t / (2 + x)),
    "arctan2": lambda t, x: jnp.arctan2(x[0], x[1] * t),
    "erf": lambda t, x: jnp.sum(jax.scipy.special.erf(x * t)),
    "bessel": lambda t, x: jnp.sum(jnp.log(jax.scipy.special.i0e(x * t))),
    "scalar operands": lambda t, x: jnp.sum(
        jnp.maximum(x, x[0]) + x * x[0] + jnp.logaddexp(x, x @ x) + x / (x @ x) + jnp.clip(x, t, 3)
    ),
    "scan": scan,
    "map": lambda t, x: jax.lax.map(lambda y: jnp.sin(y * t), x).sum(),
    "cond": conditional,
    "while": while_loop,
    "determinant": lambda t, x: jnp.linalg.slogdet(positive(t, x))[1],
    "cholesky": lambda t, x: jnp.sum(jnp.linalg.cholesky(positive(t, x)) ** 3),
    "solve": lambda t, x: jnp.linalg.solve(positive(t, x), jnp.sin(x)).sum(),
    "sort": lambda t, x: jnp.sort(x) @ jnp.arange(4.0) * t + jnp.sort(x**2) @ x,
    "reductions": lambda t, x: jnp.prod(x) * t + jnp.max(x**2) + jnp.cumsum(x**2) @ x,
    "convolution": lambda t, x: jnp.sum(jnp.convolve(x, x**2) * t),
    "fourier transform": lambda t, x: jnp.sum(jnp.abs(jnp.fft.rfft(x**2)) ** 2) * t,
    "checkpoint": lambda t, x: jax.checkpoint(lambda x: jnp.sum(jnp.sin(x) * t))(x),
    "casts": lambda t, x: jnp.sum(jnp.sin(x.astype(jnp.float32)).astype(jnp.float64) * t),
    "steps": lambda t, x: jnp.floor(3 * x) @ x + jax.lax.stop_gradient(x) @ x * t,
    "custom forward rule": lambda t, x: forward_rule(x) * t,
    "time alone": lambda t, x: t**2,
    "space alone": lambda t, x: jnp.sum(x**3),
    "constant": lambda t, x: jnp.array(3.0),
}


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_nested_forward_mode(x64, name):
    u, t, points = CASES[name], jnp.array(0.7), 0.6 * jax.random.normal(jax.random.key(1), (3, DIM))
    mapped = [jax.vmap(operator(u), (None, 0)) for operator in (jet, nested_jet)]
    forward, nested = jax.jit(lambda *point: [f(*point) for f in mapped])(t, points)
    for part, got, expected in zip(forward._fields, forward, nested, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-11, err_msg=part)


@pytest.mark.parametrize("name", ["scan", "softmax", "einsum", "powers", "scalar operands"])
def test_a_weight_multiplies_every_second_derivative(x64, name):
    u, t, x = CASES[name], jnp.array(0.7), jnp.linspace(-0.8, 0.9, DIM)
    got, exact = jax.jit(lambda t, x: (heat_jet(u)(t, x, 2.5), jet(u)(t, x)))(t, x)
    np.testing.assert_allclose(got.heat, exact.time + 2.5 * exact.laplacian, rtol=1e-11)


def test_opens_a_function_with_a_reverse_rule_only(x64):
    x = jnp.linspace(-1.0, 1.0, DIM)
    s = jnp.tanh(x)
    expected = jnp.sum(2 * (1 - s**2) * (1 - 3 * s**2))
    np.testing.assert_allclose(laplacian(reverse_only)(x), expected, rtol=1e-13)


def test_keeps_a_forward_rule(x64):
    np.testing.assert_allclose(laplacian(forward_rule)(jnp.ones(DIM)), 4.0 * DIM, rtol=1e-14)


def test_softplus_keeps_its_curvature_at_zero(x64):
    # The body of softplus has |x| in it; only its custom rule gives 1/4 there.
    value = laplacian(lambda x: jnp.sum(jax.nn.softplus(x)))(jnp.zeros(DIM))
    np.testing.assert_allclose(value, DIM / 4, rtol=1e-14)


@pytest.mark.parametrize("activation", [jnp.tanh, jax.nn.softplus])
def test_parameter_gradient_agrees_with_that_of_the_hessian(x64, activation):
    mlp = eqx.nn.MLP(DIM + 1, "scalar", 8, 2, activation, key=jax.random.key(0))
    x = jnp.linspace(-1.0, 1.5, DIM)

    def residual(mlp, operator):
        value, time, gradient, lap = operator(lambda t, x: mlp(jnp.append(x, t)))(0.3, x)
        return (value + time - 0.5 * gradient @ gradient + 0.5 * lap) ** 2

    @eqx.filter_jit
    def gradients(mlp):
        return [eqx.filter_grad(residual)(mlp, operator) for operator in (jet, nested_jet)]

    got, expected = gradients(mlp)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        if eqx.is_inexact_array(a):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def series_of(u):
    t, x = jnp.array(0.5), jnp.arange(1.0, DIM + 1)
    return propagate(u, [Series(t, time=jnp.ones(())), Series(x, space=jnp.eye(DIM))])


def test_parts_that_vanish_are_not_computed():
    assert series_of(lambda t, x: jnp.sin(t) * t).space is None
    assert series_of(lambda t, x: jnp.sin(t) * t).second is None
    assert series_of(lambda t, x: jnp.sum(jnp.sin(x))).time is None
    assert series_of(lambda t, x: t * (3 * x[::-1]).sum() + x[0]).second is None
    assert series_of(lambda t, x: jnp.sum(jax.lax.stop_gradient(x * t))).constant
    assert series_of(lambda t, x: jnp.where(x > t, 1.0, 2.0).sum()).constant


def test_program_does_not_grow_with_the_dimension():
    def lines(dim):
        mlp = eqx.nn.MLP(dim, "scalar", 8, 2, jnp.tanh, key=jax.random.key(0))
        return len(jax.make_jaxpr(laplacian(mlp))(jnp.zeros(dim)).jaxpr.eqns)

    assert lines(3) == lines(30)


@pytest.mark.parametrize(
    "name",
    ["scan", "softmax", "einsum", "powers", "scalar operands", "determinant", "convolution"],
)
def test_a_matrix_pairs_the_second_derivatives(x64, name):
    u, t, x = CASES[name], jnp.array(0.7), jnp.linspace(-0.8, 0.9, DIM)
    root = jax.random.normal(jax.random.key(3), (DIM, 2))  # of rank two: some directions are quiet
    spread = root @ root.T

    def both(t, x):
        time, hessian = jax.jacfwd(u, 0)(t, x), jax.jacfwd(jax.jacfwd(u, 1), 1)(t, x)
        return heat_jet(u)(t, x, spread), time + jnp.sum(spread * hessian)

    got, exact = jax.jit(both)(t, x)
    np.testing.assert_allclose(got.heat, exact, rtol=1e-10, atol=1e-11)
