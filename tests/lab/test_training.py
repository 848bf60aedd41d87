"""Runs whose weight is chosen by validation: what is kept, what is told, and kills."""

import json

import numpy as np
import pytest

from mfgen.lab import _case, _commands, _comparison, _report, _run, _toml, _wording

WEIGHTS = [0.0, 0.1, 3.0]
TINY = {
    "name": "tiny",
    "data": {"name": "gaussians8", "samples": 200},
    "game": {"type": "score_based", "target": "data", "noising": {"type": "VP", "beta_max": 9.1}},
    "model": {"type": "score_potential", "width": 8, "depth": 1, "frequencies": 4},
    "objective": [
        {"type": "DenoisingScoreMatching"},
        {"type": "HJB", "points": 8, "select": WEIGHTS},
    ],
    "training": {"steps": 20, "batch_size": 16, "every": 5, "checkpoint_every": 10},
    "evaluation": {"metrics": [], "figures": False},
}


def tiny(**changes):
    return _toml.decode(TINY | changes)


def lines(folder, name):
    return [json.loads(line) for line in (folder / name).read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run."""
    return _run.run(tiny(), tmp_path_factory.mktemp("whole") / "run")


def test_a_run_keeps_what_was_chosen_and_what_was_tried(whole):
    kept = whole.folder.summary()["weights"]
    assert kept["term"] == "HJB"
    assert [candidate["weight"] for candidate in kept["candidates"]] == WEIGHTS
    losses = [candidate["loss"] for candidate in kept["candidates"]]
    best = int(np.argmin(losses))
    assert kept["chosen"] == WEIGHTS[best]
    assert whole.summary["best_step"] == kept["candidates"][best]["step"]
    seconds = sum(candidate["seconds"] for candidate in kept["candidates"])
    assert whole.summary["wall_seconds"] == pytest.approx(seconds)
    assert len(whole.case.samples.train) == 180
    records = lines(whole.folder.path, "metrics.jsonl")
    assert [record["step"] for record in records] == [5, 10, 15, 20]
    assert min(record["validation"] for record in records) == losses[best]
    trials = lines(whole.folder.path, "trials.jsonl")
    assert [record["trial"]["weight"] for record in trials] == [w for w in WEIGHTS for _ in "1234"]
    assert whole.folder.experiment().terms[1]["select"] == WEIGHTS


def test_the_chosen_model_is_that_of_a_run_with_the_weight(whole, tmp_path):
    chosen = whole.summary["weights"]["chosen"]
    terms = [{"type": "DenoisingScoreMatching"}]
    if chosen:
        terms.append({"type": "HJB", "points": 8, "weight": chosen})
    alone = tiny(objective=terms, training=TINY["training"] | {"early_stopping": True})
    other = _run.run(alone, tmp_path / "run")
    assert other.folder.model.read_bytes() == whole.folder.model.read_bytes()
    assert other.summary["weights"] is None
    entries = _comparison.read([whole.folder.path, other.folder.path])
    assert len(_comparison.group(entries)) == 1


class Stop(Exception):
    """Raised by a watcher in the place of a kill."""


@pytest.mark.parametrize("done", [25, 35])
def test_a_run_that_was_stopped_in_its_second_training_ends_the_same(whole, tmp_path, done):
    def record(progress):
        if progress.done == done:
            raise Stop

    out = tmp_path / "run"
    with pytest.raises(Stop):
        _run.run(tiny(), out, watcher=_case.Watcher(record=record))
    seen = []
    again = _run.run(tiny(), out, resume=True, watcher=_case.Watcher(record=seen.append))
    assert seen[0].done == done
    assert again.folder.model.read_bytes() == whole.folder.model.read_bytes()
    for name in ("metrics.jsonl", "trials.jsonl"):
        kept = [
            [(r["step"], r["terms"], r["validation"], r["trial"]) for r in lines(path, name)]
            for path in (out, whole.folder.path)
        ]
        assert kept[0] == kept[1]


def test_one_line_tells_what_was_chosen(whole):
    chosen = whole.summary["weights"]["chosen"]
    line = f"weight of HJB: {chosen:g}, chosen by validation from 0, 0.1 and 3"
    assert _wording.weights(whole.summary["weights"]) == line
    page = _report.render(_comparison.read([whole.folder.path]))
    assert f"tiny, seed 0: {line}." in page
    failed = whole.summary["weights"] | {
        "candidates": [
            {"weight": 0.0, "loss": 1.0, "step": 5, "seconds": 1.0},
            {"weight": 9.0, "loss": "inf", "step": None, "seconds": 1.0},
        ]
    }
    assert _wording.weights(failed).endswith("from 0 and 9; 1 of these trainings failed")
    assert line in str(_commands._finished(whole).view.renderables)


def test_what_a_weight_cannot_be_chosen_by_is_refused_before_the_folder_is_made(tmp_path):
    few = tiny(data={"name": "gaussians8", "samples": 10})
    with pytest.raises(ValueError, match=r"`select` without validation data.*expected at least 2"):
        _run.run(few, tmp_path / "run")
    alone = tiny(objective=TINY["objective"][1:])
    with pytest.raises(ValueError, match="a regulariser beside a term that fits"):
        _run.run(alone, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert _case.assemble(few.changed({"objective": [{"type": "DenoisingScoreMatching"}]}))
