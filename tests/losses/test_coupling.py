"""Couplings keep both samples, and come as near to optimal transport as they say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from mfgen.densities import moons
from mfgen.functionals import NotConverged
from mfgen.losses import EntropicTransport, ExactTransport, Independent, OptimalTransport

PERMUTATIONS = {
    "independent": Independent(),
    "optimal": OptimalTransport(),
    "exact": ExactTransport(),
}


def samples(n, dim):
    """Two moons or a Gaussian away from the reference, and the reference."""
    data_key, goal_key = jax.random.split(jax.random.key(n + dim))
    goal = jax.random.normal(goal_key, (n, dim))
    if dim == 2:
        return moons().sample(n, key=data_key), goal
    return 1 + 0.5 * jax.random.normal(data_key, (n, dim)), goal


def cost(x, z):
    return np.mean(np.sum(np.square(np.asarray(x, float) - np.asarray(z, float)), axis=1))


def least_cost(x, z):
    table = cdist(np.asarray(x, float), np.asarray(z, float), "sqeuclidean")
    return table[linear_sum_assignment(table)].mean()


def ordered(points):
    points = np.asarray(points)
    return points[np.lexsort(points.T)]


@pytest.mark.parametrize("name", PERMUTATIONS)
@pytest.mark.parametrize("shape", [(256, 1), (255, 2), (64, 4), (101, 5), (1, 2), (2, 7)], ids=str)
def test_partners_are_a_permutation(name, shape, key):
    x, z = samples(*shape)
    paired = jax.jit(PERMUTATIONS[name].__call__)(x, z, key=key)
    assert paired.dtype == z.dtype
    assert np.array_equal(ordered(paired), ordered(z))


@pytest.mark.parametrize(("dim", "excess"), [(2, 0.02), (4, 0.02), (8, 0.03), (50, 0.04)])
def test_swaps_come_near_the_optimal_assignment(dim, excess, key):
    """At most some per cent above the optimum; independent pairs are 15 to 300 per cent above."""
    x, z = samples(256, dim)
    best = least_cost(x, z)
    assert best * 0.9999 < cost(x, OptimalTransport()(x, z, key=key)) < (1 + excess) * best
    assert cost(x, z) > 1.15 * best


def test_no_two_pairs_are_crossed_in_the_end(key):
    x, z = samples(128, 2)
    paired = OptimalTransport(passes=30)(x, z, key=key)
    products = (x[:, None] - x[None]) * (paired[:, None] - paired[None])
    assert jnp.min(jnp.sum(products, axis=-1)) >= 0


def test_points_and_products_judge_alike():
    from mfgen.losses._coupling import _by_points, _by_products

    with jax.enable_x64(True):
        x, z = (points.astype(float) for points in samples(130, 3))
        assert jnp.array_equal(_by_points(x, z, 2), _by_products(x, z, 2))


def test_assignment_is_exact_and_runs_in_a_loop(key):
    x, z = samples(64, 3)
    paired = ExactTransport()(x, z, key=key)
    assert cost(x, paired) == pytest.approx(least_cost(x, z), rel=1e-5)
    looped = jax.jit(lambda z: jax.lax.fori_loop(0, 3, lambda _, z: _exact(x, z[::-1]), z))(z)
    assert jnp.array_equal(looped, paired)


def _exact(x, z):
    return ExactTransport()(x, z, key=jax.random.key(0))


def test_on_a_line_sorted_points_are_paired(key):
    x, z = samples(33, 1)
    paired = np.asarray(OptimalTransport()(x, z, key=key))
    assert np.array_equal(paired[np.argsort(x[:, 0])], np.sort(z, axis=0))


def test_entropic_pairs_are_the_ends_of_a_bridge():
    """On a line, from N(m, s^2) to N(0, 1): cov(x, z) = (sqrt(4 s^2 + S^2) - S) / 2."""
    variance, keys = 0.8, jax.random.split(jax.random.key(1), 40)

    @jax.jit
    def covariances(keys):
        def one(key):
            data_key, goal_key, pair_key = jax.random.split(key, 3)
            x = 1 + 0.5 * jax.random.normal(data_key, (256, 1))
            z = jax.random.normal(goal_key, (256, 1))
            paired = EntropicTransport(variance)(x, z, key=pair_key)
            return jnp.mean((x - 1) * paired)

        return jax.lax.map(one, keys)

    found = covariances(keys)
    exact = 0.5 * (np.sqrt(4 * 0.25 + variance**2) - variance)
    # The plan of n points is biased by 1 / n, small beside the error of the mean of 40 of them.
    assert abs(jnp.mean(found) - exact) < 4 * jnp.std(found) / np.sqrt(found.size)


def test_entropic_plan_has_its_marginals():
    x, z = samples(64, 2)
    plan = EntropicTransport(0.1, tolerance=1e-3).plan(x, z)
    assert jnp.sum(jnp.abs(jnp.sum(plan, axis=0) - 1 / 64)) < 2e-3
    assert jnp.sum(jnp.abs(jnp.sum(plan, axis=1) - 1 / 64)) < 2e-3
    # Sharper plans are cheaper.
    table = jnp.sum(jnp.square(x[:, None] - z[None]), axis=-1)
    wide = EntropicTransport(1.0).plan(x, z)
    assert least_cost(x, z) < jnp.sum(plan * table) < jnp.sum(wide * table)


def test_entropic_pairs_of_a_plan_that_does_not_arrive_are_an_error(key):
    """Of data far from unit size the plan arrives; where it does not, no pairs are drawn."""
    x, z = samples(64, 2)
    wide = 30 * x + 500
    assert cost(wide, EntropicTransport(0.5)(wide, z, key=key)) < 1.01 * least_cost(wide, z)
    few = EntropicTransport(1e-3, iterations=5)
    with pytest.raises(NotConverged, match="`EntropicTransport` got a plan that misses"):
        few(x, z, key=key)
    with pytest.raises(RuntimeError, match="pass a larger variance, more iterations"):
        jax.block_until_ready(jax.jit(lambda x: few(x, z, key=key))(x))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: OptimalTransport(passes=0), "got passes = 0, expected at least 1: pass passes=4"),
        (lambda: EntropicTransport(0.0), "pass variance > 0"),
        (lambda: EntropicTransport(1.0, tolerance=-1.0), "pass tolerance > 0"),
        (lambda: EntropicTransport(1.0, iterations=0), "got iterations = 0"),
    ],
)
def test_settings_out_of_range_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
