"""The control variate of denoising score matching: no bias, and less noise where noise is small."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from mfgen.dynamics import VE
from mfgen.losses import DenoisingScoreMatching, Levels, LogUniform

LOW = LogUniform(high=0.1)


@pytest.fixture(scope="module")
def gradients(game, network, data):
    """The gradient by one parameter of the network on 200 batches, without and with."""
    keys = jax.random.split(jax.random.key(5), 200)
    weight = lambda model: model.trunk.layers[0].weight

    @eqx.filter_jit
    def slopes(loss):
        def one(key):
            batch = data[jax.random.randint(key, (64,), 0, data.shape[0])]
            change = lambda w: loss(
                game, eqx.tree_at(weight, network, w), batch, key=jax.random.fold_in(key, 1)
            )
            return jax.grad(change)(weight(network)).ravel()

        return jax.lax.map(one, keys)

    return slopes(DenoisingScoreMatching(LOW)), slopes(DenoisingScoreMatching(LOW, 0.2))


def test_gradients_have_the_same_mean(gradients):
    difference = gradients[1] - gradients[0]
    error = jnp.std(difference, axis=0) / jnp.sqrt(len(difference))
    # Chi-square per parameter: one where the means are equal; parameters are not independent.
    assert jnp.mean(jnp.square(jnp.mean(difference, axis=0) / error)) < 2.0


def test_gradients_have_less_noise_at_small_noise(gradients):
    without, with_it = (jnp.sum(jnp.var(found, axis=0)) for found in gradients)
    assert with_it < 0.5 * without


def test_above_the_ratio_nothing_changes(game, network, data, key):
    law = LogUniform(low=0.5)
    plain, cut = DenoisingScoreMatching(law), DenoisingScoreMatching(law, control_variate=0.4)
    assert plain(game, network, data[:16], key=key) == cut(game, network, data[:16], key=key)


@pytest.mark.parametrize("law", [LogUniform(0.05, 3.0), Levels((0.1, 0.2, 2.0))])
@pytest.mark.parametrize("bound", [0.01, 0.15, 0.7, 9.0])
def test_no_row_below_the_ratio_is_left_out(law, bound, key):
    noising = VE()
    ratios = law.ratios(noising, 37, key=key)
    assert not jnp.any(ratios[law.below(noising, bound, 37) :] < bound)


def test_few_rows_above_the_ratio_are_evaluated():
    assert LogUniform(0.01, 1.0).below(VE(), 0.1, 100) in (50, 51)
    assert LogUniform().below(VE(), 0.01, 100) == 0


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), "small"])
def test_a_ratio_must_be_positive(value):
    with pytest.raises((TypeError, ValueError), match="control_variate"):
        DenoisingScoreMatching(control_variate=value)
