"""Recipes and the settings chosen by dimension."""

import jax
import pytest

from mfgen.lab import recipes, spec
from mfgen.lab.catalogue import DATA
from mfgen.lab.samples import prepare


def test_a_model_of_few_samples_draws_few():
    assert recipes.experiment("score-proximal").data.samples == 1000
    assert recipes.experiment("score-proximal", "digits").data.samples is None
    assert recipes.experiment("score-kde").data.samples is None


def test_the_recipes_are_those_promised():
    noisings = ("score-vp", "score-ve", "score-subvp")
    promised = {
        *noisings,
        *(f"{name}-hjb" for name in noisings),
        "score-vp-corrected",
        "score-vp-corrected-hjb",
        "score-kernel",
        "score-kde",
        "score-gmm",
        "score-proximal",
        "cnf",
        "ot-flow",
        "potential-flow",
        "rnode",
        "wr-flow",
        "relativistic-flow",
        "anisotropic-flow",
        "obstacle-flow",
        "flow-matching",
        "ot-flow-matching",
        "stochastic-interpolant",
        "action-matching",
        "boltzmann",
        "langevin",
        "svgd",
        "gradient-flow",
        "mmd-flow",
        "generative-particles",
        "w1w2-flow",
        "jko",
        "discounted-flow",
    }
    assert set(recipes.RECIPES) == promised


def test_a_regularised_recipe_differs_from_the_plain_one_in_its_hjb_term_alone():
    for name in ("score-vp", "score-ve", "score-subvp"):
        plain = recipes.resolve(recipes.experiment(name, "digits"), 64)
        regularised = recipes.resolve(recipes.experiment(f"{name}-hjb", "digits"), 64)
        assert plain != regularised
        assert recipes.is_regularised(regularised)
        assert not recipes.is_regularised(plain)
        assert recipes.without_regulariser(regularised) == recipes.without_regulariser(plain)


def test_nothing_is_open_once_resolved():
    for name in recipes.RECIPES:
        experiment = recipes.resolve(recipes.experiment(name, "digits"), 64)
        assert experiment == recipes.resolve(experiment, 2)


def test_what_is_given_is_kept():
    experiment = spec.replace(
        recipes.experiment("score-vp-hjb"),
        objective=(spec.HJB(weight=7.0, laplacian=spec.Exact(), collocation=spec.UniformTime()),),
        training=spec.Training(learning_rate=0.5, early_stopping=True),
    )
    resolved = recipes.resolve(experiment, 64)
    assert resolved.objective == experiment.objective
    assert resolved.training.learning_rate == 0.5
    assert resolved.training.early_stopping is True


def test_a_penalty_that_is_not_squared_keeps_the_exact_laplacian():
    term = spec.HJB(penalty=spec.Huber())
    resolved = recipes.resolve(spec.replace(recipes.experiment("score-vp"), objective=(term,)), 64)
    assert resolved.objective[0].laplacian == spec.Exact()


def test_residual_points_are_spread_where_samples_are_few():
    """On real data; on others they are those of score matching, which costs less."""
    terms = {
        name: recipes.resolve(recipes.experiment("score-vp-hjb", name), 2).objective[1]
        for name in ("gaussians8", "digits")
    }
    assert terms["gaussians8"].collocation == spec.NoisedData()
    assert terms["digits"].collocation == spec.SpreadData()
    game = spec.ControlGame(dynamics=spec.Integrator(sigma=0.5))
    other = spec.replace(recipes.experiment("score-vp-hjb", "digits"), game=game)
    assert recipes.resolve(other, 2).objective[1].collocation == spec.UniformTime()


def test_the_weight_is_larger_where_samples_are_few():
    def weight(**data):
        made = spec.replace(recipes.experiment("score-vp-hjb"), data=spec.Data(**data))
        return recipes.resolve(made, 2).objective[-1]

    plenty = weight(name="moons")
    assert (plenty.weight, plenty.collocation) == (0.3, spec.NoisedData())
    for count, expected in ((5000, 0.3), (1000, 0.9), (200, 3.0)):
        term = weight(name="moons", samples=count)
        assert term.weight == pytest.approx(expected)
        assert term.collocation == spec.SpreadData()
    assert weight(name="iris").weight == pytest.approx(3.0)


@pytest.mark.parametrize("name", [name for name in DATA if DATA[name].kind == "embedded"])
def test_the_rows_of_embedded_data_are_known(name):
    chosen = spec.Data(name=name)
    prepared = prepare(chosen, key=jax.random.key(0))
    assert recipes.count(chosen) == len(prepared.train)
    assert recipes.count(spec.replace(chosen, samples=50)) == 50


def test_a_weight_to_be_chosen_stays_open_and_brings_validation():
    for term in (spec.HJB(select=(0.0, 1.0)), spec.ScoreHJB(select=(0.0, 1.0))):
        chosen = spec.replace(recipes.experiment("score-vp"), objective=(spec.Denoising(), term))
        resolved = recipes.resolve(chosen, 2)
        assert resolved.objective[1].weight is None
        assert resolved.training.early_stopping is True
        assert resolved.data.validation == 0.1
        assert recipes.resolve(resolved, 2) == resolved
        assert recipes.data(chosen) == resolved.data


@pytest.mark.parametrize(
    ("data", "early_stopping", "validation"),
    [
        ({"name": "moons"}, None, None),
        ({"name": "moons"}, True, 0.1),
        ({"name": "moons", "validation": 0.3}, True, 0.3),
        ({"name": "moons", "validation": 0.3}, None, 0.3),
        ({"name": "iris"}, None, None),
    ],
)
def test_of_a_toy_a_tenth_is_held_out_where_it_is_needed(data, early_stopping, validation):
    experiment = spec.Experiment(
        name="a", data=spec.Data(**data), training=spec.Training(early_stopping=early_stopping)
    )
    assert recipes.resolve(experiment, 2).data.validation == validation


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean `digits`"):
        recipes.experiment("score-vp", "digit")
    with pytest.raises(ValueError, match="expected one of score-vp"):
        recipes.experiment("score-v")


def test_a_correction_learns_slowly_and_is_held_to_the_equation():
    names = ("score-vp-hjb", "score-vp-corrected-hjb")
    usual, corrected = (recipes.resolve(recipes.experiment(name), 4) for name in names)
    assert corrected.training.learning_rate < usual.training.learning_rate
    assert corrected.objective[-1].weight > usual.objective[-1].weight


@pytest.mark.parametrize(("samples", "early"), [(None, False), (5000, True), (200, True)])
def test_kernels_of_few_samples_are_stopped_before_they_collapse(samples, early):
    made = recipes.experiment("score-kernel")
    made = spec.replace(made, data=spec.Data(name="mixture20", samples=samples))
    resolved = recipes.resolve(made, 2)
    assert resolved.training.early_stopping is early
    assert resolved.data.validation == (0.1 if early else None)
