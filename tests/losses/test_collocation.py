"""Where residuals are measured: spread, uniform times, fair levels, refused ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.costs import Kinetic
from mfgen.densities import Gaussian
from mfgen.dynamics import VP, Integrator
from mfgen.functionals import Zero
from mfgen.games import MFG
from mfgen.losses import Levels, LogUniform, NoisedData, ScoreHJB, SpreadData, UniformTime
from mfgen.losses._collocation import others, subset_index
from mfgen.losses._noised import noised
from mfgen.models import VectorField
from mfgen.zoo import score_based


def test_spread_points_have_the_stated_extra_noise(game, key):
    """y + signal sqrt(extra^2 + kappa^2) eps' has the variance signal^2 (extra^2 + 2 kappa^2)."""
    noising, origin = game.dynamics.noising, jnp.zeros((4000, 2))
    points = SpreadData(0.5, Levels((0.8,)))(game, origin, None, key=key)
    signal = jax.vmap(noising.signal)(noising.horizon - points.t)
    spread = jnp.mean(jnp.square(points.x / signal[:, None]))
    expected = 0.5**2 + 2 * 0.8**2
    assert jnp.abs(spread - expected) < 4 * expected * jnp.sqrt(2 / points.x.size)


def test_uniform_times_are_stratified_over_the_horizon(data, key):
    game = MFG(Integrator(horizon=2.0), Kinetic(), Zero())
    points = UniformTime()(game, data, 16, key=key)
    assert jnp.array_equal(jnp.floor(8 * points.t), jnp.arange(16.0))
    rows = jnp.argmax(jnp.all(points.x[:, None] == data[None], axis=2), axis=1)
    assert jnp.array_equal(data[rows], points.x)
    assert jnp.all(points.factor == 1)


@pytest.mark.parametrize(("n", "count"), [(256, 1), (256, 64), (7, 5), (65, 64), (100_001, 70_000)])
def test_a_part_of_the_strata_is_a_systematic_sample(n, count):
    """Distinct, one in each of `count` strata, and every row as likely as any other."""
    keys = jax.random.split(jax.random.key(3), 400 if n < 1000 else 2)
    found = np.asarray(jax.vmap(lambda key: subset_index(n, count, key=key))(keys))
    assert np.all(np.diff(found, axis=1) > 0)
    assert found.min() >= 0
    assert found.max() < n
    strata = np.arange(count, dtype=np.int64) * n
    assert np.all((found >= strata // count) & (found <= (strata + n - 1) // count))
    if n < 1000:
        share = np.bincount(found.ravel(), minlength=n) / len(keys)
        error = np.sqrt(count / n * (1 - count / n) / len(keys))
        assert np.abs(share - count / n).max() < 5 * error
    rest = np.asarray(others(n, jnp.asarray(found[0])))
    assert np.array_equal(np.sort(np.concatenate([rest, found[0]])), np.arange(n))


def test_every_level_is_equally_likely_also_in_small_batches(key):
    """Two rows for three levels: the random shift of the strata makes the law uniform."""
    draw = lambda key: Levels((0.1, 1.0, 5.0)).ratios(VP(), 2, key=key)
    ratios = jax.vmap(draw)(jax.random.split(key, 2000))
    for level in (0.1, 1.0, 5.0):
        share = jnp.mean(jnp.isclose(ratios, level))
        assert jnp.abs(share - 1 / 3) < 4 * jnp.sqrt(2 / 9 / ratios.size)


def test_score_residual_of_a_constant_offset(data, key, x64):
    """Data N(0, I) stay so under VP; p = x + q has the residual sigma^2 q, in score units."""
    noising, q = VP(), jnp.array([0.6, -0.3])
    game = score_based(noising, Gaussian(jnp.zeros(2), jnp.eye(2)))
    objective = ScoreHJB(NoisedData(Levels((0.5,))), points=None)
    value = objective(game, VectorField(lambda t, x: x + q), data[:8].astype(float), key=key)
    variance = 0.5**2 / (1 + 0.5**2)
    assert jnp.allclose(value, variance**3 * (q @ q), rtol=1e-8)


def test_points_are_noised_to_the_time_that_the_model_sees(game, data, key):
    """To the last bit, although game times are rounded."""
    noising = game.dynamics.noising
    points = noised(noising, LogUniform(), data, key=key)
    assert jnp.array_equal(points.s, noising.horizon - points.t)


def test_noise_levels_outside_the_noising_are_refused(data, key):
    with pytest.raises(ValueError, match=r"low = 2\.0 and high = 0\.1, expected 0 < low < high"):
        LogUniform(2.0, 0.1)
    for law in (Levels((1e-4, 1.0)), Levels((500.0,)), Levels(()), LogUniform(high=1e4)):
        with pytest.raises(ValueError, match=f"`{type(law).__name__}` got noise ratios .*those of"):
            jax.jit(lambda key, law=law: noised(VP(), law, data, key=key).y)(key)
