"""The Wasserstein-proximal kernel model: its kernels, its density, its equation, and no copies."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities import Empirical, Gaussian, mixture20
from mfgen.derive import hjb
from mfgen.dynamics import VP
from mfgen.losses import ImplicitScoreMatching, MaximumLikelihood
from mfgen.metrics import copying_probability, memorisation_ratio
from mfgen.models import KernelPotential, SmoothedPotential, proximal_kernel
from mfgen.zoo import score_based


@pytest.fixture(scope="module")
def model(game, data):
    return proximal_kernel(game, data[:60])


def test_kernels_have_the_moments_of_the_proximal_of_the_samples(game):
    points = np.array([[-1.0, 2.0], [1.0, -2.0], [0.5, 4.0], [-0.5, -4.0]])
    deviations, reach, width = points.std(axis=0), 0.7, 0.2
    made = proximal_kernel(game, points, reach=reach, width=width, folds=2)
    for j, y in enumerate(points):
        weights = np.exp(-0.5 * np.sum(((points - y) / deviations) ** 2, axis=1) / reach**2)
        weights /= weights.sum()
        mean = weights @ points
        covariance = (points - mean).T @ (weights[:, None] * (points - mean))
        covariance += np.diag((width * deviations) ** 2)
        np.testing.assert_allclose(made.centres[j], mean, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(made.covariances()[j], covariance, rtol=1e-4, atol=1e-5)


def test_a_short_reach_leaves_the_kernel_density_estimate(game, data):
    points, x = data[:40], jnp.array([0.3, -0.4])
    made = proximal_kernel(game, points, reach=1e-4, width=0.3)
    widths = jnp.square(0.3 * jnp.std(points, axis=0))
    kernels = SmoothedPotential(game.dynamics.noising, points, jnp.diag(widths))
    for t in (0.1, 0.9, 0.98):
        np.testing.assert_allclose(made(t, x), kernels(t, x), rtol=1e-4, atol=1e-4)


def test_a_long_reach_leaves_one_gaussian(game, data):
    made = proximal_kernel(game, data[:40], reach=1e4, width=1e-3)
    mean = np.asarray(data[:40]).mean(axis=0)
    np.testing.assert_allclose(np.asarray(made.centres) - mean, 0, atol=1e-4)
    covariance = np.cov(np.asarray(data[:40]), rowvar=False, bias=True)
    np.testing.assert_allclose(made.covariances()[7], covariance, atol=1e-4)


def test_the_density_integrates_to_one(model):
    side = jnp.linspace(-6, 6, 161)
    points = jnp.stack(jnp.meshgrid(side, side), axis=-1).reshape(-1, 2)
    clear = model.untrained()
    for t in (0.2, 0.9, 1.0):
        values = jax.vmap(lambda x, t=t: jnp.exp(-clear(t, x)))(points)
        assert jnp.sum(values) * (side[1] - side[0]) ** 2 == pytest.approx(1, abs=2e-3)


def test_hjb_holds_to_rounding(model, game, x64):
    model = jax.tree.map(lambda leaf: leaf.astype(float) if eqx.is_array(leaf) else leaf, model)
    for t in (0.1, 0.5, 0.9):
        residual = hjb(game, model, None, jnp.asarray(t), jnp.array([0.3, -0.4]))
        assert jnp.abs(residual) < 1e-9


@pytest.mark.parametrize("objective", [ImplicitScoreMatching(), MaximumLikelihood()])
def test_precisions_can_be_trained_further(game, data, key, objective):
    model = proximal_kernel(game, data[:12], reach=0.5, width=0.3)
    gradient = eqx.filter_grad(lambda m: objective(game, m, data[12:16], key=key))(model)
    for leaf in (gradient.centres, gradient.log_scales, gradient.shears):
        assert jnp.all(jnp.isfinite(leaf))
        assert jnp.any(leaf != 0)


def test_two_hundred_samples_are_not_copied_and_the_empirical_score_copies_them():
    law, keys = mixture20(), jax.random.split(jax.random.key(4), 4)
    train, fresh, other = (
        law.sample(n, key=k) for n, k in zip((200, 2000, 2000), keys, strict=False)
    )
    noising = VP()
    made = proximal_kernel(score_based(noising, Empirical(train)), train)
    start = noising.start
    copies = Empirical(train).noised(noising.signal(start), noising.noise(start))
    drawn = made.mixture().sample(2000, key=keys[3])
    own = memorisation_ratio(drawn, train, fresh)
    assert abs(own.value - 1) < 0.1 + 4 * own.standard_error
    again = memorisation_ratio(other, train, fresh)
    assert abs(again.value - 1) < 4 * again.standard_error
    assert memorisation_ratio(copies.sample(2000, key=keys[3]), train, fresh).value < 0.3
    assert copying_probability(copies.sample(2000, key=keys[3]), train, fresh).value > 0.8
    held_out = jax.vmap(made.mixture().log_density)(fresh).mean()
    assert held_out > jax.vmap(copies.log_density)(fresh).mean() + 1
    assert held_out > jax.vmap(Gaussian(*Empirical(train).moments()).log_density)(fresh).mean()


def test_units_of_the_data_do_not_matter(data):
    units = np.array([1e3, 1e-3])
    game = score_based(VP(), Gaussian(jnp.zeros(2), 1.0))
    first, second = (proximal_kernel(game, np.asarray(data[:80]) * u) for u in (np.ones(2), units))
    np.testing.assert_allclose(
        first.centres, np.asarray(second.centres) / units, rtol=1e-3, atol=1e-3
    )
    expected = np.asarray(first.covariances()) * np.outer(units, units)
    np.testing.assert_allclose(np.asarray(second.covariances()) / expected, 1, rtol=2e-2)


def test_the_same_data_give_the_same_model(model, game, data):
    assert isinstance(model, KernelPotential)
    assert model.centres.shape == (60, 2)
    np.testing.assert_array_equal(proximal_kernel(game, data[:60]).centres, model.centres)


def test_bad_input_is_refused(game, data, key):
    with pytest.raises(ValueError, match="got data of 3 features for a game in 2"):
        proximal_kernel(game, jax.random.normal(key, (20, 3)))
    for folds in (1, 20):
        with pytest.raises(ValueError, match="pass folds=5"):
            proximal_kernel(game, data[:20], folds=folds)
    with pytest.raises(ValueError, match=r"got 5001 samples.*pass fewer"):
        proximal_kernel(game, jax.random.normal(key, (5001, 2)))
    with pytest.raises(ValueError, match="constant in feature 1"):
        proximal_kernel(game, np.asarray(data[:20]) * np.array([1.0, 0.0]))
    for name in ("reach", "width"):
        with pytest.raises(
            ValueError, match=f"got {name} = 0.0, expected a finite positive number"
        ):
            proximal_kernel(game, data[:20], **{name: 0.0})
