"""Functionals: values in closed form, the algebra, and what is refused."""

import jax
import jax.numpy as jnp
import pytest

from mfgen.densities import Empirical, Gaussian
from mfgen.functionals import KL, CrossEntropy, Entropy, Linear, Zero

X = jnp.array([0.4, -1.0])


def gaussians():
    wide = jnp.array([[1.5, 0.3], [0.3, 0.8]])
    return Gaussian(jnp.array([0.5, 0.0]), jnp.array([0.4, 0.9])), Gaussian(jnp.zeros(2), wide)


def test_values_of_gaussians(x64):
    """Cross-entropy, entropy and divergence of Gaussians (T. Cover, J. Thomas 2006, chapter 8)."""
    rho, target = gaussians()
    (mean, covariance), (centre, wide) = rho.moments(), target.moments()
    inverse, offset = jnp.linalg.inv(wide), mean - centre
    spread = jnp.trace(inverse @ covariance) + offset @ inverse @ offset
    cross = 0.5 * (spread + jnp.linalg.slogdet(2 * jnp.pi * wide)[1])
    entropy = -0.5 * (2 + jnp.linalg.slogdet(2 * jnp.pi * covariance)[1])
    assert jnp.allclose(CrossEntropy(target).value(rho), cross, rtol=1e-10)
    assert jnp.allclose(Entropy().value(rho), entropy, rtol=1e-10)
    assert jnp.allclose(KL(target).value(rho), entropy + cross, rtol=1e-10)
    assert jnp.allclose(KL(target).value(target), 0, atol=1e-12)


def test_linear_value_on_samples():
    points = jnp.array([[1.0, 0.0], [3.0, 2.0]])
    assert jnp.allclose(Linear(lambda x: x[0]).value(Empirical(points)), 2.0)
    assert Zero().value(Empirical(points)) == 0


def test_constants_of_the_variations():
    """-log pi, log rho + 1, log rho - log pi + 1: the integrand's derivative."""
    rho, target = gaussians()
    log_rho, log_target = rho.log_density(X), target.log_density(X)
    assert jnp.allclose(CrossEntropy(target).variation(None, X), -log_target)
    assert jnp.allclose(Entropy().variation(rho, X), log_rho + 1)
    assert jnp.allclose(KL(target).variation(rho, X), log_rho - log_target + 1)


def test_functionals_add_and_scale():
    rho, target = gaussians()
    parts = KL(target), Linear(lambda x: x @ x)
    both = parts[0] + 0.5 * parts[1] + parts[1] * 2
    for get in (lambda f: f.value(rho), lambda f: f.variation(rho, X)):
        assert jnp.allclose(get(both), get(parts[0]) + 2.5 * get(parts[1]), rtol=1e-5)
    learnt = jax.grad(lambda scale: (scale * parts[1]).variation(rho, X))(1.0)
    assert jnp.allclose(learnt, X @ X)
    assert jnp.allclose((jnp.asarray(3.0) * parts[1]).variation(rho, X), 3 * X @ X)


@pytest.mark.parametrize("functional", [CrossEntropy, KL])
def test_target_known_by_samples_is_declared_but_not_evaluated(functional):
    rho, _ = gaussians()
    cost = functional(Empirical(jnp.zeros((3, 2))))
    for use in (lambda: cost.value(rho), lambda: cost.variation(rho, X)):
        with pytest.raises(TypeError, match=r"target `Empirical` without .*noised\(1.0, band"):
            use()


@pytest.mark.parametrize("functional", [Entropy(), KL(Gaussian(jnp.zeros(2)))])
def test_population_of_samples_has_no_entropy(functional):
    for use in (functional.value, lambda rho: functional.variation(rho, X)):
        with pytest.raises(TypeError, match="population `Empirical` without a log-density: pass"):
            use(Empirical(jnp.zeros((3, 2))))
        with pytest.raises(TypeError, match="got no population, expected a density: pass `rho`"):
            use(None)
