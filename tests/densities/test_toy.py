"""Every toy target obeys the same laws: normalised, sampled as evaluated, noised as diffused."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities import Affine, _toy, mixture20

TARGETS = {
    "eight_gaussians": _toy.eight_gaussians,
    "checkerboard": _toy.checkerboard,
    "rings": _toy.rings,
    "moons": _toy.moons,
    "swissroll": _toy.swissroll,
    "spiral": _toy.spiral,
    "pinwheel": _toy.pinwheel,
    "mixture20": mixture20,
    "affine": lambda: Affine(_toy.moons(), [0.5, -0.3], -1.2),
}
NOISABLE = [name for name in TARGETS if name != "pinwheel"]
ALPHA, SIGMA = 0.6, 0.5

# Midpoints of a grid whose cells respect the squares of the checkerboard. With a spacing h and the
# smallest noise s = .08 of the targets the midpoint rule errs by 2 exp(-2 pi^2 (s / h)^2) = 2e-14.
STEP = 1 / 16
AXIS = np.arange(-8.0 + STEP / 2, 8.0, STEP, dtype=np.float32)


@functools.cache
def target(name):
    return TARGETS[name]()


@functools.cache
def masses(name, noised):
    density = target(name).noised(ALPHA, SIGMA) if noised else target(name)
    points = jnp.asarray(np.stack(np.meshgrid(AXIS, AXIS, indexing="ij"), axis=-1).reshape(-1, 2))
    log_density = jax.jit(lambda x: jax.lax.map(density.log_density, x, batch_size=1024))
    return points, np.exp(np.asarray(log_density(points), np.float64)) * STEP**2


@functools.cache
def evaluation(name):
    # Made outside: a density made while tracing would be kept with its tracers.
    density = target(name)

    def value_and_score(alpha, sigma, x):
        return jax.value_and_grad(density.noised(alpha, sigma).log_density)(x)

    return jax.jit(jax.vmap(value_and_score, in_axes=(None, None, 0)))


def features(x):
    a, b = x
    quadrant = jnp.where((a > 0.5) & (b > 0.1), 1.0, 0.0)
    waves = [jnp.sin(2 * a - b), jnp.cos(3 * a), jnp.cos(jnp.pi * b), jnp.cos(4 * (x @ x) ** 0.5)]
    return jnp.stack([a, b, a * a, a * b, b * b, quadrant, *waves])


FEATURES = jax.jit(jax.vmap(features))
CASES = [(name, False) for name in TARGETS] + [(name, True) for name in NOISABLE]


@pytest.mark.parametrize(("name", "noised"), CASES)
def test_density_integrates_to_one(name, noised):
    _, mass = masses(name, noised)
    np.testing.assert_allclose(mass.sum(), 1.0, rtol=1e-5)


@pytest.mark.parametrize(("name", "noised"), CASES)
def test_samples_follow_the_density(name, noised, key):
    n = 20_000
    points, mass = masses(name, noised)
    grid = np.asarray(FEATURES(points), np.float64)
    mean = mass @ grid
    deviation = np.sqrt(mass @ np.square(grid - mean))
    density = target(name)
    if noised:
        clean_key, noise_key = jax.random.split(key)
        noise = SIGMA * jax.random.normal(noise_key, (n, 2))
        batches = [ALPHA * density.sample(n, key=clean_key) + noise]
        batches.append(density.noised(ALPHA, SIGMA).sample(n, key=key))
    else:
        batches = [jax.jit(lambda key: density.sample(n, key=key))(key)]
    for batch in batches:
        observed = np.asarray(FEATURES(batch), np.float64).mean(axis=0)
        # STEP^2 bounds the error that the grid makes on the discontinuous feature.
        assert np.all(abs(observed - mean) < 4 * deviation / np.sqrt(n) + STEP**2)


@pytest.mark.parametrize(("name", "noised"), CASES)
def test_moments_agree_with_the_grid(name, noised):
    points, mass = masses(name, noised)
    points = np.asarray(points, np.float64)
    density = target(name).noised(ALPHA, SIGMA) if noised else target(name)
    mean, covariance = density.moments()
    np.testing.assert_allclose(mean, mass @ points, atol=1e-5)
    centred = points - mass @ points
    # For a law that is constant on each cell the midpoints miss the variance inside the cell.
    inside = STEP**2 / 12 if (name, noised) == ("checkerboard", False) else 0.0
    expected = (mass[:, None] * centred).T @ centred + inside * np.eye(2)
    np.testing.assert_allclose(covariance, expected, atol=2e-5)


@pytest.mark.parametrize("name", NOISABLE)
def test_noised_law_solves_the_fokker_planck_equation(x64, name):
    density = TARGETS[name]()

    def phi(alpha, sigma, y):
        return density.noised(alpha, sigma).log_density(y)

    def terms(s, y):
        alpha, sigma = jnp.exp(-0.5 * s), jnp.sqrt(1.0 - jnp.exp(-s))
        in_alpha, in_sigma, gradient = jax.grad(phi, (0, 1, 2))(alpha, sigma, y)
        diffusion = jnp.trace(jax.hessian(phi, 2)(alpha, sigma, y)) + gradient @ gradient
        # VP, beta = 1: d_s Phi = (y . grad Phi + d) / 2 + (Laplacian Phi + |grad Phi|^2) / 2 along
        # alpha = exp(-s / 2), sigma^2 = 1 - alpha^2.
        along = -0.5 * alpha * in_alpha + 0.5 * alpha**2 / sigma * in_sigma
        vp = along - 0.5 * (y @ gradient + 2) - 0.5 * diffusion
        # VE: d Phi / d (sigma^2) = (Laplacian Phi + |grad Phi|^2) / 2 at a fixed alpha.
        ve = in_sigma / (2.0 * sigma) - 0.5 * diffusion
        return vp, ve, diffusion

    y = jnp.array([[0.0, 0.0], [1.0, 1.0], [-2.3, 0.7], [0.3, 3.1], [-6.0, 5.0]])
    s = jnp.array([0.05, 0.2, 0.6, 2.0, 0.3])
    vp, ve, scale = jax.jit(jax.vmap(terms))(s, y)
    assert np.max(abs(vp) / (1.0 + abs(scale))) < 1e-10
    assert np.max(abs(ve) / (1.0 + abs(scale))) < 1e-10


@pytest.mark.parametrize("name", NOISABLE)
def test_noising_twice_is_noising_once(name):
    @jax.jit
    def once_and_twice(x):
        once = target(name).noised(0.3, np.hypot(0.5 * 0.4, 0.7))
        twice = target(name).noised(0.6, 0.4).noised(0.5, 0.7)
        return once.log_density(x), twice.log_density(x)

    np.testing.assert_allclose(*once_and_twice(jnp.array([0.4, -1.1])), rtol=1e-5)


@pytest.mark.parametrize("name", NOISABLE)
@pytest.mark.parametrize(("alpha", "sigma"), [(1.0, 1e-2), (0.0, 1.0), (1e-3, 1.0), (1.0, 80.0)])
def test_noised_law_is_finite_far_away_and_at_both_ends(name, alpha, sigma):
    points = jnp.array([[0.0, 0.0], [1.0, 1.0], [100.0, -300.0], [1e4, 1e4]])
    values, scores = evaluation(name)(alpha, sigma, points)
    assert np.isfinite(values).all()
    assert np.isfinite(scores).all()
    # Far from all mass the law looks like a Gaussian around its support, within 5 of the origin.
    floor = sigma**2 + (alpha * 1.0) ** 2
    assert np.all(np.sum(scores[2:] * points[2:], axis=1) < -(300.0**2) / (4 * floor))


@pytest.mark.parametrize("name", list(TARGETS))
def test_particles_integrate_like_the_density(name):
    points, mass = masses(name, False)
    particles, weights = target(name).particles()
    np.testing.assert_allclose(weights.sum(), 1.0, rtol=1e-5)
    grid = np.asarray(FEATURES(points), np.float64)[:, :5]
    mean = mass @ grid
    deviation = np.sqrt(mass @ np.square(grid - mean))
    observed = np.asarray(weights, np.float64) @ np.asarray(FEATURES(particles))[:, :5]
    # Where particles are a sample there are 4096 of them; quadrature is far more accurate.
    assert np.all(abs(observed - mean) < 4 * deviation / np.sqrt(4096) + STEP**2)


# E|X|^2 of each target: that of the curve or of the centres, and the noise of two coordinates.
SQUARES = {
    "eight_gaussians": (16.0 + 2 * 0.25) / 1.414**2,
    "checkerboard": 10.0 + 2 / 3,
    "rings": (0.75**2 + 1.5**2 + 2.25**2 + 3.0**2) / 4 + 2 * 0.08**2,
    # Half circles 2 (cos, sin) with their centres at (-1, -.2) and (1, .8); E sin = 2 / pi.
    "moons": 5.34 - 4 / math.pi + 2 * 0.2**2,
    # Radius 3 pi (1 + 2 tau) / 10 with tau uniform.
    "swissroll": 0.09 * math.pi**2 * 13 / 3 + 2 * 0.2**2,
    # Radius pi tau with tau of density 2 tau.
    "spiral": math.pi**2 / 2 + 2 * 0.15**2,
    "pinwheel": 2.0**2 + 0.6**2 + 0.2**2,
}


@pytest.mark.parametrize("name", SQUARES)
def test_targets_have_the_published_size(name):
    mean, covariance = getattr(_toy, name)().moments()
    square = jnp.trace(covariance) + mean @ mean
    np.testing.assert_allclose(square, SQUARES[name], rtol=1e-5)


def test_mixture20_deviations_are_log_uniform():
    """Between .2 and .8, half of them below .4."""
    laws = [mixture20(seed).covariances for seed in range(20)]
    deviations = np.sqrt(np.concatenate([law.variances.ravel() for law in laws]))
    assert deviations.min() > 0.2 - 1e-4
    assert deviations.max() < 0.8 + 1e-4
    assert abs(np.mean(deviations < 0.4) - 0.5) < 4 * 0.5 / np.sqrt(deviations.size)
