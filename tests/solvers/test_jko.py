"""JKO steps on the line against exact steps and exact gradient flows."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities import Gaussian, LineLaw, line_law
from mfgen.densities._line import squared_distance
from mfgen.functionals import KL, Linear, PorousMedium
from mfgen.oracles import barenblatt
from mfgen.solvers import jko

TARGET = Gaussian(jnp.zeros(1), jnp.ones(1))


def normal(mean, deviation, cells=200):
    return line_law(lambda level: mean + deviation * jax.scipy.stats.norm.ppf(level), cells)


def test_the_distance_of_two_normal_laws():
    first, second = normal(0.0, 1.0, 2000), normal(1.5, 2.0, 2000)
    exact = 1.5**2 + 1.0**2
    np.testing.assert_allclose(squared_distance(first.edges, second.edges), exact, rtol=2e-3)


def test_a_law_is_normalised_and_has_its_moments():
    law = normal(0.5, 2.0, 400)
    axis = jnp.linspace(-8, 9, 40_001)
    density = jnp.exp(jax.vmap(lambda x: law.log_density(x[None]))(axis))
    assert abs(float(jnp.sum(density) * (axis[1] - axis[0])) - 1) < 1e-3
    mean, covariance = law.moments()
    np.testing.assert_allclose(mean, [0.5], atol=1e-3)
    np.testing.assert_allclose(covariance, [[4.0]], rtol=2e-2)
    drawn = law.sample(20_000, key=jax.random.key(0))
    assert abs(float(jnp.mean(drawn)) - 0.5) < 4 * 2 / 20_000**0.5


@pytest.mark.parametrize("step", [0.1, 1.0, 10.0])
def test_a_step_of_kl_is_the_exact_one(step):
    """From N(2, 1/4) to N(0, 1), k = 1 / h (MATH, oracle 5)."""
    k = 1 / step
    mean = 2 * k / (1 + k)
    deviation = (0.5 * k + (0.25 * k**2 + 4 * (1 + k)) ** 0.5) / (2 * (1 + k))
    found = jko(KL(TARGET), normal(2.0, 0.5), step=step, steps=1)
    assert found.converged.all()
    moments = found.law(-1).moments()
    np.testing.assert_allclose(moments[0], [mean], rtol=1e-2)
    np.testing.assert_allclose(moments[1] ** 0.5, [[deviation]], rtol=1e-2)


def test_a_step_is_as_exact_in_small_and_large_units_and_says_where_it_stalls():
    """Of PorousMedium on laws u times as wide F is 1 / u of itself, and steps of u^3 correspond."""
    medium = PorousMedium(2.0)
    one, large = (
        jko(medium, LineLaw(u * barenblatt(1.0, 20).edges), step=0.5 * u**3, steps=1)
        for u in (1.0, 1e6)
    )
    assert one.converged.all()
    assert large.converged.all()
    np.testing.assert_allclose(large.edges[-1], 1e6 * one.edges[-1], rtol=1e-5, atol=1.0)
    kinked = Linear(lambda x: 1e3 * jnp.abs(x[0] - 1.3))
    start = normal(2.0, 0.5, 10)
    stalled = jko(kinked, start, step=1.0, steps=1)
    bound = float(stalled.energies[0] - stalled.energies[1])
    assert bound > 0
    assert not stalled.converged.all()


def test_energy_falls_by_the_distance_at_least():
    found = jko(KL(TARGET) + Linear(lambda x: jnp.cos(x[0])), normal(2.0, 0.5), step=0.2, steps=8)
    fall = -jnp.diff(found.energies)
    assert jnp.all(fall >= found.distances**2 / 0.4 - 1e-6)
    assert jnp.all(found.distances > 0)


def test_the_source_solution_solves_its_equation():
    """d rho/dt = (rho^2)'' inside the fronts, by differences of the exact cells."""
    density = lambda time, x: jnp.exp(barenblatt(time, 4000).log_density(jnp.array([x])))
    for x in (0.0, 0.6):
        rate = (density(1.02, x) - density(0.98, x)) / 0.04
        bend = density(1.0, x + 0.2) ** 2 - 2 * density(1.0, x) ** 2 + density(1.0, x - 0.2) ** 2
        np.testing.assert_allclose(rate, bend / 0.04, atol=4e-3)


def spread(cells, step):
    """The edges at t = 2 of what begins as the exact law at t = 1."""
    found = jko(PorousMedium(2.0), barenblatt(1.0, cells), step=step, steps=round(1 / step))
    assert found.converged.all()
    return found.edges[-1]


@pytest.mark.slow
def test_porous_media_spread_like_barenblatt():
    """First order in the step, and in the cells: the density falls to zero at the front."""
    apart = lambda first, second: float(squared_distance(first, second)) ** 0.5
    ends = [spread(40, step) for step in (0.2, 0.1, 0.05)]
    changes = [apart(first, second) for first, second in itertools.pairwise(ends)]
    assert 0.8 < np.log2(changes[0] / changes[1]) < 1.2, changes
    coarse = apart(ends[-1], barenblatt(2.0, 40).edges)
    fine = apart(spread(160, 0.0125), barenblatt(2.0, 160).edges)
    assert fine < 0.35 * coarse, (coarse, fine)
    assert fine < 6e-3


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="`line_law` got cells = 1"):
        line_law(lambda level: level, 1)
    with pytest.raises(ValueError, match="do not increase"):
        line_law(lambda level: -level, 10)
    with pytest.raises(ValueError, match="`jko` got step"):
        jko(KL(TARGET), normal(0.0, 1.0, 10), step=-1.0, steps=1)
    far = LineLaw(jnp.linspace(2.0, 3.0, 11))
    with pytest.raises(FloatingPointError, match="`jko` got a first law at which"):
        jko(KL(LineLaw(jnp.linspace(0.0, 1.0, 11))), far, step=1.0, steps=1)
