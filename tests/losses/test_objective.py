"""Objectives form a vector space."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest

from mfgen.losses import AbstractObjective
from mfgen.losses._objective import AbstractBundle, Weighted


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
    """Is evaluated with others of its kind at a price that shows whether it was."""

    def __call__(self, game, model, batch, *, key):
        return jnp.asarray(100.0)

    def bundle(self):
        return Together()


class Together(AbstractBundle):
    def evaluate(self, terms, game, model, batch, *, key):
        return Weighted(jnp.asarray(7.0), tuple(jnp.asarray(weight) for weight, _ in terms))


@pytest.mark.parametrize("order", ["other first", "other last"])
def test_a_pass_is_shared_whatever_the_order(game, network, data, key, order):
    terms = [2.0 * Joining(), 3.0 * Other()]
    first, last = terms if order == "other first" else terms[::-1]
    combination = first + 1.0 * Constant(5.0) + last + 4.0 * Joining()
    total, reported = combination.evaluate(game, network, data, key=key)
    other = 3.0 * Other()(game, network, data, key=key)
    assert total == 7.0 + 5.0 + other
    named = dict(zip(combination.names, reported, strict=True))
    assert named == {"Joining": 2.0, "Joining-2": 4.0, "Other": other, "Constant": 5.0}
    assert combination(game, network, data, key=key) == total


def test_no_derivative_passes_through_reported_terms(game, network, data, key):
    def reported(value):
        return sum((1.0 * Constant(value)).evaluate(game, network, data, key=key).terms)

    assert jax.grad(reported)(3.0) == 0.0
