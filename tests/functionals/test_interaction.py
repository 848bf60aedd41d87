"""Interactions on a lattice: by Fourier transform as one by one, and against exact integrals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities import Gaussian, cell_masses, nodal
from mfgen.functionals import CrowdAversion, Pairwise
from mfgen.math import Lattice

pytestmark = pytest.mark.usefixtures("x64")


def bump(z):
    return jnp.exp(-0.5 * z @ z / 0.3)


@pytest.mark.parametrize("box", [(-3.0, 3.0), ((-3.0, 3.0), (-2.0, 2.0))])
def test_convolution_is_the_sum_over_cells(box):
    lattice = Lattice(box, 24)
    rho = nodal(
        lattice,
        jnp.asarray(np.random.default_rng(0).dirichlet(np.ones(24**lattice.dim))).reshape(
            lattice.points
        ),
    )
    nodes = jnp.asarray(lattice.nodes()).reshape(-1, lattice.dim)
    one_by_one = jax.vmap(lambda x: Pairwise(bump).variation(rho, x))(nodes)
    together = Pairwise(bump).on_lattice(rho)
    np.testing.assert_allclose(together.ravel(), one_by_one, atol=1e-12)


def test_convolution_on_a_circle_goes_the_shorter_way():
    lattice = Lattice((0.0, 1.0), 32, "periodic")
    mass = jnp.zeros(32).at[1].set(1.0)
    found = Pairwise(lambda z: z @ z).on_lattice(nodal(lattice, mass))
    away = (np.arange(32) - 1) / 32
    np.testing.assert_allclose(found, np.minimum(away % 1, -away % 1) ** 2, atol=1e-12)


def test_values_of_gaussians_are_the_exact_integrals():
    """int N(0, s)^2 = 1 / sqrt(4 pi s), and E k(X - Y) for Gaussian k by the sum of variances."""
    rho = Gaussian(jnp.zeros(1), 0.4)
    crowd = CrowdAversion(2.0).value(rho)
    np.testing.assert_allclose(crowd, 0.5 / np.sqrt(4 * np.pi * 0.4), rtol=1e-10)
    pairs = Pairwise(bump).value(rho)
    np.testing.assert_allclose(pairs, 0.5 * np.sqrt(0.3 / (0.3 + 2 * 0.4)), rtol=1e-10)


def test_masses_of_cells():
    lattice = Lattice((-6.0, 6.0), 200)
    mass, cut = cell_masses(lattice, Gaussian(jnp.ones(1), 0.5))
    x = lattice.nodes()[:, 0]
    assert abs(cut) < 1e-9
    np.testing.assert_allclose([mass @ x, mass @ (x - 1) ** 2], [1, 0.5], atol=1e-8)
