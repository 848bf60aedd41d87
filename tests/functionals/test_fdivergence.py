"""f-divergences of Gaussians against exact values, and against each other."""

import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities import Empirical, Gaussian, Unnormalised, cell_masses
from mfgen.densities._grid import grid_path
from mfgen.functionals import KL, Alpha, AlphaDivergence, ChiSquared, FDivergence, ForwardKL
from mfgen.math import Lattice

pytestmark = pytest.mark.usefixtures("x64")
MEAN, VARIANCE = 0.4, 0.7


def normal():
    return Gaussian(jnp.zeros(1), 1.0)


def moved():
    return Gaussian(jnp.array([MEAN]), jnp.array([VARIANCE]))


def place():
    return jnp.array([0.9])


def chernoff(order):
    """int rho^a pi^(1 - a) dx of N(m, v) and N(0, 1)."""
    mixed = order / VARIANCE + 1 - order
    exponent = -0.5 * MEAN**2 * order * (1 - order) / VARIANCE / mixed
    return VARIANCE ** (-order / 2) * mixed**-0.5 * np.exp(exponent)


@pytest.mark.parametrize("order", [2.0, 1.5, 0.7, 0.5, 0.3, -0.5])
def test_alpha_divergence_of_gaussians(order):
    exact = (chernoff(order) - 1) / (order * (order - 1))
    np.testing.assert_allclose(AlphaDivergence(normal(), order).value(moved()), exact, rtol=1e-6)


def test_the_members_meet():
    """a = 1 is KL, a = 0 is ForwardKL, a = 2 half of ChiSquared; variations up to a constant."""
    exact = 0.5 * (1 / VARIANCE + MEAN**2 / VARIANCE - 1 + np.log(VARIANCE))
    np.testing.assert_allclose(ForwardKL(normal()).value(moved()), exact, rtol=1e-10)
    for order, other, scale in ((1.0, KL, 1.0), (0.0, ForwardKL, 1.0), (2.0, ChiSquared, 0.5)):
        alpha, other = AlphaDivergence(normal(), order), scale * other(normal())
        np.testing.assert_allclose(alpha.value(moved()), other.value(moved()), rtol=1e-9)
        gaps = [
            alpha.variation(moved(), x) - other.variation(moved(), x) for x in (place(), -place())
        ]
        np.testing.assert_allclose(gaps[0], gaps[1], rtol=1e-10)


@pytest.mark.parametrize("over", ["target", "population"])
def test_any_generator(over):
    f = lambda r: jnp.square(jnp.sqrt(r) - 1)
    hellinger = FDivergence(f, normal(), over)
    np.testing.assert_allclose(hellinger.value(moved()), 2 - 2 * chernoff(0.5), rtol=1e-6)
    alike = AlphaDivergence(normal(), 0.5).variation(moved(), place())
    np.testing.assert_allclose(2 * hellinger.variation(moved(), place()), alike, rtol=1e-12)


def test_the_two_directions_are_each_other_exchanged():
    for order in (0.2, 1.3):
        there = AlphaDivergence(normal(), order).value(moved())
        back = AlphaDivergence(moved(), 1 - order).value(normal())
        np.testing.assert_allclose(there, back, rtol=1e-10)


def test_on_a_lattice_they_are_those_of_the_density():
    lattice = Lattice((-7.0, 7.0), 200)
    masses = np.stack([cell_masses(lattice, moved())[0]] * 6)
    rho = grid_path(lattice, np.linspace(0, 1, 6), masses, 5)(0.5)
    for divergence in (ChiSquared(normal()), AlphaDivergence(normal(), 0.3), ForwardKL(normal())):
        np.testing.assert_allclose(divergence.value(rho), divergence.value(moved()), rtol=1e-4)
        found = divergence.variation(rho, place())
        np.testing.assert_allclose(found, divergence.variation(moved(), place()), rtol=1e-4)


def test_an_energy_without_samples_is_a_target_where_the_population_is_summed_over():
    energy = Unnormalised(lambda x: 0.5 * x @ x, 1, 0.5 * np.log(2 * np.pi))
    for kind in (ChiSquared, AlphaDivergence):
        np.testing.assert_allclose(
            kind(energy).value(moved()), kind(normal()).value(moved()), rtol=1e-12
        )


@pytest.mark.parametrize("name", ["ForwardKL", "ChiSquared", "AlphaDivergence", "FDivergence"])
def test_densities_without_a_logarithm_are_refused(name):
    kinds = {"ForwardKL": ForwardKL, "ChiSquared": ChiSquared, "AlphaDivergence": AlphaDivergence}
    build = kinds.get(name, lambda target: FDivergence(Alpha(2.0), target))
    points = Empirical(jnp.ones((3, 1)))
    with pytest.raises(TypeError, match=f"`{name}` got a population `Empirical` without a log"):
        build(normal()).value(points)
    with pytest.raises(TypeError, match=f"`{name}` got a target `Empirical` without a log"):
        build(points).variation(normal(), place())
    with pytest.raises(TypeError, match=f"`{name}` got no population"):
        build(normal()).variation(None, place())


def test_a_sum_over_neither_law_is_refused():
    with pytest.raises((TypeError, ValueError), match="both"):
        FDivergence(Alpha(2.0), normal(), "both")  # pyright: ignore[reportArgumentType]
