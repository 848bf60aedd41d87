"""Duals of divergences at critics that are known to be the best."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities import Empirical, Gaussian
from mfgen.functionals import Alpha, AlphaDivergence, Generator, LipschitzDivergence, Wasserstein1

pytestmark = pytest.mark.usefixtures("x64")
SHIFT = 0.7


def normal():
    return Gaussian(jnp.zeros(1), 1.0)


def moved():
    """At a distance from the normal law, narrower, so that all divergences are finite."""
    return Gaussian(jnp.array([SHIFT]), jnp.array([0.8]))


def ramp(slope):
    return lambda x: slope * x[0] + 3.0


@pytest.mark.parametrize("order", [2.0, 1.5, 1.0])
def test_the_dual_at_the_best_critic_is_the_divergence(order):
    """At g = f'(rho / pi), whatever constant is added; and less at any other."""
    exact = AlphaDivergence(normal(), order)
    best = lambda x: exact.variation(moved(), x) + 5.0
    value = LipschitzDivergence(best, normal(), Alpha(order)).value(moved())
    np.testing.assert_allclose(value, exact.value(moved()), rtol=1e-6)
    for other in (lambda x: 0.9 * best(x), lambda x: best(x) + 0.1 * jnp.sin(x[0])):
        assert LipschitzDivergence(other, normal(), Alpha(order)).value(moved()) < value


@pytest.mark.parametrize("slope", [0.2, 0.5])
def test_the_bound_on_the_slope_splits_the_distance(slope):
    """KL of unit Gaussians at distance m: the best critic is a ramp, and D = L m - L^2 / 2.

    That is L (m - L) for the way to N(L, 1), and L^2 / 2 for the divergence that is left.
    """
    rho = Gaussian(jnp.array([SHIFT]), 1.0)
    found = LipschitzDivergence(ramp(slope), normal()).value(rho)
    np.testing.assert_allclose(found, slope * SHIFT - slope**2 / 2, rtol=1e-10)
    assert found < min(SHIFT**2 / 2, slope * SHIFT)
    way = Wasserstein1(ramp(slope), normal()).value(rho)
    np.testing.assert_allclose(way, slope * SHIFT, rtol=1e-10)


def test_the_infimum_is_that_of_a_search():
    """One generator is scaled, and has a slope at r = 1."""
    values = jnp.array([0.3, -0.5, 0.9, 0.1])
    weights = jnp.array([0.4, 0.3, 0.1, 0.2])
    shifts = jnp.linspace(-2.0, 2.0, 40_001)
    twice = Generator(lambda r: 2 * r * jnp.log(r), lambda s: 2 * jnp.exp(s / 2 - 1))
    for generator in (Alpha(1.0), Alpha(1.7), Alpha(0.5), twice):
        over = jax.vmap(jax.vmap(generator.conjugate))(values[None] - shifts[:, None])
        searched = jnp.min(shifts + over @ weights)
        found = generator.cumulant(values, weights)
        np.testing.assert_allclose(found, searched, atol=1e-8)


def test_derivatives_leave_the_infimum_where_it_is():
    values, weights = jnp.array([0.3, -0.5, 0.9, 0.1]), jnp.full(4, 0.25)
    slope = jax.grad(Alpha(2.0).cumulant)(values, weights)
    across = jnp.eye(4) * 1e-5
    both = [
        jax.vmap(lambda d: Alpha(2.0).cumulant(values + d, weights))(s * across) for s in (1, -1)
    ]
    np.testing.assert_allclose(slope, (both[0] - both[1]) / 2e-5, atol=1e-8)
    np.testing.assert_allclose(jnp.sum(slope), 1, rtol=1e-10)


def test_samples_are_enough_and_no_population_is_needed_for_the_variation():
    points = Empirical(jnp.array([[0.0], [1.0]]))
    dual = Wasserstein1(ramp(1.0), points)
    assert float(dual.value(Empirical(jnp.array([[2.0], [3.0]])))) == 2
    assert float(dual.variation(None, jnp.array([2.0]))) == 5
    assert dual.goal is points
    with pytest.raises(TypeError, match="`Wasserstein1` got no population"):
        dual.value(None)
