"""The study of the regulariser: what is compared is comparable, and ratios are what they say."""

import math

import numpy as np
import pytest
from benchmarks.hjb import density, page, tuning
from benchmarks.hjb.choices import SCARCE
from benchmarks.hjb.cost import Costs
from benchmarks.hjb.results import Results, Values, ratio
from benchmarks.hjb.rows import Row, unique
from benchmarks.hjb.tables import number
from benchmarks.hjb.whole import design

from mfgen.lab import run
from mfgen.lab._claims import claimed
from mfgen.lab._comparison import is_regularised, without_regulariser

METHODS = ("plain", "hjb", "field", "corrected", "corrected-hjb", "corrected-field")
COSTS = Costs(
    {str(dim): dict.fromkeys(METHODS, 2.0) | {"field": 1.0} for dim in (2, 8, 20, 50)},
    {str(dim): {"corrected": 1.0} for dim in (2, 8, 20, 50)},
    {str(dim): 300.0 for dim in (2, 8, 20, 50)},
)
ROWS = design(COSTS, quick=False, protein="protein.csv")


def test_pairs_differ_in_the_regulariser_and_its_learning_rate_alone():
    rows = {(row.study, row.setting, row.method): row.experiment for row in ROWS}
    pairs = [
        (made, rows[study, setting, method.replace("hjb", "plain")])
        for (study, setting, method), made in rows.items()
        if method == "hjb"
    ]
    assert len(pairs) > 15
    for regularised, plain in pairs:
        rate = regularised.document["training"]["learning_rate"]
        same = plain.changed({"training.learning_rate": rate})
        assert without_regulariser(same) == without_regulariser(regularised)
        assert is_regularised(regularised)
        assert not is_regularised(plain)


def test_no_target_of_the_study_was_tuned_on():
    for row in ROWS:
        assert row.experiment.data.name not in ("moons", "spiral")
        assert row.experiment.data.variant not in (1, 2)
        assert max(row.seeds) < 10


def test_few_samples_are_stopped_by_held_out_data():
    for row in ROWS:
        if row.study in ("samples", "real", "large") and row.experiment.training.steps:
            early = row.experiment.training.early_stopping
            assert early or row.method in ("mixture", "kernel")
    assert SCARCE >= 1438  # digits


def test_one_experiment_is_run_once():
    rows = unique(ROWS)
    assert len({row.digest for row in rows}) == len(rows) < len(ROWS)


def test_equal_time_counts_the_steps_and_the_estimate():
    assert COSTS.steps(2, "field") == 6000
    assert COSTS.steps(8, "corrected") == 2500


def test_ratios_are_paired():
    found = ratio(Values({0: 1.0, 1: 4.0, 2: 9.0}), Values({0: 2.0, 1: 2.0}))
    assert found is not None
    assert found.mean == pytest.approx(1.0)
    assert found.factor == pytest.approx(np.exp(np.std([np.log(0.5), np.log(2)], ddof=1)))
    negative = ratio(Values({0: -0.1, 1: 0.3}), Values({0: 0.1, 1: 0.1}))
    assert negative is not None
    assert negative.mean == pytest.approx(1.0)
    assert math.isnan(negative.factor)


def test_numbers_have_three_digits():
    assert [number(x) for x in (0.02174, 1234.5, -1.2345, 0.0)] == ["0.0217", "1234", "-1.23", "0"]


def test_the_page_says_what_was_found(tmp_path):
    rows = [
        Row("plane", "8 Gaussians", name, made, (0, 1))
        for name, made in {
            row.method: row.experiment for row in ROWS if row.setting == "8 Gaussians"
        }.items()
        if name in ("plain", "hjb")
    ]
    values = {"plain": (0.04, 0.05), "hjb": (0.02, 0.025)}
    for row in rows:
        for seed in row.seeds:
            folder = row.folder(tmp_path, seed)
            kept = {"value": values[row.method][seed], "standard_error": 0.001}
            with claimed(folder, row.seeded(seed), resume=False):
                folder.write_json("summary.json", _summary(row, seed, {"kl": kept}))
    results = Results(rows, tmp_path)
    found = results.ratio("plane", "8 Gaussians", "hjb", "plain")
    assert found is not None
    assert found.mean == pytest.approx(0.5)
    text = page.write(rows, tmp_path, tmp_path / "out", costs=COSTS, quick=False).read_text()
    assert "| 8 Gaussians | 0.0450 ± 0.0071 | 0.0225 ± 0.0035 | **0.50** x/ 1.00 |" in text
    assert (tmp_path / "out" / "hjb" / "plane.png").is_file()


def test_both_densities_stand_side_by_side(tmp_path):
    """What was refused is told from what has not been run."""
    study = [row for row in density.rows(COSTS) if row.setting == "8 Gaussians"]
    measured = {
        "plain": {"kl": 0.04},
        "hjb": {"kl": 0.02, "one_evaluation_kl": 0.0032, "effective_part": 0.97},
    }
    for row in study:
        for seed in row.seeds if row.method in measured else ():
            folder = row.folder(tmp_path, seed)
            kept = {
                name: {"value": value * (1 + seed), "standard_error": 0.0}
                for name, value in measured[row.method].items()
            }
            with claimed(folder, row.seeded(seed), resume=False):
                folder.write_json("summary.json", _summary(row, seed, kept))
    results = Results(study, tmp_path)
    line = next(x for x in density.section(results).splitlines() if x.startswith("| 8 Gaussians"))
    cells = [text.strip() for text in line.split("|")[2:-1]]
    ode, own = ["0.0800 ± 0.0400", "0.0400 ± 0.0200", "not measured", "not measured"], "0.0064"
    assert cells[:5] == [*ode, "refused"]
    assert cells[5].startswith(own)
    assert cells[7:] == ["**0.08** x/ 1.00", "-"]
    aims = {aim.what: aim.line[-1] for aim in density.aims(results)}
    assert aims["8 Gaussians, KL, hjb in one evaluation / plain by ODE"] == "met"
    assert aims["8 Gaussians, KL, hjb in one evaluation / field= by ODE"] == "not measured"


# In 8 dimensions U has a peak far outside, of which it warns: the density is that among the points.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`potential_density` got a potential that is lower")
@pytest.mark.parametrize(("setting", "bound"), [("8 Gaussians", 0.2), ("mixture, d = 8", 0.45)])
def test_the_potential_is_the_better_density(setting, bound, tmp_path):
    """The headline, as the study measures it: bounds are above the spread of its seeds."""
    rows = [
        row._replace(seeds=(0,))
        for row in density.rows(COSTS)
        if row.setting == setting and row.method in ("plain", "hjb")
    ]
    for row in rows:
        run(row.seeded(0), row.folder(tmp_path, 0).path)
    found = density.gain(Results(rows, tmp_path), setting, "plain")
    assert found is not None
    assert found.mean < bound


def _summary(row: Row, seed: int, metrics: dict) -> dict:
    return {
        "spec": row.experiment.name,
        "data": row.experiment.data.name,
        "seed": seed,
        "steps": row.experiment.training.steps,
        "best_step": None,
        "wall_seconds": 1.0,
        "evaluation_seconds": 1.0,
        "ms_per_step": 1.0,
        "parameters": 1,
        "metrics": metrics,
        "skipped": {},
    }


def test_the_settings_were_tuned_on_nothing_that_is_reported():
    divided = ("real", "density of tables")  # anew for each seed
    reported = [row.experiment.data for row in ROWS if row.study not in divided]
    for row in tuning.rows():
        assert min(row.seeds) >= 10
        assert row.experiment.data not in reported
