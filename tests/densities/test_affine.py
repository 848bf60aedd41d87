"""A density in other units, against Gaussians in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities import Affine, Gaussian
from mfgen.densities._pinwheel import Pinwheel

COVARIANCE = np.array([[2.0, 0.3], [0.3, 1.0]])


@pytest.mark.parametrize("scale", [np.array(-1.7), np.array([2.0, -0.5])])
def test_an_affine_gaussian_is_the_gaussian_of_the_new_units(x64, scale):
    shift, x = np.array([0.3, -1.0]), jnp.array([0.2, 0.9])
    density = Affine(Gaussian([1.0, 2.0], COVARIANCE), shift, scale)
    matrix = np.diag(np.broadcast_to(scale, 2))
    expected = Gaussian(shift + matrix @ [1.0, 2.0], matrix @ COVARIANCE @ matrix)
    np.testing.assert_allclose(density.log_density(x), expected.log_density(x), rtol=1e-12)
    for mine, reference in zip(density.moments(), expected.moments(), strict=True):
        np.testing.assert_allclose(mine, reference, rtol=1e-12)
    points, weights = density.particles()
    np.testing.assert_allclose(weights @ points, expected.mean, rtol=1e-12)


def test_noising_acts_in_the_new_units(x64):
    density = Affine(Gaussian([1.0, 2.0], COVARIANCE), [0.3, -1.0], -2.0).noised(0.6, 0.4)
    mean = 0.6 * np.array([0.3 - 2.0, -1.0 - 4.0])
    expected = Gaussian(mean, 0.36 * 4.0 * COVARIANCE + 0.16 * np.eye(2))
    x = jnp.array([0.2, 0.9])
    np.testing.assert_allclose(density.log_density(x), expected.log_density(x), rtol=1e-12)


def test_samples_are_moved_samples(key):
    inner = Gaussian([1.0, 2.0], COVARIANCE)
    moved = Affine(inner, 1.0, [2.0, 3.0]).sample(5, key=key)
    np.testing.assert_allclose(moved, 1.0 + inner.sample(5, key=key) * jnp.array([[2.0, 3.0]]))


@pytest.mark.parametrize(
    "density", [Affine(Pinwheel(), 0.0, 2.0), Affine(Gaussian([0.0, 0.0]), 0.0, [1.0, 2.0])]
)
def test_noised_refuses_what_has_no_exact_noised_law(density):
    with pytest.raises(ValueError, match=r"`Affine.noised` got .* scale every coordinate alike"):
        density.noised(1.0, 1.0)


@pytest.mark.parametrize(
    ("shift", "scale", "message"),
    [
        (np.zeros(3), 1.0, r"`Affine` got a shift of shape \(3,\), expected \(\) or \(2,\)"),
        (0.0, np.ones((2, 2)), r"`Affine` got a scale of shape \(2, 2\)"),
        (0.0, [1.0, 0.0], "`Affine` got a zero scale"),
    ],
)
def test_affine_refuses(shift, scale, message):
    with pytest.raises(ValueError, match=message):
        Affine(Gaussian([0.0, 0.0]), shift, scale)


def test_scale_may_be_traced():
    x = jnp.array([0.2, 0.9])
    derivative = jax.jit(jax.grad(lambda s: Affine(Gaussian([0.0, 0.0]), 0.0, s).log_density(x)))
    # log N(x; 0, s^2 I): d/ds = |x|^2 / s^3 - 2 / s.
    np.testing.assert_allclose(derivative(2.0), (x @ x) / 8.0 - 1.0, rtol=1e-5)
