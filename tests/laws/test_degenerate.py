"""Where roots, powers and norms have no derivative of their own: at rest, and at one place.

A value, a gradient and second derivatives that are finite, and the right ones by symmetry.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tables import DEGENERATE, DIM, LAGRANGIANS

from mfgen.derive import hamiltonian
from mfgen.functionals import (
    AttractionRepulsion,
    DistanceKernel,
    GaussianKernel,
    InverseMultiquadric,
    Linear,
    MeanKernel,
)
from mfgen.games import MFG

KERNELS = {
    "Gaussian": (GaussianKernel(0.5), -4.0),
    "Mean": (MeanKernel((0.5, 1.0)), -2.5),
    "InverseMultiquadric": (InverseMultiquadric(0.5), -4.0),
    "Distance": (DistanceKernel(), None),
    "AttractionRepulsion": (AttractionRepulsion(), None),
    "AttractionRepulsion-smooth": (AttractionRepulsion(4.0, 2.0), -1.0),
    "AttractionRepulsion-power": (AttractionRepulsion(3.5, 2.5), 0.0),
}


def at_zero(f):
    """f, its gradient and its Hessian at zero, all finite."""
    found = jax.jit(lambda z: (f(z), jax.grad(f)(z), jax.hessian(f)(z)))(jnp.zeros(DIM))
    assert all(np.isfinite(np.asarray(part)).all() for part in found), found
    return found


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_of_points_at_one_place(name):
    kernel, curvature = KERNELS[name]
    _, gradient, hessian = at_zero(kernel)
    np.testing.assert_allclose(gradient, 0.0, atol=1e-12)
    if curvature is not None:
        np.testing.assert_allclose(hessian, curvature * np.eye(DIM), atol=1e-5)


@pytest.mark.parametrize("name", LAGRANGIANS | DEGENERATE)
def test_lagrangians_at_rest(name):
    row = (LAGRANGIANS | DEGENERATE)[name]
    lagrangian = row.build() if name in LAGRANGIANS else row()
    at_zero(lambda v: lagrangian(0.3, jnp.ones(DIM), v))


@pytest.mark.parametrize("name", LAGRANGIANS)
def test_hamiltonians_at_a_vanishing_costate(name):
    """H and its gradient -b*, against the formula written by hand, an instant beside zero."""
    row, x = LAGRANGIANS[name], jnp.full(DIM, 0.3)
    game = MFG(row.dynamics(), row.build(), Linear(jnp.sum))
    of = lambda p: hamiltonian(game, 0.3, x, p)
    value, slope = jax.jit(jax.value_and_grad(of))(jnp.zeros(DIM))
    beside = jnp.full(DIM, 1e-4)
    exact, near = jax.value_and_grad(lambda p: row.hamiltonian(0.3, x, p))(beside)
    np.testing.assert_allclose(value, exact, atol=1e-3)
    np.testing.assert_allclose(slope, near, atol=0.03)
