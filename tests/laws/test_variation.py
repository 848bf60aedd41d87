"""The first variation of every functional is the derivative of its value.

    d/dh F((1 - h) rho + h mu) = E_mu[dF/drho] - E_rho[dF/drho]      at h = 0

Mixtures of Gaussian mixtures are Gaussian mixtures, so the left side is computed by central
differences in h: with the step 1e-4 their error is of order 1e-8, rounding of order 1e-12.
"""

import functools

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tables import FUNCTIONALS

import mfgen as mg
from mfgen.densities import GaussianMixture, nodal
from mfgen.densities._base import expectation
from mfgen.math import Lattice

pytestmark = pytest.mark.usefixtures("x64")
STEP = 1e-4


def mixture(h, shift):
    """(1 - h) rho + h mu, with mu moved by `shift`."""
    means = jnp.array([0.0, 1.0, 0.2 + shift, shift - 0.4])[:, None]
    weights = jnp.concatenate([(1 - h) * jnp.array([0.6, 0.4]), h * jnp.array([0.3, 0.7])])
    return GaussianMixture(weights, means, jnp.array([0.5, 0.7, 0.6, 0.9]))


@functools.cache
def both_sides(name):
    functional = FUNCTIONALS[name]()

    @jax.jit
    def sides(h, shift):
        value = lambda h: functional.value(mixture(h, shift))
        rho = mixture(h, shift)
        integral = lambda law: expectation(law, lambda x: functional.variation(rho, x))
        slope = (value(h + STEP) - value(h - STEP)) / (2 * STEP)
        return slope, integral(mixture(1.0, shift)) - integral(mixture(0.0, shift))

    return sides


@pytest.mark.parametrize("name", FUNCTIONALS)
@given(st.floats(0.2, 0.8), st.floats(-1, 1))
def test_variation_is_the_derivative_of_the_value(name, h, shift):
    slope, difference = both_sides(name)(h, shift)
    assert jnp.allclose(slope, difference, rtol=1e-6, atol=1e-7)


class OfValue(mg.functionals.AbstractFunctional):
    """A functional of which only the value is told."""

    known: mg.functionals.AbstractFunctional

    def value(self, rho):
        return self.known.value(rho)


# What evaluates the population where the target has particles has no variation at a particle.
ELSEWHERE = {"ForwardKL"}
BY_VALUE = [name for name in FUNCTIONALS if name not in ELSEWHERE]


@pytest.mark.parametrize("name", BY_VALUE)
def test_the_value_alone_gives_the_variation(name):
    """By differentiation: the given one, up to a number, at particles and between them."""
    functional, rho = FUNCTIONALS[name](), mixture(0.4, 0.3)
    points = jnp.array([[-1.3], [0.2], [0.9], [float(rho.particles()[0][7, 0])]])
    found, given = jax.jit(
        lambda points: [
            jax.vmap(lambda x, f=f: f.variation(rho, x))(points)
            for f in (OfValue(functional), functional)
        ]
    )(points)
    gap = found - given
    assert jnp.allclose(gap, gap[0], rtol=1e-6, atol=1e-6 * (1 + jnp.max(jnp.abs(given))))


@pytest.mark.parametrize("name", sorted(ELSEWHERE))
def test_a_value_that_looks_where_nobody_is_is_refused(name):
    rho = mixture(0.4, 0.3)
    with pytest.raises(TypeError, match="`OfValue` gives its value alone and evaluates"):
        OfValue(FUNCTIONALS[name]()).variation(rho, jnp.zeros(1))


LATTICE = Lattice((-4.0, 4.0), 64)


@pytest.mark.parametrize("name", ["Entropy", "Pairwise", "MeanAttraction", "MMD", "Sum"])
def test_on_a_lattice_too(name):
    functional = FUNCTIONALS[name]()
    mass = jnp.exp(-0.5 * (LATTICE.axes()[0] - 0.3) ** 2)
    rho = nodal(LATTICE, mass / mass.sum())
    gap = OfValue(functional).on_lattice(rho) - functional.on_lattice(rho)
    inside = mass > 1e-6
    assert jnp.max(jnp.abs(jnp.where(inside, gap - gap[32], 0.0))) < 1e-6


def test_gradients_of_the_variation_are_those_of_the_given_one():
    """grad dF/drho is what particles feel, whatever the constant."""
    rho, x = mixture(0.4, 0.3), jnp.array([0.37])
    for name in ("KL", "CrowdAversion", "Pairwise", "MeanTarget"):
        functional = FUNCTIONALS[name]()
        slopes = [
            jax.grad(lambda x, f=f: f.variation(rho, x))(x)
            for f in (OfValue(functional), functional)
        ]
        assert jnp.allclose(*slopes, rtol=1e-6, atol=1e-8), name


def test_a_functional_must_give_one_of_them():
    class Nothing(mg.functionals.AbstractFunctional):
        pass

    class Coupling(mg.functionals.AbstractFunctional):
        def variation(self, rho, x):
            return x @ x

    with pytest.raises(TypeError, match="`Nothing` gives neither"):
        Nothing()
    with pytest.raises(TypeError, match="`Coupling` has no value"):
        Coupling().value(mixture(0.4, 0.3))
    with pytest.raises(TypeError, match="got no population"):
        OfValue(FUNCTIONALS["Entropy"]()).variation(None, jnp.zeros(1))
