"""A law of the reader of programs: a formula has the program's value, or is refused by name.

One function for each operation, at points of both signs. What is refused names the operation.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp
from jax import lax

from mfgen.derive._symbols.tracing import formula

POINTS = np.random.default_rng(3).uniform(-2.6, 2.6, (4, 3))
X = sp.symbols("x1:4", real=True)
ROWS = jnp.arange(12.0).reshape(4, 3) - 5
MANY = jnp.arange(300.0)


def custom(x):
    @jax.custom_jvp
    def square(x):
        return x * x

    square.defjvp(lambda primal, tangent: (primal[0] ** 2, 5 * tangent[0]))
    return square(x[0])


def backward(x):
    @jax.custom_vjp
    def cube(x):
        return x**3

    cube.defvjp(lambda x: (x**3, x), lambda x, g: (g,))
    return cube(x[1])


def chosen(x):
    return lax.cond(x[0] > x[1], lambda x: x @ x, lambda x: jnp.sin(x[2]), x)


READ = {
    # casts
    "float32": lambda x: x[0].astype(jnp.float32) + x[1],
    "float32-and-back": lambda x: jnp.sum(jnp.sin(x.astype(jnp.float32).astype(float))),
    "int": lambda x: x[0].astype(int) + 0.5 * x[1].astype(jnp.int32),
    "bool": lambda x: 2.5 * x[0].astype(bool) + (x[1] > 0).astype(bool),
    "bool-to-int": lambda x: (x[0] > 0).astype(int) * 3 + (x > 0).sum(),
    "a-truth-value": lambda x: x[0] > x[1],
    "an-integer": lambda x: jnp.trunc(x[0]).astype(int) * 2,
    # comparisons and choices
    "compare": lambda x: jnp.where(x[0] >= x[1], x[0], x[2]) + jnp.where(x[1] <= 0.3, 1, x[0]),
    "equal": lambda x: jnp.where(x[0] == x[0], 3.0, x[1]) + jnp.where(x[1] != x[2], x[0], 1.0),
    "logic": lambda x: 1.0 * ((x[0] > 0) & ~(x[1] > 0) | (x[2] > 1) ^ (x[0] > x[2])),
    "truths-compared": lambda x: 1.0 * ((x[0] > 0) == (x[1] > 0)) + ((x[1] > 0) != (x[2] > 0)),
    "truths-chosen": lambda x: 1.0 * jnp.where(x[0] > 0, x[1] > 0, x[2] > 0),
    "any-all": lambda x: 1.0 * jnp.any(x > 1) + 2.0 * jnp.all(x > -2),
    "select-by-number": lambda x: lax.select_n(jnp.asarray(2), x[0], x[1], x[2]),
    "clamp": lambda x: lax.clamp(-0.5, x[0], 0.7) + jnp.clip(x, -1.0, 1.0) @ x,
    "cond": chosen,
    "switch": lambda x: lax.switch(1, [lambda x: x[0], lambda x: x[1] ** 2], x),
    "finite": lambda x: jnp.where(jnp.isfinite(x[0] ** 2), x[0], 0.0),
    # roundings
    "sign": lambda x: jnp.sign(x[0]) * x[1],
    "floor": lambda x: jnp.floor(x[0]) + jnp.ceil(x[1]) + jnp.trunc(x[2]),
    "rem": lambda x: lax.rem(x[0], x[1]) + lax.rem(x[2], 0.7),
    "mod": lambda x: jnp.mod(x[0], 0.6) + jnp.floor_divide(x[1], 0.7) + x[2] % 1.0,
    "whole-division": lambda x: x[0].astype(int) // 2 + lax.div((3 * x[1]).astype(int), 2),
    "whole-rest": lambda x: lax.rem((5 * x[0]).astype(int), 3) + (4 * x[1]).astype(int) % 3,
    # powers
    "integer-pow": lambda x: x[0] ** 3 + x[1] ** -2 + x[2] ** 0,
    "pow": lambda x: jnp.abs(x[0]) ** 1.7 + 1.3 ** x[1] + (x[2] ** 2) ** 0.5 + (x[0] ** 4) ** 0.25,
    "roots": lambda x: jnp.sqrt(1 + x[0] ** 2) + lax.rsqrt(2 + x[1] ** 2) + jnp.cbrt(x[2]),
    "exponentials": lambda x: (
        jnp.exp2(x[0]) + jnp.expm1(x[1]) + jnp.log1p(x[2] ** 2) + jnp.exp(1.0)
    ),
    "logistic": lambda x: jax.nn.sigmoid(x[0]) + jnp.logaddexp(x[1], x[2]),
    "logsumexp": lambda x: jax.nn.logsumexp(x) + jax.nn.softmax(x)[0],
    "erf": lambda x: lax.erf(x[0]) + lax.erfc(x[1]),
    "angles": lambda x: jnp.arctan2(x[0], x[1]) + jnp.arcsin(jnp.tanh(x[2])) + jnp.arctan(x[0]),
    "hyperbolic": lambda x: jnp.arcsinh(x[0]) + jnp.arccosh(1 + x[1] ** 2) + jnp.sinh(x[2] / 2),
    "atanh": lambda x: jnp.arctanh(x[0] / 3) + jnp.arccos(x[1] / 3) + jnp.tan(x[2] / 2),
    "activations": lambda x: jax.nn.softplus(x[0]) + jax.nn.relu(x[1]) + jnp.abs(x[2]),
    # sums and products
    "extremes": lambda x: jnp.maximum(x[0], x[1]) * jnp.min(x) - jnp.max(x),
    "reductions": lambda x: jnp.prod(x) + jnp.sum(ROWS * x[None], axis=0)[1] + jnp.mean(x),
    "cumulative": lambda x: jnp.cumsum(x)[1] + jnp.cumprod(x)[2] + lax.cummax(x)[1],
    "reversed": lambda x: lax.cumsum(x, reverse=True)[0] * lax.cumsum(x, reverse=True)[1],
    "dot": lambda x: jnp.sum(ROWS @ x) * (x @ x),
    "batches": lambda x: jnp.sum(
        jnp.einsum("bij,bjk->bik", ROWS.reshape(2, 2, 3), x[None, None] * jnp.ones((2, 3, 3)))[1]
    ),
    "later-batches": lambda x: jnp.sum(
        jnp.einsum("ib,kbi->bk", ROWS * x[None], ROWS.reshape(1, 3, 4))[2]
    ),
    # moves
    "shapes": lambda x: (ROWS * x[None]).T.reshape(2, 6)[1, 2] + jnp.stack([x, 2 * x])[1, 0],
    "slices": lambda x: lax.dynamic_slice(x, (1,), (2,))[0] + x[::-1][0] + jnp.roll(x, 1)[0],
    "gather": lambda x: jnp.sum(x[jnp.array([0, 2, 2])] * jnp.array([1.0, 2.0, 3.0])),
    "pad": lambda x: jnp.pad(x, (1, 2), constant_values=4.0)[jnp.array([0, 1, 5])] @ x,
    "update": lambda x: x.at[1].set(x[0] ** 2) @ x + lax.dynamic_update_slice(x, x[:1], (2,))[2],
    "scatter-add": lambda x: x.at[jnp.array([0, 0, 2])].add(x * jnp.array([1.0, 2.0, 3.0])) @ x,
    "iota": lambda x: jnp.arange(3) @ x + jnp.concatenate([x, x])[4],
    "truths-moved": lambda x: 1.0 * (x > 0)[::-1][0] + jnp.broadcast_to(x[0] > 1, (2,)).sum(),
    "many-of-few-bits": lambda x: MANY.astype(jnp.bfloat16)[256].astype(float) * x[0],
    "many-casts": lambda x: (x[0] * MANY).astype(jnp.bfloat16)[::-1][40].astype(float) / 256,
    "split": lambda x: jnp.split(x, 3)[1][0],
    # programs in the program
    "custom-jvp": custom,
    "custom-vjp": backward,
    "pjit": lambda x: jax.jit(jnp.linalg.norm)(x),
    "checkpoint": lambda x: jax.checkpoint(lambda x: jnp.sin(x[0]) * x[1])(x),
    "stop-gradient": lambda x: lax.stop_gradient(x[0]) * x[1],
    "gradient": lambda x: jax.grad(lambda x: jnp.sum(x[1:] ** 3) + x[0])(x) @ x,
    "fixed-loop": lambda x: x[0] * lax.fori_loop(0, 5, lambda i, a: a + i, 0.5),
    "fixed-search": lambda x: x[jnp.argmax(ROWS[1])] + jnp.sort(ROWS[0])[0] * x[1],
    "fixed-inverse": lambda x: x @ jnp.linalg.inv(jnp.eye(3) + jnp.diag(jnp.ones(2), 1)) @ x,
    # constants
    "single-constant": lambda x: x[0] * jnp.float32(0.1),
    "sizes": lambda x: 1e300 * x[0] + 1e-20 * x[1],
    "infinite": lambda x: jnp.where(x[0] > 9, jnp.inf, x[1]) + jnp.minimum(jnp.inf, x[2]),
    "not-a-number": lambda x: jnp.where(x[0] > 9, jnp.nan, x[1]),
    "negative-base": lambda x: x[0] + jnp.where(jnp.isnan(jnp.asarray(-8.0) ** (1 / 3)), 1.0, 2.0),
    "division-by-zero": lambda x: jnp.minimum(x[0], jnp.asarray(1.0) / 0.0),
}

REFUSED = {
    "argmax": ("argmax", lambda x: x[jnp.argmax(x)]),
    "sort": ("sort", lambda x: jnp.sort(x)[0]),
    "round": ("round", lambda x: jnp.round(x[0])),
    "nextafter": ("nextafter", lambda x: jnp.nextafter(x[0], 1.0)),
    "scan": ("scan", lambda x: lax.scan(lambda c, y: (c * y, y), 1.0, x)[0]),
    "while": ("while", lambda x: lax.while_loop(lambda y: y < 3, lambda y: y + 1, x[0])),
    "reduce": ("reduce", lambda x: lax.reduce(x, 0.5, lambda a, b: a + b * b, (0,))),
    "unsigned": ("unsigned", lambda x: x[0].astype(jnp.uint32) * 1.0),
    "few-bits": ("int8", lambda x: x[0].astype(jnp.int8) * 1.0),
    "few-digits": ("float8_e4m3fn", lambda x: x[0].astype(jnp.float8_e4m3fn).astype(float)),
    "complex": ("complex", lambda x: jnp.abs(x[0] + 1j * x[1])),
    "bits": ("and", lambda x: (x[0].astype(int) & 3) * 1.0),
    "shift": ("shift_left", lambda x: (x[0].astype(int) << 2) * 1.0),
    "bits-turned": ("not", lambda x: (~x[0].astype(int)) * 1.0),
    "isnan": ("number", lambda x: jnp.where(jnp.isnan(jnp.log(x[0])), 0.0, x[1])),
    "isfinite": ("is_finite", lambda x: jnp.where(jnp.isfinite(jnp.log(x[0])), 1.0, 0.0)),
    "pole": ("div", lambda x: jnp.minimum(x[0] / 0.0, 5.0)),
    "negative-root": ("sqrt", lambda x: jnp.nan_to_num(jnp.sqrt(-(x[0] ** 2) - 0.0))),
    "number-chosen": ("choice", lambda x: lax.switch(x[0].astype(int), [jnp.sin, jnp.cos], x[1])),
    "place": ("dynamic_slice", lambda x: lax.dynamic_slice(x, (x[0].astype(int),), (1,))[0]),
    "gamma": ("lgamma", lambda x: lax.lgamma(x[0])),
    "key": ("TypeError", lambda x: x[0] * jax.random.normal(jax.random.key(0))),
    "shape": ("an output of shape (3,)", lambda x: 2 * x),
}


@pytest.fixture(scope="module")
def computed():
    """What JAX computes, by name: one program for all functions."""
    with jax.enable_x64(True):
        every = lambda x: {name: jnp.asarray(f(x), float) for name, f in READ.items()}
        return jax.tree.map(np.asarray, jax.jit(jax.vmap(every))(jnp.asarray(POINTS)))


@pytest.mark.parametrize("name", READ)
def test_a_formula_has_the_value_of_its_program(name, computed):
    found = formula("f", READ[name], X)
    assert found.note is None, found.note
    # A cast to another precision is none in exact arithmetic.
    rough = {"float32": 1e-6, "single-constant": 1e-7, "many-casts": 1e-2}
    tolerance = next((t for key, t in rough.items() if name.startswith(key)), 1e-12)
    for point, expected in zip(POINTS, computed[name], strict=True):
        at = dict(zip(X, map(sp.Float, point), strict=True))
        value = sp.sympify(found.scalar).subs(at, simultaneous=True).evalf(20)
        assert np.isclose(float(value), float(expected), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_formula_is_refused_by_name(name):
    said, function = REFUSED[name]
    found = formula("f", function, X)
    assert str(found.scalar) == "f(x1, x2, x3)"
    assert found.note is not None
    assert said in found.note
