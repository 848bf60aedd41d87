"""Kernel energies against exact values, against other estimators, and their use of memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities import Empirical, Gaussian, cell_masses, nodal
from mfgen.functionals import (
    MMD,
    AttractionRepulsion,
    CrowdAversion,
    DistanceKernel,
    GaussianKernel,
    InverseMultiquadric,
    Pairwise,
    PorousMedium,
)
from mfgen.functionals import _kernel as kernel_module
from mfgen.functionals._kernel import kernel_mean, pair_mean
from mfgen.math import Lattice
from mfgen.metrics import energy_distance

pytestmark = pytest.mark.usefixtures("x64")


def moved():
    return Gaussian(jnp.array([0.5]), jnp.array([0.4]))


def normal():
    return Gaussian(jnp.zeros(1), 1.0)


def smooth(width, gap, variance):
    """E k(X - Y) for the Gaussian kernel and X - Y ~ N(gap, variance)."""
    total = width**2 + variance
    return width / np.sqrt(total) * np.exp(-0.5 * gap**2 / total)


def test_mmd_of_gaussians():
    """Half of the square, with the sign of the witness: high where there are too many."""
    mmd = MMD(normal(), GaussianKernel(0.8))
    exact = 0.5 * smooth(0.8, 0, 0.8) + 0.5 * smooth(0.8, 0, 2.0) - smooth(0.8, 0.5, 1.4)
    np.testing.assert_allclose(mmd.value(moved()), exact, rtol=1e-9)
    x = jnp.array([0.6])
    exact = smooth(0.8, 0.1, 0.4) - smooth(0.8, 0.6, 1.0)
    np.testing.assert_allclose(mmd.variation(moved(), x), exact, rtol=1e-9)
    assert mmd.variation(moved(), x) > 0 > mmd.variation(moved(), -x)


def test_mmd_of_samples_is_half_of_the_energy_distance(key):
    """The estimator of the metrics leaves out the pairs of a point with itself."""
    x, y = jax.random.normal(key, (2, 40, 2)) * jnp.array([1.0, 1.3])[:, None, None]
    value = MMD(Empirical(y), DistanceKernel()).value(Empirical(x))
    away = [np.linalg.norm(z[:, None] - z[None], axis=-1).sum() for z in (x, y)]
    difference = sum(away) * (1 / (40 * 39) - 1 / 1600)
    unbiased = float(energy_distance(x, y).value)
    np.testing.assert_allclose(2 * value, unbiased + difference, rtol=1e-9)


def test_mmd_is_zero_for_equal_samples_and_its_slope_too(key):
    points = jax.random.normal(key, (30, 2))
    mmd = MMD(Empirical(points), DistanceKernel())
    value, slope = jax.value_and_grad(lambda x: mmd.value(Empirical(x)))(points)
    np.testing.assert_allclose(value, 0, atol=1e-14)
    np.testing.assert_allclose(slope, 0, atol=1e-14)


def test_mmd_on_a_lattice_is_one_by_one():
    lattice = Lattice(((-5.0, 5.0), (-4.0, 4.0)), 24)
    rho = nodal(lattice, jnp.asarray(cell_masses(lattice, Gaussian(jnp.ones(2), 0.5))[0]))
    mmd = MMD(Gaussian(jnp.zeros(2), 1.0), InverseMultiquadric())
    nodes = jnp.asarray(lattice.nodes()).reshape(-1, 2)
    one_by_one = jax.vmap(lambda x: mmd.variation(rho, x))(nodes)
    np.testing.assert_allclose(mmd.on_lattice(rho).ravel(), one_by_one, atol=1e-12)


def test_the_mean_in_chunks_is_the_mean(key):
    """With a rest, and with its derivative."""
    points = jax.random.normal(key, (1201, 2))
    weights = jnp.linspace(0.1, 1.0, 1201) / 100
    x, kernel = jnp.array([0.2, -0.4]), InverseMultiquadric(0.7)
    plain = lambda x: weights @ jax.vmap(lambda y: kernel(x - y))(points)
    chunked = lambda x: kernel_mean(kernel, x, points, weights)
    for f, g in ((plain, chunked), (jax.grad(plain), jax.grad(chunked))):
        np.testing.assert_allclose(f(x), g(x), rtol=1e-12)
    both = pair_mean(kernel, (points, weights), (points[:700], weights[:700]))
    table = 1 / np.sqrt(1 + ((points[:, None] - points[None, :700]) ** 2).sum(-1) / 0.49)
    np.testing.assert_allclose(both, weights @ table @ weights[:700], rtol=1e-12)


def test_every_derivative_of_the_mean_at_every_border_of_the_chunks(monkeypatch):
    """Mapped over points and compiled together, beside the formulas of the Gaussian kernel."""
    monkeypatch.setattr(kernel_module, "_PARTICLES", 8)
    drawn = np.random.default_rng(0).normal(size=(28, 2))
    single, double, at = np.float32, np.float64, drawn[25:]
    clouds = [(8, double), (9, single), (16, double), (17, single)]

    def derivatives(size, dtype):
        cloud, xs = jnp.asarray(drawn[:size], dtype), jnp.asarray(at, dtype)
        weights = jnp.full(size, 1 / size, dtype)
        mean = lambda x: kernel_mean(GaussianKernel(1.0), x, cloud, weights)
        total = lambda xs: jnp.mean(jax.vmap(mean)(xs))
        forward = jax.jvp(jax.grad(total), (xs,), (jnp.ones_like(xs),))
        return jax.vmap(mean)(xs), *forward, jax.vmap(jax.hessian(mean))(xs)

    every = jax.jit(lambda: [derivatives(*cloud) for cloud in clouds])()
    for (size, dtype), found in zip(clouds, every, strict=True):
        z = at[:, None] - drawn[:size]
        k = np.exp(-0.5 * np.sum(z**2, -1)) / size
        hessian = np.einsum("ij,ija,ijb->iab", k, z, z) - np.sum(k, 1)[:, None, None] * np.eye(2)
        gradient = -np.einsum("ij,ija->ia", k, z) / 3
        exact = np.sum(k, 1), gradient, hessian.sum(-1) / 3, hessian
        for got, right in zip(found, exact, strict=True):
            assert got.dtype == dtype
            np.testing.assert_allclose(got, right, atol=2e-6 if dtype == single else 1e-13)


def test_ten_thousand_particles_fit_in_a_gigabyte():
    """Value, its gradient, and the velocities of all particles, in single precision."""
    points = jax.ShapeDtypeStruct((10_000, 3), jnp.float32)

    def value(x, y):
        mmd = MMD(Empirical(y), GaussianKernel(1.0))
        return mmd.value(Empirical(x))

    def velocity(x, y):
        mmd = MMD(Empirical(y), GaussianKernel(1.0))
        return jax.vmap(jax.grad(lambda z: mmd.variation(Empirical(x), z)))(x)

    for f in (jax.value_and_grad(value), velocity):
        memory = jax.jit(f).lower(points, points).compile().memory_analysis()
        assert memory is not None
        assert memory.temp_size_in_bytes < 2**30


def test_congestion_by_a_narrow_kernel_is_that_of_the_density():
    pairs = Pairwise(GaussianKernel(0.02, normalised=True))
    exact = CrowdAversion(2.0).value(moved())
    lattice = Lattice((-4.0, 5.0), 900)
    rho = nodal(lattice, jnp.asarray(cell_masses(lattice, moved())[0]))
    np.testing.assert_allclose(pairs.value(rho), exact, rtol=1e-3)


def test_attraction_and_repulsion_rest_at_distance_one():
    kernel = AttractionRepulsion(4.0, 1.0)
    push = jax.grad(kernel)
    np.testing.assert_allclose(push(jnp.array([0.6, 0.8])), 0, atol=1e-14)
    assert push(jnp.array([0.5, 0.0]))[0] < 0 < push(jnp.array([1.5, 0.0]))[0]
    np.testing.assert_array_equal(push(jnp.zeros(2)), 0)
    with pytest.raises(ValueError, match="`AttractionRepulsion` got attraction = 1"):
        AttractionRepulsion(1.0, 2.0)


@pytest.mark.parametrize("exponent", [0.7, 1.5, 2.0, 3.0])
def test_internal_energy_of_a_gaussian(exponent):
    exact = (2 * np.pi * 0.4) ** ((1 - exponent) / 2) / np.sqrt(exponent) / (exponent - 1)
    np.testing.assert_allclose(PorousMedium(exponent).value(moved()), exact, rtol=1e-6)
    if exponent > 1:
        crowd = exponent / (exponent - 1) * CrowdAversion(exponent)
        x = jnp.array([0.3])
        alike = PorousMedium(exponent).variation(moved(), x)
        np.testing.assert_allclose(alike, crowd.variation(moved(), x), rtol=1e-12)


@pytest.mark.parametrize(("exponent", "slope"), [(2.0, 1.3), (1.5, 0.4), (3.0, -1.0), (0.7, -2.0)])
def test_conjugate_of_internal_energy(exponent, slope):
    ratios = jnp.exp(jnp.linspace(-30.0, 10.0, 400_001))
    searched = jnp.max(slope * ratios - ratios**exponent / (exponent - 1))
    found = PorousMedium(exponent).conjugate(jnp.asarray(slope))
    np.testing.assert_allclose(found, searched, rtol=1e-7, atol=1e-7)


def test_the_limit_of_internal_energy_is_refused():
    with pytest.raises(ValueError, match=r"for the limit 1 take `Entropy\(\)`"):
        PorousMedium(1.0)
    with pytest.raises(TypeError, match="`PorousMedium` got a population `Empirical` without"):
        PorousMedium().value(Empirical(jnp.ones((3, 1))))
