"""JKO steps by input-convex networks against exact steps, and against those of the line."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities import Empirical, Gaussian, GaussianMixture, line_law
from mfgen.functionals import KL
from mfgen.models import ot_flow_potential
from mfgen.solvers import jko
from mfgen.zoo import convex_jko_chain
from mfgen.zoo._jko_convex import ConvexStep

MEANS, DEVIATIONS = jnp.array([2.0, -1.0]), jnp.array([0.5, 1.5])
TARGET, START = Gaussian(jnp.zeros(2), jnp.ones(2)), Gaussian(MEANS, DEVIATIONS**2)


@pytest.fixture(scope="module")
def chain():
    return convex_jko_chain(
        TARGET,
        START,
        step=1.0,
        steps=2,
        particles=1024,
        iterations=400,
        batch_size=256,
        width=8,
        depth=1,
        key=jax.random.key(0),
    )


def exact(mean, deviation, k=1.0):
    root = (k**2 * deviation**2 + 4 * (1 + k)) ** 0.5
    return k * mean / (1 + k), (k * deviation + root) / (2 * (1 + k))


def test_steps_are_those_of_normal_laws(chain):
    """Coordinate by coordinate, from what the particles are (MATH, oracle 5).

    One coordinate spreads and the other contracts. Means are compared in units of deviations.
    """
    for before, after in itertools.pairwise(chain.points):
        mean, deviation = exact(before.mean(0), before.std(0))
        assert float(jnp.max(jnp.abs(after.mean(0) - mean) / deviation)) < 0.02
        np.testing.assert_allclose(after.std(0), deviation, rtol=0.02)


def test_densities_are_carried_along(chain):
    mean, deviation = exact(*exact(MEANS, DEVIATIONS))
    known = jax.vmap(Gaussian(mean, deviation**2).log_density)(chain.points[-1])
    missed = chain.log_densities[-1] - known
    assert abs(float(jnp.mean(missed))) < 0.03
    assert float(jnp.std(missed)) < 0.15
    assert jnp.all(jnp.diff(chain.divergences) < 0)
    assert chain.points.shape == (3, 1024, 2)


def test_a_step_to_two_modes_is_that_of_the_line():
    """T beside the exact map between quantile functions, in L2; of 16,384 particles, whose own
    deviation from their law is far below the bound."""
    target = GaussianMixture(
        jnp.array([0.4, 0.6]), jnp.array([[-1.2], [1.2]]), jnp.full((2, 1, 1), 0.3)
    )
    start = Gaussian(jnp.zeros(1), jnp.ones(1))
    found = convex_jko_chain(
        target,
        start,
        step=1.0,
        steps=1,
        particles=16384,
        iterations=600,
        learning_rate=2e-2,
        batch_size=512,
        width=16,
        depth=1,
        key=jax.random.key(1),
    )
    normal = line_law(jax.scipy.stats.norm.ppf, 100)
    edges = jko(KL(target), normal, step=1.0, steps=1).edges[-1]
    wanted = jnp.interp(found.points[0][:, 0], normal.edges, edges)
    off = float(jnp.sqrt(jnp.mean((found.points[1][:, 0] - wanted) ** 2)))
    moved = float(jnp.sqrt(jnp.mean((found.points[0][:, 0] - wanted) ** 2)))
    assert off < 0.1 * moved, (off, moved)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="`convex_jko_chain` got step"):
        convex_jko_chain(TARGET, START, step=0.0, steps=1, key=jax.random.key(0))
    with pytest.raises(ValueError, match="`convex_jko_chain` got iterations"):
        convex_jko_chain(TARGET, START, step=1.0, steps=1, iterations=0, key=jax.random.key(0))


def test_other_models_are_refused(chain):
    model = ot_flow_potential(chain.game, width=8, key=jax.random.key(0))
    with pytest.raises(TypeError, match="expected the gradient of a convex function"):
        ConvexStep(TARGET)(chain.game, model, jnp.zeros((2, 2)), key=jax.random.key(0))


def test_data_are_taken_as_they_are(chain):
    data = START.sample(1024, key=jax.random.key(3))
    told = []
    found = convex_jko_chain(
        TARGET,
        Empirical(data),
        step=1.0,
        steps=1,
        iterations=400,
        batch_size=256,
        width=8,
        depth=1,
        key=jax.random.key(0),
        callback=lambda index, value: told.append((index, value)),
    )
    np.testing.assert_array_equal(found.points[0], data)
    np.testing.assert_array_equal(found.log_densities[0], 0)
    np.testing.assert_allclose(told[0][1], found.divergences[1], rtol=1e-6)
    known = float(jnp.mean(jax.vmap(START.log_density)(data)))
    np.testing.assert_allclose(known + found.divergences[1], chain.divergences[1], atol=0.1)
