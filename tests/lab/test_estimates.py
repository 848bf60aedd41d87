"""The recipes of no steps from end to end: run, reported, loaded, sampled, continued."""

import numpy as np
import pytest

from mfgen.lab import _comparison, _recipes, _report, _wording
from mfgen.lab import _run as running

SMALL = {
    "samples": 60,
    "points": 60,
    "sampler": {"type": "StochasticHeun", "steps": 10},
    "likelihood": {"type": "OneShot"},
    "metrics": ["kl", "log_likelihood", "one_shot_gap", "hjb_residual"],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    place, found = tmp_path_factory.mktemp("estimates"), {}
    iris, toy = {"name": "iris"}, {"name": "mixture20", "samples": 300, "variant": 1}
    # Three of the four: each evaluation is compiled anew.
    for name, data in (("score-kde", iris), ("score-gmm", iris), ("score-gmm", toy)):
        experiment = _recipes.experiment(name).changed({"data": data, "evaluation": SMALL})
        found[name, data["name"]] = running.run(experiment, place / f"{name}-{data['name']}")
    return found


def test_a_recipe_of_no_steps_is_judged_against_the_truth(runs):
    measured = runs["score-gmm", "mixture20"].summary["metrics"]
    assert 0 < measured["kl"]["value"] < 0.7
    assert measured["hjb_residual"]["value"] < 0.05
    assert "one_shot_gap" in runs["score-gmm", "mixture20"].summary["skipped"]


@pytest.mark.parametrize("name", ["score-kde", "score-gmm"])
def test_a_recipe_of_no_steps_is_judged_on_real_data(runs, name):
    real = runs[name, "iris"].summary
    # The Gaussian of the training data's moments has about -2.8.
    assert -3.5 < real["metrics"]["log_likelihood"]["value"] < 0
    assert real["steps"] == 0
    assert real["ms_per_step"] is None
    assert runs[name, "iris"].folder.records() == []


def test_a_run_of_no_steps_is_loaded_sampled_and_continued(runs):
    for name in ("score-kde", "score-gmm"):
        run = runs[name, "iris"]
        loaded = running.load(run.folder.path)
        first, second = (running.sample(each, 5, seed=0) for each in (run, loaded))
        np.testing.assert_array_equal(first, second)
    again = running.run(run.folder.experiment(), run.folder.path, resume=True)
    assert again.summary["metrics"] == run.summary["metrics"]


def test_runs_of_no_steps_are_compared_and_reported(runs, tmp_path):
    paths = [run.folder.path for run in runs.values()]
    groups = _comparison.group(_comparison.read(paths))
    assert [group.label for group in groups] == ["iris", "mixture20 (samples = 300, variant = 1)"]
    for group in groups:
        assert _wording.rows(group)
    page = _report.write(paths, tmp_path / "report.html").read_text("utf-8")
    assert "score-kde" in page
    assert "score-gmm" in page
