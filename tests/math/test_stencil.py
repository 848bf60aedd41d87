"""The generator on a lattice: transposes, mass, positivity and order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.math import Lattice, _stencil

pytestmark = pytest.mark.usefixtures("x64")

LATTICES = {
    "line": Lattice((-1.0, 2.0), 12),
    "circle": Lattice((0.0, 1.0), 12, "periodic"),
    "square": Lattice(((-1.0, 2.0), (0.0, 1.0)), (9, 8)),
    "torus": Lattice(((-1.0, 2.0), (0.0, 1.0)), (9, 8), "periodic"),
}


def hops(lattice, diffusivity=0.3):
    drift = 4 * np.random.default_rng(0).normal(size=(*lattice.points, lattice.dim))
    return _stencil.rates(lattice, jnp.asarray(drift), jnp.asarray(diffusivity))


def matrix(linear, lattice):
    basis = jnp.eye(int(np.prod(lattice.points))).reshape(-1, *lattice.points)
    return np.asarray(jax.vmap(linear)(basis)).reshape(len(basis), -1).T


@pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES)
def test_rates_are_those_of_a_markov_chain(lattice):
    generator = matrix(lambda u: _stencil.generator(hops(lattice), u), lattice)
    np.testing.assert_allclose(generator.sum(axis=1), 0, atol=1e-11)
    assert (generator - np.diag(np.diag(generator)) >= 0).all()


@pytest.mark.parametrize("theta", [0.5, 1.0])
@pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES)
def test_steps_are_exact_transposes(lattice, theta):
    """Densities move by the transpose of what moves values, to rounding, and keep their mass."""
    rates, tau = hops(lattice), 0.02
    backward = matrix(lambda u: _stencil.step(lattice, rates, u, tau, theta), lattice)
    forward = matrix(
        lambda mass: _stencil.step_transposed(lattice, rates, mass, tau, theta), lattice
    )
    np.testing.assert_allclose(forward, backward.T, atol=1e-13)
    np.testing.assert_allclose(forward.sum(axis=0), 1, atol=1e-13)


@pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES)
def test_implicit_steps_keep_densities_positive_at_any_length(lattice):
    rates = hops(lattice, diffusivity=3.0)
    forward = matrix(lambda m: _stencil.step_transposed(lattice, rates, m, 5.0, 1.0), lattice)
    assert (forward > 0).all()


@pytest.mark.parametrize("name", ["line", "torus"])
def test_one_step_is_the_exponential_to_second_order(name):
    lattice = LATTICES[name]
    rates = hops(lattice)
    generator = matrix(lambda u: _stencil.generator(rates, u), lattice)
    errors = []
    for tau in (2e-3, 1e-3):
        backward = matrix(lambda u, tau=tau: _stencil.step(lattice, rates, u, tau, 0.5), lattice)
        errors.append(np.abs(backward - np.asarray(jax.scipy.linalg.expm(tau * generator))).max())
    assert 2.7 < np.log2(errors[0] / errors[1]) < 3.3  # the error of one step is third order


@pytest.mark.parametrize("boundary", ["no-flux", "periodic"])
def test_generator_is_second_order(boundary):
    """b u' + nu u'' for a function that fits the walls."""
    errors = []
    for points in (40, 80):
        lattice = Lattice(((0.0, 1.0), (0.0, 2.0)), points, boundary)
        x, y = np.moveaxis(lattice.nodes(), -1, 0)
        wave = lambda z, length: np.cos(2 * np.pi * z / length)
        slope = lambda z, length: -2 * np.pi / length * np.sin(2 * np.pi * z / length)
        u = wave(x, 1) * wave(y, 2)
        b = np.stack([np.sin(3 * x + y), np.cos(x * y)], -1)
        laplacian = -((2 * np.pi) ** 2) * (1 + 0.25) * u
        exact = b[..., 0] * slope(x, 1) * wave(y, 2) + b[..., 1] * wave(x, 1) * slope(y, 2)
        rates = _stencil.rates(lattice, jnp.asarray(b), jnp.asarray(0.5))
        found = _stencil.generator(rates, jnp.asarray(u))
        errors.append(np.abs(np.asarray(found) - exact - 0.5 * laplacian).max())
    assert np.log2(errors[0] / errors[1]) > 1.9


def test_central_gradient_and_generator_agree():
    """A u = b D u + nu D+ D- u with the central difference D, at walls too."""
    lattice = LATTICES["line"]
    u, b = np.random.default_rng(1).normal(size=(2, 12))
    rates = _stencil.rates(lattice, jnp.asarray(b)[:, None], jnp.asarray(0.3))
    backward, central, forward = _stencil.gradients(lattice, jnp.asarray(u))
    h = lattice.spacing[0]
    expected = b * central[:, 0] + 0.3 * (forward - backward)[:, 0] / h
    np.testing.assert_allclose(_stencil.generator(rates, jnp.asarray(u)), expected, atol=1e-12)
