"""Objectives form a vector space."""

import jax.numpy as jnp

from mfgen.train.objective import AbstractObjective, total


class Constant(AbstractObjective):
    value: float

    def __call__(self, game, model, batch, *, key):
        return jnp.asarray(self.value)


class Other(AbstractObjective):
    def __call__(self, game, model, batch, *, key):
        return jnp.asarray(10.0)


def evaluate(objective, key):
    return objective(None, None, None, key=key)


def test_sums_and_multiples(key, monkeypatch):
    one, two = Constant(1.0), Constant(2.0)
    combination = 0.5 * (one + 3.0 * two) + Other() * 2.0
    terms = {
        name: weight * part.value
        for (weight, part), name in zip(combination.parts[:2], combination.names[:2], strict=True)
    }
    assert terms == {"Constant": 0.5, "Constant-2": 3.0}
    assert combination.names == ("Constant", "Constant-2", "Other")
    assert [weight for weight, _ in combination.parts] == [0.5, 1.5, 2.0]


def test_total_is_the_sum_of_the_terms():
    assert total({"a": jnp.asarray(1.5), "b": jnp.asarray(-0.5)}) == 1.0
