"""Entropic transport of Gaussians against its closed form (Bunne et al. 2022; MATH of bridges)."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from mfgen.densities import Empirical, Gaussian
from mfgen.functionals import NotConverged, SinkhornDivergence, Wasserstein2

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


def clouds(scale, offset, n=96, m=96, spread=1.0):
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(n, 2)) * spread + offset, rng.normal(size=(m, 2))
    with jax.enable_x64(False):
        laws = [Empirical(np.float32(scale * points)) for points in (x, y)]
    # The best coupling of n and m points is a permutation once both are repeated.
    n, m = np.lcm(n, m) // n, np.lcm(n, m) // m
    table = 0.5 * cdist(np.repeat(x, n, axis=0), np.repeat(y, m, axis=0), "sqeuclidean")
    return *laws, scale**2 * table[linear_sum_assignment(table)].mean()


@pytest.mark.parametrize(
    ("scale", "offset", "size", "spread"),
    [
        (0.01, 0.5, 96, 1.0),
        (1.0, 0.0, 96, 1.0),
        (100.0, 0.5, 96, 1.0),
        (1e4, 0.5, 96, 1.0),
        (1.0, 300.0, 96, 1.0),
        (1.0, 0.5, 96, 10.0),
        (1.0, 0.5, 96, 0.02),
        (100.0, 0.5, 48, 1.0),
    ],
)
def test_defaults_are_near_the_exact_assignment_in_any_units(scale, offset, size, spread):
    """In single precision; the entropy costs a part of the variance of the clouds."""
    x, y, exact = clouds(scale, offset, m=size, spread=spread)
    with jax.enable_x64(False):
        found = float(Wasserstein2(y).value(x))
        divergence = float(SinkhornDivergence(y).value(x))
    assert exact * (1 - 1e-3) < found < exact + 0.02 * scale**2 * 2
    assert divergence == pytest.approx(exact, rel=5e-3, abs=1e-3 * scale**2)


def test_a_plan_that_does_not_arrive_is_an_error():
    x, y, _ = clouds(1.0, 0.5)
    for functional in (Wasserstein2(y, 1e-3, iterations=20), SinkhornDivergence(y, iterations=3)):
        name = type(functional).__name__
        with pytest.raises(NotConverged, match=f"`{name}` got a plan that misses .* of the mass"):
            functional.value(x)
        with pytest.raises(RuntimeError, match=f"`{name}` got a plan that misses more of the mass"):
            jax.block_until_ready(jax.jit(lambda f=functional: f.variation(x, jnp.ones(2)))())


def test_a_cloud_at_one_place_is_reached_by_all():
    point = Empirical(jnp.full((5, 2), 3.0))
    x, _, _ = clouds(1.0, 0.5)
    mean = 0.5 * float(jnp.mean(jnp.sum((x.points - 3.0) ** 2, axis=1)))
    assert float(Wasserstein2(point).value(x)) == pytest.approx(mean, rel=1e-5)


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match=r"`Wasserstein2` got epsilon = 0\.0"):
        Wasserstein2(laws()[1], 0.0)
    with pytest.raises(TypeError, match="`SinkhornDivergence` got no population"):
        SinkhornDivergence(laws()[1]).value(None)


def test_a_plan_that_goes_round_under_large_steps_arrives():
    """Over-relaxed turns of these particles, from a training, circle at an error of .006."""
    points = jnp.asarray(np.load(Path(__file__).with_name("circling.npy")))
    target = Gaussian(jnp.zeros(2, jnp.float32), 1.0)
    assert jnp.isfinite(SinkhornDivergence(target).value(Empirical(points)))
