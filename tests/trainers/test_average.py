"""The average, the records, the validation and the refusals of the training loop, by number."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mfgen.losses import AbstractObjective, DenoisingScoreMatching
from mfgen.trainers import Checkpoints, NonFiniteError, fit
from mfgen.trainers._gradient import default_optimiser
from mfgen.trainers._validation import VALIDATION

LOSS = DenoisingScoreMatching()
KEY = jax.random.key(7)


class Constant(AbstractObjective):
    def __call__(self, game, model, batch, *, key):
        return jnp.asarray(3.0)


class Kink(AbstractObjective):
    """Zero, with a gradient that is not a number."""

    def __call__(self, game, model, batch, *, key):
        return jnp.sqrt(0.0 * jnp.sum(jnp.square(model.costate(0.5, batch[0]))))


def run(game, network, data, objective=LOSS, **settings):
    settings = {"batch_size": 32, "every": 10, "key": KEY} | settings
    return fit(game, network, objective, data, **settings)


def leaves(model):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))]


def test_the_average_follows_its_recursion(game, network, data):
    """average <- d average + (1 - d) theta, d = min(average, (1 + k) / (10 + k)) in step k."""
    plain = {"optimiser": optax.sgd(0.5)}
    expected = leaves(network)
    for k in range(4):
        theta = leaves(run(game, network, data, steps=k + 1, average=0.0, **plain)[0])
        decay = min(0.2, (1 + k) / (10 + k))
        expected = [
            decay * old + (1 - decay) * new for old, new in zip(expected, theta, strict=True)
        ]
    averaged = leaves(run(game, network, data, steps=4, average=0.2, **plain)[0])
    for got, wanted in zip(averaged, expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_one_step_without_averaging_moves_the_parameters(game, network, data):
    model, _ = run(game, network, data, steps=1, average=0.0, optimiser=optax.sgd(0.5))
    assert any(np.any(a != b) for a, b in zip(leaves(model), leaves(network), strict=True))


def test_what_is_returned_is_what_was_validated(game, network, data):
    """The best average, on the held-out data, with the one key of all validations."""
    settings = {"validation": data[:128] + 0.01, "steps": 60, "average": 0.9, "learning_rate": 0.05}
    model, history = run(game, network, data, **settings)
    key = jax.random.fold_in(KEY, VALIDATION)
    rows = jnp.tile(jax.random.permutation(key, data[:128] + 0.01), (32, 1))
    value = LOSS(game, model, rows, key=jax.random.fold_in(key, 0))
    assert jnp.allclose(value, min(r.validation for r in history.records), rtol=1e-5)


def test_records_are_means_over_their_steps(game, network, data):
    _, history = run(game, network, data, Constant(), steps=7, every=3)
    assert [record.terms for record in history.records] == [{"Constant": 3.0}] * 3


def test_a_gradient_that_is_not_finite_stops_the_run(game, network, data):
    with pytest.raises(NonFiniteError, match="term 'gradient' at step 0"):
        run(game, network, data, LOSS + Kink(), steps=3)


def test_default_optimiser_clips_and_decays_to_zero():
    """Gradients above the limit all count as the limit: Adam then steps by the rate itself."""
    optimiser = default_optimiser(0.1, 4, 1.0)
    state = optimiser.init(jnp.zeros(1))
    for k, size in enumerate((100.0, 1.0, 30.0, 2.0, 5.0)):
        update, state = optimiser.update(jnp.array([size]), state)
        rate = 0.05 * (1 + np.cos(np.pi * k / 4))
        np.testing.assert_allclose(update, [-rate], rtol=1e-4, atol=1e-7)


class Blind(AbstractObjective):
    """Not a number on the held-out rows, which are many, score matching elsewhere."""

    def __call__(self, game, model, batch, *, key):
        return LOSS(game, model, batch, key=key) * (jnp.nan if batch.shape[0] > 32 else 1.0)


def test_a_validation_that_is_not_finite_stops_the_run(game, network, data):
    """Rather than return the untrained model as the best."""
    with pytest.raises(NonFiniteError, match=r"term .validation. at step 10.*look for outliers"):
        run(game, network, data, Blind(), steps=20, validation=data[:8] + 0.01)


def test_a_resumed_run_remembers_its_best_step(game, network, data, tmp_path):
    """A finished run that is resumed returns the same best parameters, and says of which step."""
    settings = {"validation": data[:128] + 0.01, "steps": 20}
    whole = run(game, network, data, checkpoints=Checkpoints(tmp_path), **settings)
    again = run(game, network, data, checkpoints=Checkpoints(tmp_path), resume=True, **settings)
    assert whole[1].best_step is not None
    assert again[1].best_step == whole[1].best_step
