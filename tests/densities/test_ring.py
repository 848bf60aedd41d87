"""Rings against SciPy's scaled Bessel function, across the series used near and far."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ive, logsumexp

from mfgen.densities._ring import Rings


def reference(radii, noise, rho):
    rho = np.asarray(rho, np.float64)[:, None]
    radii = np.asarray(radii)[None, :]
    bessel = np.log(ive(0, rho * radii / noise**2))
    logs = bessel - np.square(rho - radii) / (2 * noise**2)
    return logsumexp(logs, axis=1) - np.log(2 * np.pi * noise**2 * radii.size)


@pytest.mark.parametrize("noise", [0.02, 0.3, 2.0])
def test_log_density_agrees_with_scipy(x64, noise):
    radii, rho = [0.5, 2.0], np.geomspace(1e-4, 50.0, 60)
    points = np.stack([rho * np.cos(1.0), rho * np.sin(1.0)], axis=1)
    values = jax.jit(jax.vmap(Rings(radii, noise).log_density))(points)
    np.testing.assert_allclose(values, reference(radii, noise, rho), rtol=1e-10, atol=1e-10)


def test_derivatives_at_the_centre_and_in_float32():
    density = Rings([1.0], 0.2)

    def terms(x):
        laplacian = jnp.trace(jax.hessian(density.log_density)(x))
        return jnp.append(jax.grad(density.log_density)(x), laplacian)

    points = np.array([[0.0, 0.0], [1e-3, 0.0], [0.05, 0.0], [0.7, 0.7], [5.0, -5.0]], np.float32)
    single = jax.jit(jax.vmap(terms))(points)
    with jax.enable_x64(True):
        density = Rings([1.0], 0.2)
        double = np.asarray(jax.jit(jax.vmap(terms))(points.astype(np.float64)))
    np.testing.assert_allclose(single, double, rtol=2e-4, atol=2e-3)
    # At the centre I0(z) = 1 + z^2 / 4 gives Laplacian = (r / s^2)^2 - 2 / s^2.
    np.testing.assert_allclose(double[0], [0.0, 0.0, 25.0**2 - 2 * 25.0], atol=1e-9)


def test_a_matrix_of_radii_is_refused():
    with pytest.raises(ValueError, match=r"`Rings` got radii of shape \(1, 2\).*pass a vector"):
        Rings([[1.0, 2.0]], 0.1)


def test_a_noise_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match=r"`Rings` got noise 0\.0, expected a positive number"):
        Rings([1.0], 0.0)
