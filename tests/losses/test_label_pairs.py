"""Pairs are formed within a label: for each, the partners are draws of the reference.

Data of class 0 lie left and those of class 1 right. Optimal pairs that ignored the labels would
give class 0 the left half of the reference, while samples of class 0 start from all of it.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.stats import kstest

from mfgen.densities import LabelledPoints, one_hot
from mfgen.losses import (
    ActionMatching,
    EntropicTransport,
    ExactTransport,
    FlowMatching,
    Independent,
    OptimalTransport,
    StochasticInterpolant,
)
from mfgen.losses._coupling import partners
from mfgen.models import ControlField, Potential
from mfgen.zoo import bridge_game

COUPLINGS = {
    "independent": Independent(),
    "optimal": OptimalTransport(),
    "exact": ExactTransport(),
    "entropic": EntropicTransport(0.5),
}


def batch(n, dim, classes=2):
    labels = jax.random.randint(jax.random.key(1), (n,), 0, classes)
    noise = jax.random.normal(jax.random.key(2), (n, dim))
    return LabelledPoints(3.0 * labels[:, None] - 1.5 + 0.5 * noise, one_hot(labels, classes))


@pytest.mark.parametrize("dim", [1, 2, 4])
@pytest.mark.parametrize("name", COUPLINGS)
def test_partners_of_each_label_are_draws_of_the_reference(name, dim):
    """Kolmogorov and Smirnov's test of each coordinate, over many batches, given the label.

    Pairs drawn from a plan repeat points, so that the error has twice the variance.
    """
    law = batch(64, dim)
    game, pair = bridge_game(law), COUPLINGS[name]
    draw = lambda key: partners("test", game, pair, law.rows, key=key)
    keys = jax.random.split(jax.random.key(0), 40)
    drawn = np.asarray(jax.jit(lambda keys: jax.lax.map(draw, keys))(keys))
    assert np.array_equal(drawn[..., dim:], np.broadcast_to(law.labels, (40, 64, 2)))
    for label in (0, 1):
        points = drawn[:, np.asarray(law.labels[:, label]) == 1, :dim].reshape(-1, dim)
        for axis in points.T:
            distance = kstest(axis, "norm").statistic
            bound = 1.95 * np.sqrt((2 if name == "entropic" else 1) / axis.size)
            assert distance < bound < 0.1, (label, axis.mean(), axis.std())


@pytest.mark.parametrize(("name", "excess"), [("optimal", 0.03), ("exact", 1e-6)])
@pytest.mark.parametrize("dim", [1, 2, 6])
def test_pairs_of_each_label_are_those_of_optimal_transport(name, excess, dim, key):
    law, goal = batch(256, dim, 3), jax.random.normal(jax.random.key(3), (256, dim))
    points, groups = law.rows[:, :dim], jnp.argmax(law.labels, axis=1)
    paired = np.asarray(COUPLINGS[name](points, goal, key=key, groups=groups))
    for group in range(3):
        rows = np.asarray(groups) == group
        x, z, found = (np.asarray(a, float)[rows] for a in (points, goal, paired))
        assert np.array_equal(np.sort(z[:, 0]), np.sort(found[:, 0]))
        table = np.sum((x[:, None] - z[None]) ** 2, axis=-1)
        best = table[linear_sum_assignment(table)].sum()
        assert np.sum((x - found) ** 2) < (1 + (1e-6 if dim == 1 else excess)) * best


def test_an_entropic_plan_has_nothing_across_labels_and_is_each_labels_own(key):
    law, goal = batch(48, 2), jax.random.normal(jax.random.key(3), (48, 2))
    groups, method = law.labels[:, 0].astype(int), EntropicTransport(0.5, tolerance=1e-4)
    plan = np.asarray(method.plan(law.rows[:, :2], goal, groups))
    for group in (0, 1):
        rows = np.asarray(groups) == group
        alone = method.plan(law.rows[rows, :2], goal[rows])
        np.testing.assert_allclose(plan[np.ix_(rows, rows)] * 48, alone * rows.sum(), atol=2e-3)
        assert np.all(plan[np.ix_(rows, ~rows)] == 0)


@pytest.mark.parametrize(
    "objective", [FlowMatching(width=0.3), StochasticInterpolant(), ActionMatching()], ids=type
)
def test_labels_rest_on_the_way(objective, key):
    """The model is asked only at labels that the data have, without noise on them."""
    law = batch(32, 2)
    game, seen = bridge_game(law), []

    def watch(t, x):
        jax.debug.callback(lambda y: seen.append(np.asarray(y)), x[2:])
        return jnp.sin(x[:2] + t)

    potential = Potential(lambda t, x: jnp.sum(watch(t, x)))
    model = potential if isinstance(objective, ActionMatching) else ControlField(watch)
    value = objective(game, model, law.rows, key=key)
    jax.effects_barrier()
    assert jnp.isfinite(value)
    rows = np.concatenate([np.atleast_2d(y) for y in seen])
    assert len(rows) >= 32
    assert np.array_equal(np.sort(rows, axis=1), np.tile([0.0, 1.0], (len(rows), 1)))
