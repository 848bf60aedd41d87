"""Objectives form a vector space."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest

from mfgen.train.objective import AbstractObjective, AbstractPair, Weighted


class Constant(AbstractObjective):
    value: Any

    def __call__(self, game, model, batch, *, key):
        return jnp.asarray(self.value)


class Other(AbstractObjective):
    def __call__(self, game, model, batch, *, key):
        return jnp.asarray(10.0)


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


class Joining(AbstractObjective):
    """Offers itself with `Other` at a price that shows whether the offer was taken."""

    def __call__(self, game, model, batch, *, key):
        return jnp.asarray(100.0)

    def joined(self, other, model):
        return Together() if isinstance(other, Other) else None


class Together(AbstractPair):
    def __call__(self, weights, game, model, batch, *, key):
        other, joining = weights
        return Weighted(jnp.asarray(7.0), (jnp.asarray(other), jnp.asarray(joining)))


@pytest.mark.parametrize("order", ["other first", "other last"])
def test_a_pair_is_taken_whatever_the_order(game, network, data, key, order):
    terms = [2.0 * Other(), 3.0 * Joining()]
    first, last = terms if order == "other first" else terms[::-1]
    combination = first + 1.0 * Constant(5.0) + last
    total, reported = combination.evaluate(game, network, data, key=key)
    assert total == 7.0 + 5.0
    named = dict(zip(combination.names, reported, strict=True))
    assert named == {"Other": 2.0, "Joining": 3.0, "Constant": 5.0}
    assert combination(game, network, data, key=key) == total
    alone = 2.0 * Joining() + 1.0 * Constant(1.0)
    assert alone(game, network, data, key=key) == 201.0


def test_no_derivative_passes_through_reported_terms(game, network, data, key):
    def reported(value):
        return sum((1.0 * Constant(value)).evaluate(game, network, data, key=key).terms)

    assert jax.grad(reported)(3.0) == 0.0
