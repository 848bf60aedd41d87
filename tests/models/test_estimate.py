"""Density estimates as models: against scikit-learn's, on laws that are known, and in the HJB."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.mixture import GaussianMixture as Reference
from sklearn.neighbors import KernelDensity

from mfgen.densities import Gaussian
from mfgen.derive import hjb
from mfgen.dynamics import VP
from mfgen.metrics import hjb_error
from mfgen.models import SmoothedPotential, _heldout, _mixing, kernel_estimate, mixture_estimate
from mfgen.models._bandwidth import best_bandwidth, correlated, isotropic
from mfgen.models._proximal_kernel import _chosen
from mfgen.simulate import log_prob
from mfgen.zoo import score_based

POINTS = jnp.array([[0.3, -0.4], [1.5, 0.2], [-3.0, 2.0]])


@pytest.fixture(scope="module")
def kernels(game, data):
    return kernel_estimate(game, data)


@pytest.fixture(scope="module")
def mixture(game, data):
    return mixture_estimate(game, data, key=jax.random.key(3))


def clean(model, x):
    """Log-densities of a potential without noise."""
    return -jax.vmap(lambda x: model(model.noising.horizon, x))(x)


def test_kernel_density_is_that_of_scikit_learn(data):
    """At a horizon of no noise, for round kernels."""
    noising = VP(smallest_ratio=1e-4)
    model = SmoothedPotential(noising, data, 0.3**2 * jnp.eye(2))
    reference = KernelDensity(bandwidth=0.3).fit(np.asarray(data)).score_samples(POINTS)
    np.testing.assert_allclose(clean(model, POINTS), reference, rtol=1e-4, atol=1e-4)


def test_kernels_of_any_shape_are_the_mixture_they_stand_for(game, data):
    covariance = jnp.array([[0.2, 0.1], [0.1, 0.3]])
    noising = game.dynamics.noising
    model = SmoothedPotential(noising, data[:20] + 5.0, covariance)
    np.testing.assert_allclose(model.covariance(), covariance, rtol=1e-5)
    for s in (0.02, 0.4, 0.9):
        signal, noise = noising.signal(s), noising.noise(s)
        noised = [
            Gaussian(signal * centre, signal**2 * covariance + noise**2 * jnp.eye(2))
            for centre in data[:20] + 5.0
        ]
        for x in POINTS:
            logs = jnp.stack([law.log_density(x) for law in noised])
            expected = jax.scipy.special.logsumexp(logs) - np.log(20)
            np.testing.assert_allclose(
                model(noising.horizon - s, x), -expected, rtol=1e-4, atol=1e-3
            )


def test_held_out_likelihood_is_that_of_scikit_learn(data):
    rng = np.random.default_rng(0)
    splits = _heldout.folds(np.asarray(data, np.float64), 3, rng, judged=len(data))
    found = best_bandwidth(splits, isotropic, [0.3])
    total = 0.0
    for train, held_out in splits:
        width = 0.3 * np.sqrt(train.var(axis=0).mean())
        total += KernelDensity(bandwidth=width).fit(train).score(held_out)
    assert found.value == 0.3
    assert found.log_likelihood == pytest.approx(total / len(data), rel=1e-5)


def test_every_point_is_held_out_once_or_few_are():
    points = np.arange(20.0)[:, None]
    parts = _heldout.folds(points, 4, np.random.default_rng(0), judged=20)
    assert sorted(np.concatenate([part.held_out for part in parts]).ravel()) == list(range(20))
    for train, held_out in parts:
        assert not set(train.ravel()) & set(held_out.ravel())
    few = _heldout.folds(points, 4, np.random.default_rng(0), judged=8)
    assert [len(part.held_out) for part in few] == [2] * 4
    assert [len(part.train) for part in few] == [15] * 4
    (one,) = _heldout.holdout(points, np.random.default_rng(0), fraction=0.1, most=10)
    assert (len(one.train), len(one.held_out)) == (9, 1)


REPEATED = np.repeat(np.random.default_rng(0).normal(size=(60, 2)), 5, axis=0)


def test_equal_rows_are_on_one_side_of_every_split():
    points = np.random.default_rng(1).permutation(REPEATED)
    splits = _heldout.folds(points, 5, np.random.default_rng(0), judged=300)
    splits += _heldout.holdout(points, np.random.default_rng(0), fraction=0.1, most=200)
    for train, held_out in splits:
        assert not set(map(tuple, train)) & set(map(tuple, held_out))
    assert sum(len(split.held_out) for split in splits[:5]) == 300
    found = best_bandwidth(splits[:5], isotropic, [0.01, 0.1, 1.0])
    plain = _heldout.folds(REPEATED[::5], 5, np.random.default_rng(0), judged=60)
    alone = best_bandwidth(plain, isotropic, [0.01, 0.1, 1.0])
    assert abs(np.log(found.value / alone.value)) < 0.3


def test_estimates_of_repeated_rows_are_those_of_the_rows(game):
    """Fresh points have -2.84 nats; a mixture judged by its copies had -88."""
    fresh = np.random.default_rng(2).normal(size=(400, 2))
    kernels = kernel_estimate(game, REPEATED)
    law = KernelDensity(bandwidth=float(jnp.sqrt(kernels.variances[0]))).fit(REPEATED)
    assert law.score(fresh) / 400 > -3.3
    mixture = mixture_estimate(game, REPEATED, key=jax.random.key(0)).mixture()
    assert jnp.mean(jax.vmap(mixture.log_density)(jnp.asarray(fresh))) > -3.3
    with pytest.raises(ValueError, match="got folds = 5 for 20 samples, 4 of them distinct"):
        kernel_estimate(game, REPEATED[:20])


def test_searches_go_on_beyond_the_ends_of_their_ranges(game):
    """Half N(0, 1), half N(1000, 1): the deviation of all is 500 times that of the halves."""
    rng = np.random.default_rng(0)
    halves = rng.normal(size=(200, 2))
    halves[100:] += 1000
    splits = _heldout.folds(halves, 4, np.random.default_rng(0), judged=200)
    low, high = (best_bandwidth(splits, isotropic, h) for h in ([0.01, 0.1], [1e-6, 1e-5]))
    assert low.inside
    assert high.inside
    assert np.log(low.value / high.value) == pytest.approx(0, abs=0.05)
    chosen = _mixing.search(splits_of(halves), (1, 2, 3), _mixing.RIDGES, 0)
    assert chosen.components == 2
    assert chosen.ridge < 1e-5
    reach, width = proximal_kernel_choice(splits_of(halves))
    assert reach < 0.02
    assert width < 0.01


def splits_of(points):
    standard = (points - points.mean(axis=0)) / points.std(axis=0)
    return _heldout.folds(standard, 4, np.random.default_rng(0), judged=200)


def proximal_kernel_choice(splits):
    return _chosen(splits, (0.03, 0.1, 0.3), (0.01, 0.03, 0.1))


def test_the_most_components_are_warned_of(game, data):
    with pytest.warns(UserWarning, match="with 3 components, the most that it tried"):
        mixture_estimate(game, wide_ring(), key=jax.random.key(0), folds=2)


def wide_ring():
    angles = 2 * np.pi * np.array([0, 1 / 3, 2 / 3]).repeat(4)
    return 10 * np.stack([np.cos(angles), np.sin(angles)], 1) + np.random.default_rng(0).normal(
        size=(12, 2)
    )


def test_the_bandwidth_is_near_the_best_one_of_a_known_law():
    """On a Gaussian; a bandwidth that is off costs a loss quadratic in its logarithm."""
    law = Gaussian(jnp.zeros(2), jnp.array([[1.0, 0.8], [0.8, 1.0]]))
    data, fresh = (np.asarray(law.sample(n, key=jax.random.key(n))) for n in (400, 4000))
    splits = _heldout.folds(data.astype(float), 5, np.random.default_rng(0), judged=400)
    found = best_bandwidth(splits, correlated, np.geomspace(0.02, 2, 12))
    white = np.linalg.cholesky(np.linalg.inv(correlated(data)))
    scores = {
        h: KernelDensity(bandwidth=h).fit(data @ white).score(fresh @ white)
        for h in np.geomspace(0.1, 1.0, 24)
    }
    oracle = max(scores, key=scores.get)
    assert abs(np.log(found.value / oracle)) < np.log(1.5)


def test_kernels_take_the_shape_of_correlated_data(game):
    narrow = Gaussian(jnp.zeros(2), jnp.array([[1.0, 0.99], [0.99, 1.0]]))
    data = narrow.sample(300, key=jax.random.key(0))
    variances = kernel_estimate(game, data).variances
    assert variances[1] / variances[0] == pytest.approx(199, rel=0.5)


def test_many_points_are_judged_by_a_few(game, target):
    data = target.sample(5500, key=jax.random.key(0))
    assert kernel_estimate(game, data, bandwidths=[0.1, 0.2]).centres.shape == (5500, 2)


def test_mixture_is_that_of_scikit_learn_and_a_fixed_point_of_its_em(mixture, data):
    factors = np.asarray(mixture.covariances(), np.float64)
    weights = np.asarray(jax.nn.softmax(mixture.logits), np.float64)
    settings = {"weights_init": weights / weights.sum(), "means_init": mixture.centres}
    reference = Reference(
        len(weights), precisions_init=np.linalg.inv(factors), max_iter=20, tol=0, **settings
    )
    with pytest.warns(match="converge"):
        reference.fit(np.asarray(data))
    better = reference.score(np.asarray(data))
    law = mixture.mixture()
    own = float(jnp.mean(jax.vmap(law.log_density)(data)))
    # The ridge costs it a little; more steps of EM gain no more than that.
    assert own == pytest.approx(better, abs=0.02)
    reference.weights_, reference.means_ = settings["weights_init"], np.asarray(mixture.centres)
    reference.precisions_cholesky_ = np.linalg.cholesky(np.linalg.inv(factors))
    expected = reference.score_samples(np.asarray(POINTS))
    np.testing.assert_allclose(jax.vmap(law.log_density)(POINTS), expected, rtol=1e-4, atol=1e-4)


def test_mixture_finds_the_target(game, target):
    data = target.sample(3000, key=jax.random.key(5))
    model = mixture_estimate(game, data, key=jax.random.key(3))
    fresh = target.sample(4000, key=jax.random.key(8))
    gap = jax.vmap(target.log_density)(fresh) - jax.vmap(model.mixture().log_density)(fresh)
    # Each of the 6 numbers of a component costs about 1 / (2 x 3000) nats; twice that, and noise.
    numbers = 6 * model.centres.shape[0]
    assert jnp.mean(gap) < 2 * numbers / 6000 + 4 * jnp.std(gap) / jnp.sqrt(gap.size)
    assert model.centres.shape[0] <= 12


@pytest.mark.parametrize("components", [1, 4])
def test_the_number_of_components_can_be_given(game, data, key, components):
    model = mixture_estimate(game, data, components=components, key=key)
    assert model.centres.shape == (components, 2)


def test_a_mixture_is_fitted_in_any_units(target, data):
    units = np.array([1e3, 1e-3])
    models = []
    for unit in (np.ones(2), units):
        game = score_based(VP(), Gaussian(jnp.zeros(2), 1.0))
        models.append(mixture_estimate(game, np.asarray(data) * unit, key=jax.random.key(3)))
    first, second = (np.asarray(model.centres) for model in models)
    np.testing.assert_allclose(first, second / units, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["kernels", "mixture"])
def test_hjb_holds(name, kernels, mixture, game, x64):
    model = {"kernels": kernels, "mixture": mixture}[name]
    model = jax.tree.map(lambda leaf: leaf.astype(float) if hasattr(leaf, "dtype") else leaf, model)
    for t in (0.1, 0.5, 0.9):
        residual = hjb(game, model, None, jnp.asarray(t), jnp.array([0.3, -0.4]))
        assert jnp.abs(residual) < 1e-8


def test_hjb_holds_in_single_precision(kernels, game, data, key):
    """The squares are differences of products; what that costs stays small."""
    assert hjb_error(game, kernels, data, n=256, key=key).value < 1e-2


@pytest.mark.parametrize("name", ["kernels", "mixture"])
def test_one_evaluation_is_the_density_of_the_flow(name, request, game):
    model = request.getfixturevalue(name)
    one = log_prob(game, model, POINTS, method="one_shot")
    np.testing.assert_allclose(log_prob(game, model, POINTS), one, atol=0.02)


def test_estimates_follow_their_key(game, data):
    first, again, other = (
        mixture_estimate(game, data, key=jax.random.key(seed)).centres for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)
    assert np.array_equal(
        kernel_estimate(game, data).variances, kernel_estimate(game, data).variances
    )


def test_bad_input_is_refused(game, network, data, key):
    for call, owner in (
        (kernel_estimate, "kernel_estimate"),
        (lambda *a, **b: mixture_estimate(*a, key=key, **b), "mixture_estimate"),
    ):
        with pytest.raises(ValueError, match=f"`{owner}` got data of 3 features for a game in 2"):
            call(game, jax.random.normal(key, (20, 3)))
        for folds in (1, 20):
            with pytest.raises(ValueError, match=f"`{owner}` got folds = {folds}.*pass folds=5"):
                call(game, data[:20], folds=folds)
        with pytest.raises(ValueError, match="NaN"):
            call(game, data.at[0, 0].set(jnp.nan))
    for bandwidths in ([], [0.0, 1.0], [np.inf]):
        with pytest.raises(ValueError, match="expected positive numbers"):
            kernel_estimate(game, data, bandwidths=bandwidths)
    for components in (0, 500):
        with pytest.raises(ValueError, match="pass fewer components"):
            mixture_estimate(game, data, components=components, key=key)
    with pytest.raises(ValueError, match="pass starts=4"):
        mixture_estimate(game, data, starts=0, key=key)
