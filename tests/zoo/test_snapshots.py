"""The game between snapshots against normal bridges, displacement and a known gradient flow."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.stats import norm

from mfgen.zoo import landscape, snapshot_bridge
from mfgen.zoo._landscape import Landscape

LEVELS = (np.arange(300) + 0.5) / 300
SPAN, SIGMA = 2.0, 0.5
ENDS = np.stack([norm.ppf(LEVELS, -1.0, 0.7), norm.ppf(LEVELS, 1.5, 1.2)])[..., None]
RATES = np.array([0.3, 1.2])
CLOUD = np.random.default_rng(0).normal(size=(120, 2)) + np.array([2.0, 2.0])


def downhill(t):
    """The gradient flow of sum_i rate_i x_i^2 / 2 from a cloud."""
    return CLOUD * np.exp(-RATES * t)


def uniform(velocity, dim):
    zero = jnp.zeros(1)
    return Landscape(jnp.full(dim, velocity), jnp.zeros((1, dim)), zero, 1.0, 1.0, 0.0)


@pytest.fixture(scope="module")
def bridge():
    return snapshot_bridge(ENDS, (1.0, 1.0 + SPAN), sigma=SIGMA)


@pytest.fixture(scope="module")
def hill():
    return landscape(np.stack([downhill(t) for t in (0.0, 1.0, 2.0)]), (0.0, 1.0, 2.0))


@pytest.mark.parametrize("share", [0.25, 0.5, 0.8])
def test_between_normal_laws_it_is_the_normal_bridge(bridge, share):
    """MATH, oracle 7, with sigma^2 T for sigma^2."""
    (m0, m1), (v0, v1) = ENDS.mean(axis=1)[:, 0], ENDS.var(axis=1)[:, 0]
    noise = SIGMA**2 * SPAN
    shared = 0.5 * (np.sqrt(4 * v0 * v1 + noise**2) - noise)
    variance = (1 - share) ** 2 * v0 + share**2 * v1 + share * (1 - share) * (2 * shared + noise)
    mean, covariance = bridge.law(1.0 + share * SPAN).moments()
    assert mean[0] == pytest.approx((1 - share) * m0 + share * m1, abs=2e-3)
    assert covariance[0, 0] == pytest.approx(variance, rel=3e-3)


def test_points_are_drawn_of_the_law(bridge):
    law, t = bridge.law(2.2), 2.2
    points = jnp.concatenate([bridge.points(t, key=jax.random.key(k)) for k in range(20)])
    mean, covariance = law.moments()
    error = jnp.sqrt(covariance[0, 0] / len(points))
    assert abs(float(points.mean() - mean[0])) < 4 * error
    assert float(points.var()) == pytest.approx(float(covariance[0, 0]), rel=0.05)
    x = jnp.linspace(-6.0, 7.0, 400)
    density = jnp.exp(jax.lax.map(law.log_density, x[:, None]))
    assert float(jnp.trapezoid(density, x)) == pytest.approx(1.0, abs=1e-3)


def test_at_the_snapshots_it_is_their_points(bridge):
    for t, goal in ((1.0, ENDS[0]), (1.0 + SPAN, ENDS[1])):
        points = bridge.points(t, key=jax.random.key(0))
        gone = points[:, None, 0] - goal[None, :, 0]
        assert float(jnp.max(jnp.min(jnp.abs(gone), axis=1))) < 1e-5


def test_without_noise_it_is_the_displacement_interpolation():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(60, 3)), rng.normal(size=(60, 3)) + 1.0
    y = y[linear_sum_assignment(cdist(x, y, "sqeuclidean"))[1]]
    gaps = []
    for sigma in (0.3, 0.05):
        found = snapshot_bridge(np.stack([x, y]), (0.0, 1.0), sigma=sigma)
        points = found.points(0.4, key=jax.random.key(0))
        gaps.append(float(jnp.sqrt(jnp.mean((points - 0.6 * x - 0.4 * y) ** 2))))
    # The deviation of the noise alone is half of sigma.
    assert gaps[1] < min(gaps[0] / 3, 0.05)


def test_a_drift_that_is_everywhere_the_same_changes_nothing(bridge):
    moved = snapshot_bridge(ENDS, bridge.times, sigma=SIGMA, landscape=uniform(0.8, 1))
    before, after = (one.law(1.7).moments() for one in (bridge, moved))
    assert jnp.allclose(before[0], after[0], atol=5e-3)
    assert jnp.allclose(before[1], after[1], rtol=5e-3)


def test_the_drift_is_the_gradient_of_the_potential(hill):
    x = jnp.array([1.3, 0.4])
    assert jnp.allclose(hill.drift(x), -jax.grad(hill)(x), atol=1e-4)


def test_the_landscape_is_the_one_that_the_population_goes_down(hill):
    inside = downhill(1.0)[:40]
    drift = np.asarray(jax.vmap(hill.drift)(jnp.asarray(inside)))
    assert np.linalg.norm(drift + RATES * inside) < 0.15 * np.linalg.norm(drift)


def test_the_game_follows_curved_ways(hill):
    """Half-way it is nearer to where the gradient flow is than straight lines are."""
    seen = np.stack([downhill(t) for t in (0.0, 2.0)])
    truth = downhill(1.0)
    gaps = []
    for drift in (None, hill):
        found = snapshot_bridge(seen, (0.0, 2.0), sigma=0.05, landscape=drift)
        points = found.points(1.0, key=jax.random.key(0))
        gaps.append(float(jnp.sqrt(jnp.mean((points - truth) ** 2))))
    assert gaps[1] < 0.3 * gaps[0]


def test_a_bridge_is_a_tree_of_arrays(bridge):
    assert {leaf.shape for leaf in jax.tree.leaves(eqx.filter(bridge, eqx.is_array))} == {
        (2, 300, 1),
        (1, 300, 300),
    }


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: snapshot_bridge(ENDS[0], (0.0,), sigma=1.0), "`snapshot_bridge` got snapshots"),
        (lambda: snapshot_bridge(ENDS, (0.0, 1.0), sigma=0.0), "sigma = 0.0, expected a finite"),
        (
            lambda: snapshot_bridge(ENDS, (0.0, 1.0), sigma=1.0, landscape=uniform(0.0, 3)),
            "landscape of dimension 3 for snapshots of dimension 1, expected the same: fit",
        ),
        (
            lambda: snapshot_bridge(ENDS, (0.0, 1.0), sigma=0.05, iterations=10),
            "misses .* of the mass after 10 iterations, expected at most .*: pass a larger sigma",
        ),
        (lambda: landscape(ENDS, (1.0, 0.0)), "`landscape` got times"),
        (lambda: landscape(ENDS, (0.0, 1.0), bandwidths=()), "got no bandwidth to choose from"),
        (lambda: landscape(ENDS, (0.0, 1.0), ridges=(0.0,)), "got ridge = 0.0, expected a finite"),
        (lambda: landscape(ENDS, (0.0, 1.0), centres=0), "centres"),
        (lambda: landscape(ENDS, (0.0, 1.0), folds=1), "folds"),
    ],
)
def test_bad_settings_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_times_without_a_law_are_refused(bridge):
    with pytest.raises(ValueError, match=r"law` got t = 1.0, the time of a snapshot, expected one"):
        bridge.law(1.0)
    for t in (0.9, 3.1, float("nan")):
        with pytest.raises(ValueError, match=r"points` got t = .*, expected one from 1.0 to 3.0"):
            bridge.points(t, key=jax.random.key(0))
