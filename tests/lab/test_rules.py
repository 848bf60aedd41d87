"""Numbers that are chosen for the data: which, where, and that a document says which they are."""

import jax
import pytest

from mfgen.lab import Experiment, _recipes, _rules, _toml, assemble
from mfgen.lab._case import stand_in
from mfgen.lab._comparison import is_regularised, without_regulariser
from mfgen.lab._imports import Imports
from mfgen.zoo._catalogue import DATA
from mfgen.zoo._samples import prepare


def chosen(name, data="gaussians8", **changes):
    """What the rules choose for a recipe, by path, without drawing the data."""
    experiment = _recipes.experiment(name, data).changed(changes)
    experiment = _rules.fill(experiment, _rules.OF_DATA, _rules.Context(experiment))
    game, _ = stand_in(experiment, Imports(), 2, 16)
    dim = _rules.dimension(experiment.data)
    context = _rules.Context(experiment, dim, game)
    return _rules.fill(experiment, _rules.OF_GAME, context).chosen


def test_a_potential_is_set_up_for_the_dimension_of_its_data():
    plane, space = chosen("score-vp-hjb"), chosen("score-vp-hjb", "digits")
    assert plane == {
        "model.scale": 1.5,
        "training.learning_rate": 8e-3,
        "objective[1].weight": 0.3,
    }
    assert space == {
        "training.early_stopping": True,
        "model.scale": 0.133,
        "model.inner": True,
        "training.learning_rate": 3e-3,
        "objective[1].weight": 0.00937,
        "objective[1].laplacian": {"type": "Hutchinson"},
        "objective[1].collocation": {"type": "SpreadData"},
    } | ({"objective[1].weight": space["objective[1].weight"]})
    assert space["objective[1].weight"] == pytest.approx(0.3 * 2 / 64, abs=1e-5)


@pytest.mark.parametrize(("samples", "rate"), [({}, 8e-3), ({"data.samples": 500}, 3e-3)])
def test_the_rate_falls_with_the_dimension_where_data_are_few(samples, rate):
    for name in ("score-vp", "score-vp-hjb"):
        found = chosen(name, "mixture20", **{"data.dim": 8}, **samples)
        assert found["training.learning_rate"] == rate


def test_the_weight_is_larger_where_samples_are_few():
    for count, expected in ((5000, 0.3), (1000, 0.9), (200, 3.0)):
        found = chosen("score-vp-hjb", "moons", **{"data.samples": count})
        assert found["objective[1].weight"] == pytest.approx(expected)
        assert found["objective[1].collocation"] == {"type": "SpreadData"}
    assert chosen("score-vp-hjb", "iris")["objective[1].weight"] == pytest.approx(1.5)


def test_a_correction_learns_slowly_and_is_held_to_the_equation():
    usual, corrected = chosen("score-vp-hjb"), chosen("score-vp-corrected-hjb")
    assert corrected["training.learning_rate"] < usual["training.learning_rate"]
    assert corrected["objective[1].weight"] > usual["objective[1].weight"]


@pytest.mark.parametrize(("samples", "early"), [(None, False), (5000, True), (200, True)])
def test_kernels_of_few_samples_are_stopped_before_they_collapse(samples, early):
    more = {} if samples is None else {"data.samples": samples}
    found = chosen("score-kernel", "mixture20", **more)
    assert found.get("training.early_stopping", False) is early
    assert found.get("data.validation") == (0.1 if early else None)


def test_a_weight_to_be_chosen_stays_open_and_brings_validation():
    found = chosen("score-vp-hjb", **{"objective[1].select": [0.0, 1.0]})
    assert "objective[1].weight" not in found
    assert found["training.early_stopping"] is True
    assert found["data.validation"] == 0.1


def test_what_is_given_is_kept():
    given = {"objective.HJB.weight": 7.0, "training.learning_rate": 0.5, "model.scale": 0.1}
    found = chosen("score-vp-hjb", "digits", **given)
    assert not {"objective[1].weight", "training.learning_rate", "model.scale"} & set(found)


def test_a_penalty_that_is_not_squared_keeps_the_exact_laplacian():
    found = chosen("score-vp-hjb", "digits", **{"objective[1].penalty": {"type": "Huber"}})
    assert "objective[1].laplacian" not in found


def test_a_game_without_noising_is_collocated_at_uniform_times():
    game = {
        "dynamics": {"type": "Integrator", "sigma": 0.5},
        "lagrangian": "Kinetic",
        "terminal": {"type": "CrossEntropy", "target": "data"},
        "initial": "reference",
    }
    found = chosen("score-vp-hjb", "digits", game=game)
    assert found["objective[1].collocation"] == {"type": "UniformTime"}


def test_divergences_are_exact_where_that_is_cheap():
    assert "objective[0].paths.divergence" not in chosen("ot-flow", "digits")
    probe = {"type": "Hutchinson", "probes": 1}
    assert chosen("wr-flow", "digits")["objective[0].paths.divergence"] == probe
    assert "objective[0].paths.divergence" not in chosen("wr-flow", "iris")
    assert chosen("cnf", "digits")["objective[0].paths.divergence"] == probe


def test_what_is_chosen_for_data_is_chosen_anew_for_others():
    experiment = _recipes.experiment("score-vp-hjb")
    kept = assemble(experiment.changed({"data.samples": 300})).experiment
    assert kept.chosen["objective[1].weight"] == 0.9
    read = _toml.decode(_toml.parse(_toml.write(kept), "kept"))
    assert read.chosen == kept.chosen
    assert read.changed({"training.steps": 7}).chosen == kept.chosen
    assert read.changed({"data": {"name": "digits"}}).chosen == {}
    edited = _toml.parse(_toml.write(kept).replace("samples = 300", "samples = 200"), "edited")
    assert edited["data"] == {"name": "gaussians8", "samples": 200}
    # A number that its author puts down is the author's own.
    own = read.changed({"objective[1].weight": 0.2})
    assert own.filled["objective"][1]["weight"] == 0.2


def test_the_identity_of_a_run_knows_no_defaults():
    experiment = _recipes.experiment("score-gmm").changed({"data.samples": 100})
    kept = assemble(experiment).experiment
    spelt = assemble(
        experiment.changed(
            {
                "game.noising.beta_min": 0.1,
                "model.components": None,
                "evaluation.samples": 2000,
                "training.every": 100,
            }
        )
    ).experiment
    assert _toml.differences(kept, spelt) == []


def test_pairs_share_all_but_the_regulariser():
    for name in ("score-vp", "score-ve", "score-subvp"):
        plain, other = _recipes.experiment(name), _recipes.experiment(f"{name}-hjb")
        assert is_regularised(other)
        assert not is_regularised(plain)
        assert without_regulariser(other) == without_regulariser(plain)


@pytest.mark.parametrize("name", [name for name in DATA if DATA[name].kind == "embedded"])
def test_the_rows_of_embedded_data_are_known(name):
    made = _recipes.experiment("score-vp", name)
    prepared = prepare(made.data, key=jax.random.key(0))
    assert _rules.Context(made).few == len(prepared.train)
    assert _rules.Context(made.changed({"data.samples": 50})).few == 50


def test_a_model_of_few_samples_draws_few():
    assert chosen("score-proximal")["data.samples"] == 1000
    assert "data.samples" not in chosen("score-proximal", "digits")


def test_recipes_have_a_summary_and_a_reference():
    known = _recipes.documents()
    assert len(known) == 33
    for document in known.values():
        assert document["summary"]
        assert document["reference"]
        assert Experiment.of({"data": {"name": "moons"}, **document})


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean `digits`"):
        _recipes.experiment("score-vp", "digit")
    with pytest.raises(ValueError, match="did you mean `score-vp`"):
        _recipes.experiment("score-v")
