"""Entropic transport of Gaussians against its closed form (Bunne et al. 2022; MATH of bridges)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.density.empirical import Empirical
from mfgen.density.gaussian import Gaussian
from mfgen.problem.transport import SinkhornDivergence, Wasserstein2

pytestmark = pytest.mark.usefixtures("x64")
EPSILON, MEANS, SCALES = 0.3, (0.4, -0.2), (0.7, 1.1)


def laws():
    return [Gaussian(jnp.array([m]), jnp.array([s**2])) for m, s in zip(MEANS, SCALES, strict=True)]


def covariance(s, r):
    """Of the two ends: (sqrt(4 s^2 r^2 + eps^2) - eps) / 2."""
    return 0.5 * (np.sqrt(4 * s**2 * r**2 + EPSILON**2) - EPSILON)


def cost(m, s, n, r):
    c = covariance(s, r)
    information = -0.5 * np.log(1 - (c / (s * r)) ** 2)
    return 0.5 * ((m - n) ** 2 + s**2 + r**2 - 2 * c) + EPSILON * information


def test_value_and_slope_of_gaussians():
    """grad phi(x) = x - T(x) with T the mean of the partner of x."""
    rho, pi = laws()
    transport = Wasserstein2(pi, EPSILON, tolerance=1e-8)
    exact = cost(MEANS[0], SCALES[0], MEANS[1], SCALES[1])
    np.testing.assert_allclose(transport.value(rho), exact, rtol=1e-6)
    x = jnp.array([0.9])
    partner = MEANS[1] + covariance(*SCALES) / SCALES[0] ** 2 * (x - MEANS[0])
    slope = jax.jit(jax.grad(lambda x: transport.variation(rho, x)))(x)
    np.testing.assert_allclose(slope, x - partner, rtol=1e-5)


def test_the_debiased_divergence_of_gaussians():
    rho, pi = laws()
    own = [cost(m, s, m, s) for m, s in zip(MEANS, SCALES, strict=True)]
    exact = cost(MEANS[0], SCALES[0], MEANS[1], SCALES[1]) - 0.5 * sum(own)
    divergence = SinkhornDivergence(pi, EPSILON, tolerance=1e-8)
    np.testing.assert_allclose(divergence.value(rho), exact, rtol=1e-5)
    np.testing.assert_allclose(divergence.value(pi), 0, atol=1e-7)


def test_particles_are_pulled_along_the_slope_of_the_variation(key):
    """The derivative of the value in a particle is its weight times that of the variation."""
    points = jax.random.normal(key, (12, 2))
    target = Empirical(jax.random.normal(jax.random.key(1), (15, 2)) + 1)
    transport = Wasserstein2(target, 0.2, tolerance=1e-9)
    pulled = jax.jit(jax.grad(lambda x: transport.value(Empirical(x))))(points)
    rho = Empirical(points)
    slopes = jax.jit(jax.vmap(jax.grad(lambda x: transport.variation(rho, x))))(points)
    np.testing.assert_allclose(12 * pulled, slopes, rtol=1e-6, atol=1e-9)


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match=r"`Wasserstein2` got epsilon = 0\.0"):
        Wasserstein2(laws()[1], 0.0)
    with pytest.raises(TypeError, match="`SinkhornDivergence` got no population"):
        SinkhornDivergence(laws()[1]).value(None)
