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

from mfgen.density.base import expectation
from mfgen.density.gaussian import GaussianMixture

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
