"""Densities on lattices: at kept times and between them, at jumps, on circles and off the box."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities import Empirical, Gaussian, GaussianMixture, cell_masses, nodal
from mfgen.densities._base import score
from mfgen.densities._grid import grid_path
from mfgen.math import Lattice

pytestmark = pytest.mark.usefixtures("x64")

LINE, PLANE = Lattice((-4.0, 5.0), 150), Lattice(((-4.0, 5.0), (-4.0, 4.0)), (60, 48))
TIMES = np.linspace(0.0, 1.0, 11)


def moved(t, dim, speed=1.0):
    """A normal law that is carried along the first axis and spreads along all."""
    mean = jnp.zeros(dim).at[0].set(speed * t)
    return Gaussian(mean, (0.09 + 0.25 * t) * jnp.ones(dim))


@eqx.filter_jit
def logs(law, places):
    return jax.vmap(law.log_density)(places)


def path(lattice, law, degree=5):
    masses = np.stack([cell_masses(lattice, law(t))[0] for t in TIMES])
    return grid_path(lattice, TIMES, masses, degree)


@pytest.mark.parametrize("lattice", [LINE, PLANE], ids=["line", "plane"])
def test_moments_between_kept_times(lattice):
    """Masses mixed linearly have the variance .1375 at t = .15 for .1275, with ten steps."""
    dim = lattice.dim
    found = path(lattice, lambda t: moved(t, dim))
    for t in (0.05, 0.15, 0.3, 0.55, 0.95):
        law = found(t)
        mean, covariance = law.moments()
        tolerance = 4e-4 if t == 0.05 else 1e-4
        np.testing.assert_allclose(mean, moved(t, dim).mean, atol=tolerance)
        np.testing.assert_allclose(covariance, (0.09 + 0.25 * t) * np.eye(dim), atol=tolerance)
        assert float(law.mass.sum()) == pytest.approx(1.0, abs=1e-12)
        assert float(law.mass.min()) >= 0
        # At the centres the two answers are one.
        index = tuple(n // 2 for n in lattice.points)
        at = jnp.asarray(lattice.nodes()[index])
        density = np.exp(float(law.log_density(at))) * lattice.volume
        assert density == pytest.approx(float(law.mass[index]), rel=1e-6)


def test_time_derivatives_between_and_at_kept_times():
    """d log rho / dt = z / s + (s'/2) (z^2 / s - 1) / s for N(t, s), of which z = x - t."""
    found = path(LINE, lambda t: moved(t, 1))
    slope = jax.jit(jax.vmap(jax.grad(lambda t, x: found(t).log_density(x)), (None, 0)))
    x = jnp.concatenate([jnp.linspace(-1.0, 2.0, 7)[:, None], jnp.asarray(LINE.nodes()[70:90:5])])
    for t in (0.3, 0.5, 0.57, 0.9):
        z, variance = x[:, 0] - t, 0.09 + 0.25 * t
        exact = z / variance + 0.125 * (z**2 / variance - 1) / variance
        np.testing.assert_allclose(slope(jnp.asarray(t), x), exact, atol=0.02)


def test_a_narrow_law_is_carried_by_more_than_its_width():
    found = path(LINE, lambda t: Gaussian(jnp.full(1, 2.5 * t), 0.15**2))
    for t in (0.05, 0.25, 0.78):
        mean, covariance = found(t).moments()
        assert float(mean[0]) == pytest.approx(2.5 * t, abs=1e-6)
        assert float(covariance[0, 0]) == pytest.approx(0.15**2, abs=1e-6)


def test_the_edge_of_a_support_makes_no_peak():
    """Uniform on an interval that moves: no density above that of the cells; mass one."""
    x = LINE.nodes()[:, 0]
    masses = np.stack([(np.abs(x - t) < 1.0).astype(float) for t in TIMES])
    masses[:, 20:22] = 1.0  # as narrow as cells can tell
    masses /= masses.sum(axis=1, keepdims=True)
    found = grid_path(LINE, TIMES, masses, 3)
    places = jnp.linspace(-4.0, 5.0, 1201)[:, None]
    for t in (0.0, 0.03, 0.1, 0.55, 1.0):
        law = found(t)
        heights = np.exp(np.asarray(logs(law, places)))
        assert heights.max() < np.exp(0.55) * float(law.mass.max()) / LINE.volume
        assert float(law.mass.sum()) == pytest.approx(1.0, abs=1e-12)
        # A jump lies somewhere in its cell.
        assert heights.mean() * 9.0 == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("make", ["path", "nodal"])
def test_no_density_beyond_the_walls(make):
    masses = cell_masses(LINE, moved(0.5, 1))[0]
    found = path(LINE, lambda t: moved(t, 1))(0.5)
    found = found if make == "path" else nodal(LINE, jnp.asarray(masses))
    assert found.log_density(jnp.array([-8.0])) == -np.inf
    beyond = [-4.001, 5.001, -8.0, 1e6, -1e30]
    places = jnp.array([*beyond, -4.0, 5.0, -3.99, *np.linspace(-20.0, 20.0, 8001)])[:, None]
    values = np.asarray(logs(found, places))
    assert np.all(values[:5] == -np.inf)
    assert np.isfinite(values[5:8]).all()
    assert np.exp(values[8:]).sum() * 0.005 == pytest.approx(1.0, abs=2e-3)
    assert np.isfinite(np.asarray(jax.jit(jax.vmap(score(found)))(places))).all()


def test_times_of_the_game_only():
    found = path(LINE, lambda t: moved(t, 1))
    log = jax.jit(lambda t: found(t).log_density(jnp.zeros(1)))
    for t in (-1.0, 2.0, -1e-3):
        with pytest.raises(ValueError, match="expected one from 0 to 1"):
            found(t)
        assert np.isnan(log(t))


def test_initial_laws_are_wrapped_around_a_circle(key):
    """A normal law at the seam is the sum of its images, by densities and by particles."""
    circle = Lattice((0.0, 2 * np.pi), 64, "periodic")
    law = Gaussian([0.2], 0.5)
    mass, cut = cell_masses(circle, law)
    x = circle.nodes()[:, 0]
    images = [np.exp(-((x - 0.2 + 2 * np.pi * k) ** 2)) for k in range(-4, 5)]
    exact = np.sum(images, axis=0) / np.sqrt(np.pi) * circle.volume
    np.testing.assert_allclose(mass, exact, atol=1e-9)
    assert abs(cut) < 1e-9
    drawn, cut = cell_masses(circle, Empirical(law.sample(20_000, key=key)))
    assert abs(cut) < 1e-5
    # The first trigonometric moment, e^(-1/4 + .2 i).
    wanted = np.exp(-0.25 + 0.2j)
    assert abs((mass * np.exp(1j * x)).sum() - wanted) < 1e-9
    assert abs((drawn * np.exp(1j * x)).sum() - wanted) < 4 * np.sqrt(0.5 / 20_000) + 2e-3
    found = nodal(circle, jnp.asarray(mass))
    turned = logs(found, 1.0 + 2 * np.pi * jnp.array([[-3.0], [0.0], [7.0]]))
    np.testing.assert_allclose(turned, turned[1], atol=1e-9)


def test_a_density_around_a_torus():
    torus = Lattice(((-1.0, 1.0), (0.0, 3.0)), (24, 30), "periodic")
    law = GaussianMixture([0.5, 0.5], [[0.9, 0.1], [40.0, 1.0]], [0.1, 0.2])
    mass, cut = cell_masses(torus, law)
    assert abs(cut) < 1e-6
    waves = np.exp(1j * (torus.nodes() @ np.array([np.pi, 2 * np.pi / 3])))
    frequency = np.array([np.pi, 2 * np.pi / 3])
    exact = sum(
        0.5 * np.exp(1j * frequency @ m - 0.5 * c * frequency @ frequency)
        for m, c in (([0.9, 0.1], 0.1), ([40.0, 1.0], 0.2))
    )
    assert abs((mass * waves).sum() - exact) < 1e-6


def test_particles_turned_back_by_walls():
    """Folding is reflection at the walls, and turning on a circle."""
    for x, there in ((-5.0, -3.0), (6.0, 4.0), (1.0, 1.0), (14.5, -3.5)):
        assert float(LINE.folded(jnp.array([x]))[0]) == pytest.approx(there)
    circle = Lattice((0.0, 1.0), 8, "periodic")
    assert float(circle.folded(jnp.array([-0.25]))[0]) == pytest.approx(0.75)
