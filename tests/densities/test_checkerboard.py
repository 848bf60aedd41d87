"""The noised checkerboard against SciPy: in the body, in the tails and in both limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from mfgen.densities._checkerboard import Checkerboard, NoisedCheckerboard

CELLS = [(a, b) for i, a in enumerate((-3, -1, 1, 3)) for b in ((-3, 1) if i % 2 == 0 else (-1, 3))]


def log_density(alpha, sigma, x):
    return Checkerboard().noised(alpha, sigma).log_density(x)


def value_score_laplacian(alpha, sigma, x):
    log_density = Checkerboard().noised(alpha, sigma).log_density
    laplacian = jnp.trace(jax.hessian(log_density)(x))
    return log_density(x), jax.grad(log_density)(x), laplacian


VALUE = jax.jit(jax.vmap(log_density, in_axes=(None, None, 0)))
EVALUATE = jax.jit(jax.vmap(value_score_laplacian, in_axes=(None, None, 0)))


def test_the_clean_density_is_uniform_on_the_filled_squares():
    points = jnp.array(
        [[-3.0, -3.0], [-3.0, -1.0], [0.5, 1.5], [1.5, -0.5], [4.5, 0.5], [3.9, 3.9]]
    )
    values = jax.jit(jax.vmap(Checkerboard().log_density))(points)
    inside = -np.log(32.0)
    np.testing.assert_allclose(values, [inside, -np.inf, inside, -np.inf, -np.inf, inside])


@pytest.mark.parametrize(("alpha", "sigma"), [(1.0, 0.3), (0.5, 0.8), (0.1, 1.0), (1.0, 5.0)])
def test_noised_density_is_a_sum_of_convolved_squares(x64, alpha, sigma):
    points = np.random.default_rng(0).normal(size=(30, 2)) * 3.0
    expected = np.zeros(30)
    for cell in CELLS:
        distance = abs(points - alpha * np.array(cell))
        upper, lower = norm.cdf((alpha - distance) / sigma), norm.cdf((-alpha - distance) / sigma)
        expected += np.prod((upper - lower) / (2 * alpha), axis=1) / 8
    values = VALUE(alpha, sigma, jnp.asarray(points))
    np.testing.assert_allclose(values, np.log(expected), rtol=1e-10, atol=1e-10)


def test_a_column_far_in_its_tail_agrees_with_quadrature(x64):
    # At 40 deviations ndtr differences underflow; the integral over the nearest square does not.
    x, sigma = 14.0, 0.25
    inner, _ = quad(lambda u: np.exp(-0.5 * ((x - u) ** 2 - 10.0**2) / sigma**2), 2, 4, epsabs=0)
    column = np.log(inner / (2 * np.sqrt(2 * np.pi) * sigma)) - 0.5 * (10.0 / sigma) ** 2
    row = np.log(norm.cdf(4.0) - norm.cdf(-4.0)) - np.log(2.0)
    value = VALUE(1.0, sigma, jnp.array([[x, 3.0]]))
    np.testing.assert_allclose(value[0], column + row - np.log(8.0), rtol=1e-10)


@pytest.mark.parametrize("sigma", [0.01, 0.5, 20.0])
def test_float32_derivatives_match_float64_also_on_edges_and_centres(sigma):
    grid = np.array([-12.0, -4.0, -3.0, -1.0, 0.0, 0.3, 1.0, 2.0, 4.1], np.float32)
    points = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    single = EVALUATE(1.0, sigma, jnp.asarray(points))
    with jax.enable_x64(True):
        double = EVALUATE(1.0, sigma, jnp.asarray(points, jnp.float64))
        exact, score, laplacian = (np.asarray(term) for term in double)
    scale = 1.0 / sigma + np.linalg.norm(score, axis=1, keepdims=True)
    # Rounding of the logarithms shifts the weights of the squares by eps |log density|.
    tolerance = 1e-5 + 4 * np.finfo(np.float32).eps * abs(exact)
    assert np.all(abs(single[1] - score) / scale < tolerance[:, None])
    assert np.all(abs(single[2] - laplacian) / np.square(scale[:, 0]) < tolerance)


def test_derivatives_agree_with_finite_differences_in_every_branch(x64):
    # Along the first axis, with sigma = .25: inside, at an edge, and 4 to 24 deviations outside.
    first = jnp.array([3.3, 4.0, 5.0, 6.4, 6.6, 10.0])
    points, step = jnp.stack([first, jnp.full(6, 3.0)], axis=1), 1e-4
    shift = jnp.array([[step, 0.0]])

    def along_first(x):
        gradient = jax.grad(log_density, 2)
        value, second = jax.jvp(lambda y: gradient(1.0, 0.25, y)[0], (x,), (shift[0] / step,))
        return log_density(1.0, 0.25, x), value, second

    evaluate = jax.jit(jax.vmap(along_first))
    _, slope, second = evaluate(points)
    above, below = evaluate(points + shift), evaluate(points - shift)
    np.testing.assert_allclose(slope, (above[0] - below[0]) / (2 * step), rtol=1e-5)
    np.testing.assert_allclose(second, (above[1] - below[1]) / (2 * step), rtol=1e-5)


def test_without_signal_the_law_is_the_noise():
    points = jnp.array([[0.0, 0.0], [3.0, -2.0]])
    values, scores, laplacians = EVALUATE(0.0, 1.0, points)
    expected = -np.log(2 * np.pi) - 0.5 * np.sum(np.square(points), axis=1)
    np.testing.assert_allclose(values, expected, rtol=1e-6)
    np.testing.assert_allclose(scores, -points, rtol=1e-6)
    np.testing.assert_allclose(laplacians, [-2.0, -2.0], rtol=1e-5)


def test_noising_again_adds_variances():
    law = NoisedCheckerboard(jnp.asarray(0.5), jnp.asarray(3.0)).noised(0.5, 2.0)
    np.testing.assert_allclose([law.alpha, law.sigma], [0.25, 2.5])
