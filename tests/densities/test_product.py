"""Products of laws: normalised and sampled as they are evaluated, noised factor by factor."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities import Gaussian, Product, _toy, mixture20, product_of_toys

STEP = 1 / 32
AXIS = np.arange(-4.0 + STEP / 2, 4.0, STEP, dtype=np.float32)
GRID = np.stack(np.meshgrid(AXIS, AXIS, indexing="ij"), axis=-1).reshape(-1, 2)


def densities(law, points):
    values = jax.jit(lambda x: jax.lax.map(law.log_density, x, batch_size=4096))(
        jnp.asarray(points)
    )
    return np.exp(np.asarray(values, np.float64))


@pytest.fixture(scope="module")
def plane():
    return product_of_toys(2)


def test_a_product_of_gaussians_is_a_gaussian(key):
    first, second = Gaussian([1.0, 0.0], [[1.0, 0.3], [0.3, 0.5]]), Gaussian([2.0], 0.3)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    product = Product((first, second), rotation)
    whole = Gaussian(*product.moments())
    x = jnp.array([0.3, 1.0, -0.4])
    assert product.log_density(x) == pytest.approx(float(whole.log_density(x)), rel=1e-4)
    noised = [law.noised(0.6, 0.5).log_density(x) for law in (product, whole)]
    np.testing.assert_allclose(*noised, rtol=1e-4)
    drawn = product.sample(20_000, key=key)
    np.testing.assert_allclose(drawn.mean(axis=0), whole.mean, atol=4 / np.sqrt(20_000))


def test_in_the_plane_it_is_normalised_and_sampled_as_evaluated(plane, key):
    mass = densities(plane, GRID) * STEP**2
    np.testing.assert_allclose(mass.sum(), 1.0, rtol=1e-4)
    features = lambda x: np.stack([np.cos(3 * x[:, 0]), np.sin(2 * x[:, 1] - x[:, 0])], axis=1)
    n, drawn = 20_000, np.asarray(plane.sample(20_000, key=key))
    mean = mass @ features(GRID)
    deviation = np.sqrt(mass @ (features(GRID) - mean) ** 2)
    assert np.all(abs(features(drawn).mean(axis=0) - mean) < 4 * deviation / np.sqrt(n) + 1e-3)


def test_noised_law_is_the_convolution(plane):
    """At a point of the plane, by the midpoint rule over the grid."""
    alpha, sigma = 0.8, 0.3
    mass = densities(plane, GRID) * STEP**2
    for y in ([0.2, -0.5], [1.1, 0.9]):
        squares = np.sum((np.array(y) - alpha * GRID.astype(np.float64)) ** 2, axis=1)
        expected = mass @ np.exp(-squares / (2 * sigma**2)) / (2 * np.pi * sigma**2)
        found = float(jnp.exp(plane.noised(alpha, sigma).log_density(jnp.array(y))))
        assert found == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("dim", [4, pytest.param(8, marks=pytest.mark.slow)])
def test_in_higher_dimension_factors_are_turned_and_independent(dim, key):
    law = product_of_toys(dim)
    x = law.sample(1000, key=key)
    assert x.shape == (1000, dim)
    values = jax.jit(jax.vmap(law.log_density))(x)
    assert jnp.all(jnp.isfinite(values))
    # The mean of -log rho is the sum of the entropies of the factors.
    parts = [factor.sample(20_000, key=key) for factor in law.factors]
    logs = [jax.vmap(f.log_density)(y) for f, y in zip(law.factors, parts, strict=True)]
    entropy = sum(float(log.mean()) for log in logs)
    assert abs(values.mean() - entropy) < 5 * values.std() / np.sqrt(1000)
    mean, covariance = law.moments()
    np.testing.assert_allclose(mean, np.zeros(dim), atol=1e-5)
    np.testing.assert_allclose(jnp.trace(covariance), dim, rtol=1e-5)
    # Between pairs of coordinates: the rotation mixes the factors.
    assert abs(np.asarray(law.rotation[:2, 2:])).max() > 0.1


@pytest.mark.slow
def test_noised_law_solves_the_fokker_planck_equation(x64):
    """d Phi / d (sigma^2) = (Laplacian Phi + |grad Phi|^2) / 2 at a fixed alpha."""
    law = product_of_toys(4)
    y = jax.random.normal(jax.random.key(3), (4,))
    phi = lambda sigma, y: law.noised(0.7, sigma).log_density(y)

    @jax.jit
    def sides(sigma, y):
        in_sigma, gradient = jax.grad(phi, (0, 1))(sigma, y)
        diffusion = jnp.trace(jax.hessian(phi, 1)(sigma, y)) + gradient @ gradient
        return in_sigma / (2 * sigma), diffusion

    along, diffusion = sides(0.4, y)
    np.testing.assert_allclose(along, 0.5 * diffusion, rtol=1e-8)


def test_rotations_are_seeded_and_proper():
    rotation = np.asarray(product_of_toys(4).rotation)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(4), atol=1e-5)
    np.testing.assert_array_equal(product_of_toys(4).rotation, rotation)
    assert not np.allclose(product_of_toys(4, seed=1).rotation, rotation)


def test_particles_are_a_sample(plane):
    points, weights = plane.particles()
    assert points.shape == (4096, 2)
    np.testing.assert_allclose(weights.sum(), 1.0, rtol=1e-5)


def test_bad_input_is_refused():
    for dim in (0, 3):
        with pytest.raises(ValueError, match=f"got dim = {dim}, expected an even number"):
            product_of_toys(dim)
    with pytest.raises(ValueError, match="pass some laws"):
        Product(())
    with pytest.raises(ValueError, match=r"rotation of shape \(3, 3\), expected \(2, 2\)"):
        Product((_toy.rings(),), np.eye(3))
    with pytest.raises(ValueError, match="expected an orthogonal matrix"):
        Product((_toy.rings(),), 2 * np.eye(2))
    with pytest.raises(ValueError, match="`Pinwheel`, expected ones that can be noised"):
        Product((mixture20(), _toy.pinwheel())).noised(1.0, 0.1)
