"""Gaussians and mixtures against SciPy, and their noised laws against mixtures built anew."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from mfgen.densities import CholeskyGaussian, Gaussian, GaussianMixture, isotropic, mixture20
from mfgen.densities._base import expectation, score


def covariances(form, count, dim):
    rng = np.random.default_rng(dim)
    variances = rng.uniform(0.2, 2.0, (count, dim))
    if form == "isotropic":
        return variances[:, 0], variances[:, :1, None] * np.eye(dim)[None]
    if form == "diagonal":
        return variances, variances[:, :, None] * np.eye(dim)[None]
    factors = rng.normal(size=(count, dim, dim)) / np.sqrt(dim)
    full = factors @ factors.transpose(0, 2, 1) + 0.2 * np.eye(dim)
    return full, full


@pytest.mark.parametrize("form", ["isotropic", "diagonal", "full"])
@pytest.mark.parametrize("dim", [1, 2, 7])
def test_mixture_and_noised_mixture_agree_with_scipy(x64, form, dim):
    weights, alpha, sigma = np.array([0.2, 0.5, 0.3]), 0.6, 0.4
    given, full = covariances(form, 3, dim)
    means = np.random.default_rng(0).normal(size=(3, dim))
    x = np.random.default_rng(1).normal(size=dim)
    density = GaussianMixture(weights, means, given)
    noisy = alpha**2 * full + sigma**2 * np.eye(dim)

    def reference(means, matrices):
        pairs = zip(means, matrices, strict=True)
        return logsumexp([multivariate_normal(m, c).logpdf(x) for m, c in pairs], b=weights)

    log_density = eqx.filter_jit(lambda law, x: law.log_density(x))
    x = jnp.asarray(x)
    np.testing.assert_allclose(log_density(density, x), reference(means, full), rtol=1e-12)
    noised = density.noised(alpha, sigma)
    np.testing.assert_allclose(log_density(noised, x), reference(alpha * means, noisy), rtol=1e-12)
    np.testing.assert_allclose(noised.moments()[1].trace(), _trace(weights, alpha * means, noisy))


def _trace(weights, means, matrices):
    mean = weights @ means
    inside = weights @ np.trace(matrices, axis1=1, axis2=2)
    return inside + weights @ np.square(means - mean).sum(axis=1)


@pytest.mark.parametrize("form", ["isotropic", "diagonal", "full"])
def test_gaussian_is_the_mixture_with_one_component(x64, form):
    given, full = covariances(form, 1, 3)
    mean, x = np.array([0.1, 0.2, -0.7]), jnp.array([0.5, -0.5, 1.0])
    density = Gaussian(mean, given[0]).noised(0.7, 0.2)
    mixture = GaussianMixture([1.0], mean[None], given).noised(0.7, 0.2)
    np.testing.assert_allclose(density.log_density(x), mixture.log_density(x), rtol=1e-12)
    np.testing.assert_allclose(density.moments()[1], 0.49 * full[0] + 0.04 * np.eye(3), rtol=1e-12)


def test_isotropic_takes_a_standard_deviation():
    np.testing.assert_allclose(isotropic([1.0, 2.0], 3.0).moments()[1], 9.0 * np.eye(2))


@pytest.mark.parametrize("dim", [2, 5])
def test_samples_have_the_exact_moments(key, dim):
    n, density = 40_000, mixture20(dim=dim)
    points = jax.jit(lambda key: density.sample(n, key=key))(key)
    mean, covariance = density.moments()
    centred = np.asarray(points - mean[None, :])
    assert np.all(abs(centred.mean(axis=0)) < 4 * np.sqrt(np.diag(covariance) / n))
    products = centred[:, :, None] * centred[:, None, :]
    assert np.all(abs(products.mean(axis=0) - covariance) < 4 * products.std(axis=0) / np.sqrt(n))


def test_gaussian_samples_have_its_moments(key):
    # In three dimensions, because the eigenvectors of a 2 x 2 matrix may form a symmetric one.
    covariance = np.array([[2.0, -0.8, 0.5], [-0.8, 0.5, 0.1], [0.5, 0.1, 1.0]])
    n, density = 40_000, Gaussian([1.0, 2.0, 3.0], covariance)
    points = np.asarray(density.sample(n, key=key)) - [1.0, 2.0, 3.0]
    products = points[:, :, None] * points[:, None, :]
    assert np.all(abs(points.mean(axis=0)) < 4 * np.sqrt(np.diag(covariance) / n))
    assert np.all(abs(products.mean(axis=0) - covariance) < 4 * products.std(axis=0) / np.sqrt(n))


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_particles_of_a_mixture_integrate_polynomials_exactly(x64, dim):
    density = mixture20(dim=dim)
    mean, covariance = density.moments()
    second = expectation(density, lambda x: x[:, None] * x[None, :])
    np.testing.assert_allclose(second, covariance + mean[:, None] * mean[None, :], rtol=1e-10)
    # E exp(a . x) of a mixture is sum_k w_k exp(a . m_k + a' C_k a / 2).
    a = jnp.full(dim, 0.5)
    exponents = density.means @ a + 0.5 * jax.vmap(
        lambda covariance: a @ covariance.matrix(dim) @ a
    )(density.covariances)
    exact = jnp.exp(density.log_weights) @ jnp.exp(exponents)
    np.testing.assert_allclose(expectation(density, lambda x: jnp.exp(a @ x)), exact, rtol=1e-8)


@pytest.mark.parametrize("sigma", [1e-3, 1e-1, 10.0])
def test_float32_scores_match_float64_near_and_far(sigma):
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(size=(20, 2)), rng.normal(size=(20, 2)) * 300.0])
    points = points.astype(np.float32)
    single = _values_and_scores(points, sigma)
    with jax.enable_x64(True):
        double = _values_and_scores(points.astype(np.float64), sigma)
    np.testing.assert_allclose(single[0], double[0], rtol=2e-6)
    scale = np.linalg.norm(double[1], axis=1, keepdims=True) + 1.0
    assert np.max(abs(single[1] - double[1]) / scale) < 1e-3


def _values_and_scores(points, sigma):
    density = mixture20(seed=3).noised(1.0, sigma)
    values = jax.jit(jax.vmap(lambda x: (density.log_density(x), score(density)(x))))(points)
    return [np.asarray(value, np.float64) for value in values]


def test_a_zero_weight_leaves_gradients_finite():
    density = GaussianMixture([0.0, 1.0], [[0.0], [1.0]], [1.0, 1.0])
    x = jnp.array([0.5])
    value, curvature = jax.jit(
        lambda x: (density.log_density(x), jax.hessian(density.log_density)(x))
    )(x)
    np.testing.assert_allclose(value, Gaussian([1.0]).log_density(x), rtol=1e-6)
    np.testing.assert_allclose(curvature, [[-1.0]], rtol=1e-6)


def test_noise_level_and_parameters_may_be_traced():
    x = jnp.array([0.3, -0.2])
    density = mixture20()

    def in_alpha(alpha):
        return density.noised(alpha, jnp.sqrt(1.0 - alpha**2)).log_density(x)

    derivative = jax.jit(jax.vmap(jax.grad(in_alpha)))(jnp.array([0.3, 0.6]))
    step = 1e-2
    expected = [(in_alpha(a + step) - in_alpha(a - step)) / (2 * step) for a in (0.3, 0.6)]
    np.testing.assert_allclose(derivative, expected, rtol=2e-2)

    def of_parameters(mean, variance):
        return Gaussian(mean, variance).log_density(x)

    gradient = jax.jit(jax.grad(of_parameters))(jnp.zeros(2), jnp.asarray(2.0))
    np.testing.assert_allclose(gradient, x / 2.0, rtol=1e-6)


@pytest.mark.parametrize("start", [(1.0, 1.0, 1.0), (1.0, 2.0, 1.0)], ids=["all", "two"])
def test_derivatives_where_eigenvalues_meet(x64, start):
    """A matrix that varies: derivatives of three orders against those of the Cholesky factor."""
    change = jnp.array([[0.3, 0.5, 0.1], [0.5, -0.1, 0.2], [0.1, 0.2, 0.4]])
    matrix = lambda h: jnp.diag(jnp.array(start)) + h * change + h**2 * (change @ change)
    x, mean = jnp.array([1.0, 2.0, -0.3]), lambda h: jnp.sin(h) * jnp.array([0.1, 0.2, 0.3])
    ends = lambda law, h: law(mean(h), matrix(h)).noised(0.7 + h, 0.4).log_density(x)

    def blend(law, h):
        if law is Gaussian:
            pair = jnp.stack([matrix(h), matrix(2 * h)])
            return GaussianMixture([0.4, 0.6], jnp.zeros((2, 3)), pair).log_density(x)
        logs = [law(jnp.zeros(3), matrix(s * h)).log_density(x) for s in (1, 2)]
        return jnp.logaddexp(jnp.log(0.4) + logs[0], jnp.log(0.6) + logs[1])

    def orders(law):
        of = lambda h: jnp.stack([ends(law, h), blend(law, h)])
        first, second = jax.jacfwd(of), jax.jacfwd(jax.jacfwd(of))
        reverse = jax.grad(jax.grad(jax.grad(lambda h: jnp.sum(of(h)))))
        bend = lambda h: jax.hessian(law(mean(h), matrix(h)).log_density)(x)
        return jax.jit(lambda h: (of(h), first(h), second(h), reverse(h), jax.jacfwd(bend)(h)))(0.0)

    for found, exact in zip(orders(Gaussian), orders(CholeskyGaussian), strict=True):
        np.testing.assert_allclose(found, exact, rtol=1e-9, atol=1e-12)


def test_paths_through_samples_where_eigenvalues_meet(x64):
    """C = F F' for the factor of samples, and so for its derivatives; C itself as moments."""
    change = jnp.array([[0.3, 0.5], [0.5, -0.1]])
    matrix = lambda h: jnp.eye(2) + h * change + h**2 * jnp.eye(2)

    def both(h):
        law = Gaussian(jnp.zeros(2), matrix(h))
        factor = jax.vmap(law.covariance.colour)(jnp.eye(2)).T
        return factor @ factor.T, law.moments()[1], matrix(h)

    for of in (both, jax.jacfwd(both), jax.jacfwd(jax.jacrev(both))):
        squared, moments, exact = of(0.0)
        np.testing.assert_allclose(squared, exact, atol=1e-12)
        np.testing.assert_allclose(moments, exact, atol=1e-12)


def test_mixture20_is_seeded():
    assert mixture20(1, 3).means.shape == (20, 3)
    np.testing.assert_array_equal(mixture20(1, 3).means, mixture20(1, 3).means)
    assert not np.allclose(mixture20(1, 3).means, mixture20(2, 3).means)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((2, 2)), 1.0), r"mean of shape \(2, 2\), expected \[dim\]: pass a vector"),
        ((np.zeros(2), np.ones((2, 3))), r"`Gaussian` got covariances of shape .*pass variances"),
        ((np.zeros(2), [1.0, -1.0]), "eigenvalue -1, expected positive ones: add a small"),
        ((np.zeros(2), [[1.0, 2.0], [2.0, 1.0]]), "eigenvalue -1, expected positive ones"),
        ((np.zeros(2), [[1.0, 0.5], [0.0, 1.0]]), r"asymmetric .* pass \(C \+ C.T\) / 2"),
        ((np.zeros(2), np.nan), "eigenvalue nan"),
    ],
)
def test_gaussian_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        Gaussian(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5, 0.6], np.zeros((2, 1)), [1.0, 1.0]), "sum 1.1 .* divide them by their sum"),
        (([1.5, -0.5], np.zeros((2, 1)), [1.0, 1.0]), "minimum -0.5"),
        (([0.5, 0.5], np.zeros((3, 1)), np.ones(3)), "pass one weight for each mean"),
        (([0.5, 0.5], np.zeros((2, 1)), np.ones(3)), "`GaussianMixture` got covariances of shape"),
    ],
)
def test_mixture_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixture(*arguments)
