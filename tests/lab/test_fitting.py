"""Numbers chosen for one data set do not follow an experiment to another."""

import pytest

from mfgen.lab import fitting, recipes, spec


def resolved(name, data, dim):
    return recipes.resolve(recipes.experiment(name, data), dim)


def test_numbers_chosen_for_other_data_are_refused():
    experiment = resolved("score-vp-hjb", "gaussians8", 2)
    with pytest.raises(
        ValueError,
        match=r"^`run` got --data digits for .* `model\.inner` = false and 6 more were chosen for "
        r"gaussians8",
    ):
        fitting.check(experiment, spec.Data(name="digits"))


def test_numbers_that_fit_the_new_data_as_well_are_kept():
    fitting.check(resolved("score-vp-hjb", "gaussians8", 2), spec.Data(name="moons"))
    fitting.check(resolved("score-vp-hjb", "gaussians8", 2), spec.Data(name="gaussians8"))


def test_what_is_left_open_is_chosen_anew():
    fitting.check(recipes.experiment("score-vp-hjb"), spec.Data(name="digits"))


def test_numbers_of_the_users_own_are_kept():
    open_ = recipes.experiment("score-vp-hjb")
    model = spec.PotentialModel(scale=0.7)
    training = spec.Training(learning_rate=1e-3)
    own = spec.replace(open_, model=model, training=training)
    fitting.check(own, spec.Data(name="digits"))


def test_where_a_dimension_is_not_known_no_number_is_trusted():
    table = spec.Data(name="table", path="x.csv")
    with pytest.raises(ValueError, match="got --data table"):
        fitting.check(resolved("score-vp", "gaussians8", 2), table)
    kept = spec.replace(resolved("score-vp", "digits", 5), data=table)
    with pytest.raises(ValueError, match="were chosen for table"):
        fitting.check(kept, spec.Data(name="digits"))


def test_of_mixtures_the_dimension_given_counts():
    experiment = resolved("score-vp", "gaussians8", 2)
    fitting.check(experiment, spec.Data(name="mixture20"))
    with pytest.raises(ValueError, match="got --data mixture20"):
        fitting.check(experiment, spec.Data(name="mixture20", dim=20))
