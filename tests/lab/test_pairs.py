"""Pairs and lines of prescribed paths in a specification: what is written is what is built."""

import re
import tomllib

import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.lab import build, recipes, toml
from mfgen.lab.custom import Imports
from mfgen.models.potential import ot_flow_potential
from mfgen.trainers.action import ActionMatching
from mfgen.trainers.coupling import (
    EntropicTransport,
    ExactTransport,
    Independent,
    OptimalTransport,
    partners,
)
from mfgen.trainers.interpolation import (
    FlowMatching,
    StochasticInterpolant,
    Straight,
    Trigonometric,
)
from mfgen.zoo.flows import bridge_game

BASE = toml.encode(recipes.experiment("flow-matching"))
PAIRS = {
    "independent": ({"type": "independent"}, Independent()),
    "swaps": ({"type": "optimal-transport", "passes": 2}, OptimalTransport(2)),
    "exact": ({"type": "exact"}, ExactTransport()),
    "entropic": ({"type": "entropic", "variance": 0.25}, EntropicTransport(0.25)),
}


def built(**term):
    """The objective of a document with one term, written and read again."""
    experiment = toml.decode(BASE | {"objective": [term]})
    assert toml.decode(tomllib.loads(toml.write(experiment))) == experiment
    ((weight, objective),) = build.objective(experiment.objective, Imports()).parts
    assert weight == 1.0
    return objective


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("term", ["flow-matching", "interpolant", "action-matching"])
def test_every_pairing_can_be_written(name, term):
    document, coupling = PAIRS[name]
    assert built(type=term, coupling=document).coupling == coupling


def test_what_is_left_out_is_the_default_of_the_class():
    assert built(type="flow-matching") == FlowMatching()
    assert built(type="interpolant") == StochasticInterpolant()
    assert built(type="action-matching") == ActionMatching()
    assert built(type="flow-matching", coupling={"type": "optimal-transport"}) == FlowMatching(
        OptimalTransport()
    )


def test_lines_noise_and_margin_can_be_written():
    found = built(type="interpolant", interpolant={"type": "straight"}, latent=0.3, margin=0.02)
    assert found == StochasticInterpolant(Straight(), 0.3, Independent(), 0.02)
    found = built(type="action-matching", interpolant={"type": "trigonometric"}, paired=True)
    assert found == ActionMatching(Independent(), Trigonometric(), True)


def test_exact_pairs_of_a_specification_are_cheapest(key):
    data = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
    from mfgen.density.empirical import Empirical

    game = bridge_game(Empirical(jnp.asarray(data)))
    batch = jnp.asarray(data)
    cost = {}
    for name, (document, _) in PAIRS.items():
        coupling = built(type="flow-matching", coupling=document).coupling
        there = partners("test", game, coupling, batch, key=key)
        cost[name] = float(jnp.mean(jnp.sum((there - batch) ** 2, axis=1)))
    assert cost["exact"] <= cost["swaps"] + 1e-5
    assert cost["exact"] < cost["entropic"] < cost["independent"]


@pytest.mark.parametrize("name", ["exact", "entropic"])
def test_new_pairs_train(name, key):
    from mfgen.density.gaussian import isotropic
    from mfgen.trainers.loop import fit

    law = isotropic(jnp.array([0.5, -0.3]), 0.4)
    game = bridge_game(law)
    objective = built(
        type="action-matching",
        coupling=PAIRS[name][0],
        paired=True,
        interpolant={"type": "straight"},
    )
    model = ot_flow_potential(game, key=key, width=4)
    data = np.asarray(law.sample(64, key=key))
    _, history = fit(game, model, objective, data, steps=2, key=key, batch_size=16)
    assert np.isfinite(list(history.records[-1].terms.values())).all()


MISTAKES = {
    "unknown pairs": ({"coupling": {"type": "exakt"}}, "did you mean `exact`?"),
    "no variance": ({"coupling": {"type": "entropic", "variance": 0.0}}, "> 0"),
    "a margin too wide": ({"type": "interpolant", "margin": 0.5}, "< 0.5"),
    "unknown lines": (
        {"type": "interpolant", "interpolant": {"type": "strait"}},
        "did you mean `straight`?",
    ),
    "a field of another term": ({"latent": 0.1}, "`$.objective[0].latent` is no field"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named(name):
    term, words = MISTAKES[name]
    with pytest.raises(ValueError, match=re.escape(words)):
        toml.decode(BASE | {"objective": [{"type": "flow-matching", **term}]})


def test_specifications_of_score_games_are_written_as_before():
    """Runs of studies are known by the text of their specification: no new field may enter."""
    text = toml.write(recipes.resolve(recipes.experiment("score-vp-hjb", "digits"), 64))
    for word in ("coupling", "latent", "margin", "paired", "energy", "interpolant"):
        assert word not in text
