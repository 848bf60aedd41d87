"""The three score-matching objectives estimate one functional; the exact score minimises it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from mfgen.costs import Kinetic
from mfgen.dynamics import Integrator
from mfgen.functionals import Zero
from mfgen.games import MFG
from mfgen.losses import (
    DenoisingScoreMatching,
    ImplicitScoreMatching,
    Levels,
    LogUniform,
    SlicedScoreMatching,
)
from mfgen.losses._noised import noised
from mfgen.models import VectorField

DENOISING = DenoisingScoreMatching()
IMPLICIT = ImplicitScoreMatching()
SLICED = SlicedScoreMatching(slices=2)


@pytest.fixture(scope="module")
def replicates(game, exact, network, data):
    """Each objective on 200 independent batches, for the exact model and an untrained network."""
    keys = jax.random.split(jax.random.key(3), 200)

    @eqx.filter_jit
    def values(objective, model):
        def one(key):
            index = jax.random.randint(key, (256,), 0, data.shape[0])
            return objective(game, model, data[index], key=key)

        return jax.lax.map(one, keys)

    return {
        (type(objective).__name__, name): values(objective, model)
        for objective in (DENOISING, IMPLICIT, SLICED)
        for name, model in (("exact", exact), ("network", network))
    }


@pytest.mark.parametrize("name", ["exact", "network"])
@pytest.mark.parametrize("other", ["ImplicitScoreMatching", "SlicedScoreMatching"])
def test_denoising_is_implicit_plus_dimension(replicates, name, other):
    difference = replicates["DenoisingScoreMatching", name] - replicates[other, name]
    error = jnp.std(difference) / jnp.sqrt(difference.size)
    assert jnp.abs(jnp.mean(difference) - 2.0) < 4 * error


def test_the_exact_score_has_the_smaller_loss(replicates):
    for objective in ("DenoisingScoreMatching", "ImplicitScoreMatching", "SlicedScoreMatching"):
        gain = replicates[objective, "network"] - replicates[objective, "exact"]
        assert jnp.mean(gain) > 4 * jnp.std(gain) / jnp.sqrt(gain.size)


def test_noised_points_have_the_kernels_moments(game, data, key):
    noising = game.dynamics.noising
    points = noised(noising, Levels((0.5,)), data[:1].repeat(4000, axis=0), key=key)
    residual = points.y - jax.vmap(noising.signal)(points.s)[:, None] * data[:1]
    spread = jnp.mean(jnp.square(residual / jax.vmap(noising.noise)(points.s)[:, None]))
    assert jnp.abs(spread - 1.0) < 4 * jnp.sqrt(2 / residual.size)
    assert jnp.allclose(jax.vmap(noising.ratio)(points.s), 0.5, rtol=1e-3)
    assert jnp.allclose(points.s + points.t, noising.horizon)


def test_laws_are_stratified_and_stay_in_their_range(game, key):
    noising = game.dynamics.noising
    ratios = LogUniform(0.1, 1.0).ratios(noising, 64, key=key)
    slices = jnp.floor(64 * jnp.log(ratios / 0.1) / jnp.log(10.0))
    assert jnp.array_equal(slices, jnp.arange(64.0))
    levels = Levels((0.1, 1.0, 5.0)).ratios(noising, 300, key=key)
    counts = [int(jnp.sum(jnp.isclose(levels, level))) for level in (0.1, 1.0, 5.0)]
    assert sum(counts) == 300
    assert min(counts) >= 99


def test_a_game_without_noising_is_refused(data, key):
    game = MFG(Integrator(), Kinetic(1.0), Zero())
    with pytest.raises(TypeError, match="build it with `score_based`"):
        DENOISING(game, VectorField(lambda t, x: x), data, key=key)


def test_slices_must_be_positive():
    with pytest.raises(ValueError, match="pass slices=1"):
        SlicedScoreMatching(slices=0)
