"""Differential operators against closed forms, and the laws of their stochastic estimates."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.math import divergence, jet, laplacian
from mfgen.math._autodiff import (
    heat_jet,
    probes,
    stochastic_jet,
)

MATRIX = np.array([[2.0, -1.0, 0.3], [-1.0, 0.5, 0.7], [0.3, 0.7, -1.2]])
MEANS = np.array([[1.0, 0.0, -0.5], [-1.0, 2.0, 0.3]])
WEIGHTS = np.array([0.3, 0.7])
POINT = np.array([0.4, -0.2, 1.1])


def log_heat(t, x):
    """log of a mixture of heat kernels of variance 1/2 + t."""
    variance = 0.5 + t
    squares = jnp.sum((x[None] - MEANS) ** 2, axis=1)
    log_kernels = -0.5 * squares / variance - 1.5 * jnp.log(2 * jnp.pi * variance)
    return jax.nn.logsumexp(log_kernels, b=WEIGHTS)


def curved(t, x):
    return jnp.sin(t) * x @ (MATRIX @ x) + jnp.sum(x**3) * x[0]


def test_jet_of_a_polynomial(x64):
    quadratic = lambda t, x: t**2 * x @ (MATRIX @ x) + jnp.sum(x**3)
    x = jnp.asarray(POINT)
    value, time, slope, lap = jax.jit(jet(quadratic))(1.5, x)
    np.testing.assert_allclose(value, 2.25 * POINT @ MATRIX @ POINT + np.sum(POINT**3))
    np.testing.assert_allclose(time, 3 * POINT @ MATRIX @ POINT)
    np.testing.assert_allclose(slope, 4.5 * MATRIX @ POINT + 3 * POINT**2)
    np.testing.assert_allclose(lap, 4.5 * np.trace(MATRIX) + 6 * np.sum(POINT))


def test_jet_of_a_gaussian_mixture(x64):
    t, variance = 0.8, 1.3
    value, time, slope, lap = jax.jit(jet(log_heat))(t, jnp.asarray(POINT))
    offsets = POINT - MEANS
    kernels = WEIGHTS * np.exp(-0.5 * np.sum(offsets**2, axis=1) / variance)
    share = kernels / kernels.sum()
    score = -share @ offsets / variance
    second = share @ np.sum(offsets**2, axis=1) / variance**2 - 3 / variance - score @ score
    np.testing.assert_allclose(value, np.log(kernels.sum()) - 1.5 * np.log(2 * np.pi * variance))
    np.testing.assert_allclose(slope, score, rtol=1e-12)
    np.testing.assert_allclose(lap, second, rtol=1e-12)
    # A density of the heat equation: dt u = (1/2)(lap u + |grad u|^2).
    np.testing.assert_allclose(time, 0.5 * (lap + slope @ slope), rtol=1e-12)


def test_jet_in_single_precision_keeps_the_type_of_x():
    parts = jax.jit(jet(log_heat))(np.float64(0.8), jnp.asarray(POINT, jnp.float32))
    assert {part.dtype for part in parts} == {jnp.dtype("float32")}


@pytest.mark.parametrize("diffusivity", [0.0, 0.5, 3.0])
def test_heat_jet_adds_up_time_derivative_and_laplacian(x64, diffusivity):
    x = jnp.asarray(POINT)
    u = lambda t, x: log_heat(t, x) + curved(t, x) + jnp.prod(x / (1 + t * x**2)) * x[0]
    value, heat, slope = jax.jit(heat_jet(u))(0.8, x, diffusivity)
    exact = jax.jit(jet(u))(0.8, x)
    np.testing.assert_allclose(value, exact.value, rtol=1e-12)
    np.testing.assert_allclose(slope, exact.gradient, rtol=1e-12)
    np.testing.assert_allclose(heat, exact.time + diffusivity * exact.laplacian, rtol=1e-12)


def test_divergence_and_laplacian(x64):
    x = jnp.asarray(POINT)
    f = lambda x: jnp.sum(jnp.exp(MATRIX @ x))
    np.testing.assert_allclose(divergence(lambda x: MATRIX @ x)(x), np.trace(MATRIX))
    expected = np.sum(MATRIX**2, axis=1) @ np.exp(MATRIX @ POINT)
    np.testing.assert_allclose(laplacian(f)(x), expected)
    np.testing.assert_allclose(divergence(jax.grad(f))(x), expected)


def test_stochastic_jet_gives_the_second_derivative_along_each_direction(x64, key):
    x, directions = jnp.asarray(POINT), probes(key, 5, 3, "gaussian")
    value, time, slope, estimates = jax.jit(stochastic_jet(curved))(0.6, x, directions)
    exact, hessian = jax.jit(jet(curved))(0.6, x), jax.jit(jax.hessian(curved, 1))(0.6, x)
    expected = jnp.einsum("ki,ij,kj->k", directions, hessian, directions)
    np.testing.assert_allclose(estimates, expected, rtol=1e-12)
    np.testing.assert_allclose(value, exact.value)
    np.testing.assert_allclose(time, exact.time)
    np.testing.assert_allclose(slope, exact.gradient)


def test_all_random_signs_average_to_the_laplacian(x64):
    x = jnp.asarray(POINT)
    signs = jnp.array(list(itertools.product([-1.0, 1.0], repeat=3)))
    exact = jax.jit(jet(curved))(0.6, x).laplacian
    np.testing.assert_allclose(
        jax.jit(stochastic_jet(curved))(0.6, x, signs).estimates.mean(), exact
    )


@pytest.mark.parametrize("kind", ["rademacher", "gaussian"])
def test_probes_have_unit_covariance(key, kind):
    n = 20_000
    directions = np.asarray(probes(key, n, 3, kind), np.float64)
    products = directions[:, :, None] * directions[:, None, :]
    deviation = products.mean(0) - np.eye(3)
    assert np.all(np.abs(deviation) <= 4 * products.std(0) / np.sqrt(n) + 1e-12)


def test_product_of_two_estimates_is_unbiased_and_a_square_is_not(x64, key):
    n, x = 20_000, jnp.asarray(POINT)
    exact = jax.jit(jet(curved))(0.6, x)

    def residuals(directions):
        _, time, slope, estimates = jax.jit(stochastic_jet(curved))(0.6, x, directions)
        return time - 0.5 * slope @ slope + 0.5 * estimates

    square = (exact.time - 0.5 * exact.gradient @ exact.gradient + 0.5 * exact.laplacian) ** 2
    first, second = np.asarray(residuals(probes(key, 2 * n, 3))).reshape(2, n)
    error = lambda sample: 4 * sample.std() / np.sqrt(n)
    assert abs((first * second).mean() - square) <= error(first * second)
    hessian = np.asarray(jax.jit(jax.hessian(curved, 1))(0.6, x))
    variance = 0.25 * 2 * np.sum((hessian - np.diag(np.diag(hessian))) ** 2)
    assert variance > 2 * error(first**2)
    assert abs((first**2).mean() - square - variance) <= error(first**2)


def test_one_random_sign_is_exact_in_one_dimension(key):
    x = jnp.array([0.3])
    u = lambda t, x: jnp.sum(jnp.sin(x))
    found = stochastic_jet(u)(0.0, x, probes(key, 1, 1)).estimates
    np.testing.assert_allclose(found[0], -np.sin(0.3), rtol=1e-6)


def test_a_vector_is_refused():
    with pytest.raises(ValueError, match=r"`jet` got a function of output shape \(1,\)"):
        jet(lambda t, x: x[:1])(0.0, jnp.ones(2))
    with pytest.raises(ValueError, match=r"`laplacian` got a function of output shape \(2,\)"):
        laplacian(lambda x: x)(jnp.ones(2))


def test_an_unknown_kind_of_probe_is_refused(key):
    with pytest.raises(Exception, match="kind"):
        probes(key, 1, 2, "cauchy")
