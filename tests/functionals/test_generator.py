"""Generators of f-divergences: their normalisation, and conjugates against a search."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.functionals import Alpha, Generator

pytestmark = pytest.mark.usefixtures("x64")
ORDERS = (3.0, 2.0, 1.5, 1.0, 0.5, 0.0, -1.0)


def supremum(f, slope):
    """sup_r { s r - f(r) } over ratios spaced so finely that the best misses it by 1e-8."""
    ratios = jnp.exp(jnp.linspace(-40.0, 12.0, 1_040_001))
    return jnp.max(slope * ratios - jax.vmap(f)(ratios))


@pytest.mark.parametrize("order", ORDERS)
def test_the_ratio_one_costs_nothing_and_bends_by_one(order):
    f, one = Alpha(order), jnp.asarray(1.0)
    assert float(f(one)) == float(f.slope(one)) == 0
    np.testing.assert_allclose(jax.grad(f.slope)(one), 1, rtol=1e-12)
    ratio = jnp.asarray(2.3)
    np.testing.assert_allclose(f.slope(ratio), jax.grad(f)(ratio), rtol=1e-12)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("slope", [-3.0, -0.7, 0.0, 0.4])
def test_conjugate_is_the_supremum(order, slope):
    f, slope = Alpha(order), jnp.asarray(slope)
    np.testing.assert_allclose(f.conjugate(slope), supremum(f, slope), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("order", ORDERS)
def test_the_slope_of_the_conjugate_is_the_ratio(order):
    f = Alpha(order)
    for ratio in jnp.array([0.3, 1.0, 1.7]):
        found = jax.grad(f.conjugate)(f.slope(ratio))
        np.testing.assert_allclose(found, ratio, rtol=1e-12)


def test_a_supremum_that_is_not_attained_is_infinite():
    for order, bound in ((0.5, 2.0), (0.0, 1.0), (-1.0, 0.5)):
        assert np.isinf(Alpha(order).conjugate(jnp.asarray(bound + 1e-3)))
        assert np.isfinite(Alpha(order).conjugate(jnp.asarray(bound - 1e-3)))


@pytest.mark.parametrize("slope", [-3.0, -0.5, 0.3])
def test_conjugates_are_computed_where_no_formula_is_given(slope):
    slope = jnp.asarray(slope)
    for f, exact in (
        (lambda r: r * jnp.log(r), jnp.exp(slope - 1)),
        (lambda r: jnp.square(r - 1), jnp.where(slope > -2, slope + slope**2 / 4, -1.0)),
    ):
        found = Generator(f)
        np.testing.assert_allclose(found.conjugate(slope), exact, rtol=1e-6, atol=1e-9)
        ratio = jnp.asarray(0.6)
        np.testing.assert_allclose(found.slope(ratio), jax.grad(f)(ratio))


def test_a_conjugate_that_is_infinite_is_found_to_be():
    found = Generator(lambda r: -jnp.log(r))
    assert np.isinf(found.conjugate(jnp.asarray(0.5)))
    np.testing.assert_allclose(found.conjugate(jnp.asarray(-0.5)), -1 - np.log(0.5), rtol=1e-8)
