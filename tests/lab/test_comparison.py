"""Runs side by side: grouped, averaged over seeds, paired, and put into words."""

import math

import numpy as np
import pytest

from mfgen.lab import _comparison, _recipes, _wording
from mfgen.lab._measures import METRICS


@pytest.fixture(scope="module")
def groups(hand_written):
    return _comparison.group(_comparison.read(hand_written))


def test_runs_are_grouped_by_data_and_method(groups):
    assert [group.label for group in groups] == ["gaussians8", "digits"]
    first = groups[0]
    assert [column.label for column in first.columns] == ["score-vp", "score-vp-hjb"]
    assert [column.seeds for column in first.columns] == [[0, 1], [0, 1]]
    assert first.metrics == ("kl", "hjb_residual", "energy_distance")


def test_a_cell_is_the_mean_over_seeds_with_their_spread(groups):
    cell = groups[0].columns[0].cell("kl")
    assert cell.mean == pytest.approx(0.042)
    assert cell.spread == pytest.approx(0.004 / math.sqrt(2))
    assert cell.error == pytest.approx(cell.spread / math.sqrt(2))
    assert cell.seeds == 2
    assert groups[0].columns[0].cell("c2st") is None


def test_one_seed_keeps_the_error_of_the_measure(groups):
    cell = groups[1].columns[0].cell("log_likelihood")
    assert (cell.mean, cell.spread, cell.error, cell.seeds) == (-102, None, 0.3, 1)


def test_a_pair_is_compared_seed_by_seed(groups):
    (pair,) = groups[0].pairs
    assert (pair.regularised.label, pair.plain.label) == ("score-vp-hjb", "score-vp")
    kl = pair.contrast("kl")
    assert kl.ratio == pytest.approx(0.5)
    assert kl.factor == pytest.approx(1.0)
    assert (kl.wins, kl.seeds) == (2, 2)
    assert kl.is_told_apart
    assert not pair.contrast("energy_distance").is_told_apart
    assert pair.contrast("c2st") is None


def test_a_measure_of_either_sign_is_compared_by_its_difference(groups):
    (pair,) = groups[1].pairs
    likelihood = pair.contrast("log_likelihood")
    assert likelihood.ratio is None
    assert likelihood.difference == pytest.approx(1.0)
    assert likelihood.error == pytest.approx(0.3 * math.sqrt(2))
    assert likelihood.wins == 1


def test_one_seed_is_compared_point_by_point(write_run, tmp_path):
    """Both are judged at the same points: what these have in common is not counted as chance."""
    rng = np.random.default_rng(0)
    common, own = rng.normal(-100, 10, 400), rng.normal(0, 1, 400)
    folders = []
    for name, values in (("score-vp", common), ("score-vp-hjb", common + 0.5 + own)):
        measure = (values.mean(), values.std() / 20)
        experiment = _recipes.experiment(name, "digits")
        folder = write_run(tmp_path / name, experiment, {"log_likelihood": measure}, pictures=False)
        folder.write_arrays("points.npz", {"log_likelihood": values})
        folders.append(folder.path)
    (group,) = _comparison.group(_comparison.read(folders))
    contrast = group.pairs[0].contrast("log_likelihood")
    assert contrast.error == pytest.approx(own.std(ddof=1) / 20)
    assert contrast.is_told_apart


def test_the_density_in_one_evaluation_is_compared_with_the_flow_of_the_other(write_run, tmp_path):
    measures = {"score-vp": {"kl": (0.04, 0.003)}}
    measures["score-vp-hjb"] = {"kl": (0.02, 0.002), "one_evaluation_kl": (0.0048, 0.0004)}
    folders = [
        write_run(tmp_path / name, _recipes.experiment(name), kept, pictures=False).path
        for name, kept in measures.items()
    ]
    (group,) = _comparison.group(_comparison.read(folders))
    contrast = group.pairs[0].contrast("one_evaluation_kl")
    assert (contrast.ratio, contrast.wins) == (pytest.approx(0.12), 1)
    assert contrast.error == pytest.approx(math.hypot(0.0004, 0.003))
    row = {row.name: row for row in _wording.rows(group)}["one_evaluation_kl"]
    assert row.cells == ("-", "0.00480 ± 0.00040")
    assert row.contrasts == ("0.12",)
    said = "KL in one evaluation: 0.0048 against 0.04 nats by the ODE of the other, 0.12 times"
    assert said in str(_wording.reading(group)[0])


def test_methods_that_differ_in_a_setting_are_not_paired(write_run, tmp_path):
    plain = _recipes.experiment("score-vp")
    longer = _recipes.experiment("score-vp-hjb").changed({"training.steps": 5000})
    shorter = plain.changed({"training.steps": 7})
    folders = [
        write_run(tmp_path / name, experiment, {"kl": (0.1, 0.01)}, pictures=False).path
        for name, experiment in (("a", plain), ("b", longer), ("c", shorter))
    ]
    (group,) = _comparison.group(_comparison.read(folders))
    assert group.pairs == ()
    labels = [column.label for column in group.columns]
    assert labels == ["score-vp", "score-vp-hjb", "score-vp (training.steps = 7)"]


def test_data_of_another_size_are_another_group(write_run, tmp_path):
    few = _recipes.experiment("score-vp").changed({"data.samples": 200})
    folders = [
        write_run(
            tmp_path / "a", _recipes.experiment("score-vp"), {"kl": (0.1, 0.01)}, pictures=False
        ).path,
        write_run(tmp_path / "b", few, {"kl": (0.3, 0.01)}, pictures=False).path,
    ]
    groups = _comparison.group(_comparison.read(folders))
    assert [group.label for group in groups] == ["gaussians8", "gaussians8 (samples = 200)"]


def test_bad_sets_of_runs_are_refused(hand_written, tmp_path):
    with pytest.raises(ValueError, match="got no run"):
        _comparison.read([])
    with pytest.raises(ValueError, match="hold the same run"):
        _comparison.read([hand_written[0], hand_written[0]])
    with pytest.raises(ValueError, match="holds no run"):
        _comparison.read([tmp_path])


def test_the_table_shows_values_errors_and_ratios(groups):
    table = {row.name: row for row in _wording.rows(groups[0])}
    assert table["kl"].cells == ("0.0420 ± 0.0028", "0.0210 ± 0.0014")
    assert table["kl"].contrasts == ("0.5 (x/ 1.00)",)
    assert table["kl"].best == (False, True)
    assert table["energy_distance"].best == (False, False)
    real = {row.name: row for row in _wording.rows(groups[1])}
    assert real["log_likelihood"].best == (False, True)
    assert real["log_likelihood"].contrasts == ("+1",)


def test_the_reading_says_what_the_numbers_say(groups):
    (reading,) = _wording.reading(groups[0])
    assert reading.opening == "score-vp-hjb against score-vp, 2 seeds:"
    kl, residual, energy, cost = reading.sentences
    assert "0.021 against 0.042 nats, 0.5 times, better" in kl
    assert "better in 2 of 2 seeds" in kl
    assert "0.5 times" in residual
    assert energy.endswith("a difference within two standard errors.")
    assert cost == "A training step took 1.25 times as long, at equal numbers of steps."


def test_a_worse_result_is_called_worse(write_run, tmp_path):
    folders = [
        write_run(
            tmp_path / name, _recipes.experiment(name), {"kl": (value, 0.001)}, pictures=False
        ).path
        for name, value in (("score-vp", 0.02), ("score-vp-hjb", 0.05))
    ]
    ((reading,),) = [_wording.reading(g) for g in _comparison.group(_comparison.read(folders))]
    assert "0.05 against 0.02 nats, 2.5 times, worse." in reading.sentences[0]


def test_the_title_says_what_was_compared(groups, hand_written):
    assert _wording.title(groups) == (
        "score-vp with and without the HJB regulariser, on gaussians8 and digits"
    )
    alone = _comparison.group(_comparison.read(hand_written[:1]))
    assert _wording.title(alone) == "score-vp on gaussians8"
    assert _wording.reading(alone[0])[0].opening == "score-vp, one seed:"


def test_the_best_memorisation_is_that_of_fresh_data():
    badness = METRICS["memorisation"].badness
    assert badness(0.95) < badness(1.2) < badness(0.4)
    assert METRICS["log_likelihood"].badness(2.0) < METRICS["log_likelihood"].badness(1.0)
    assert METRICS["kl"].badness(0.1) < METRICS["kl"].badness(0.2)
