"""The run folder: claimed by one run, written whole, rewound to its checkpoint."""

import json

import numpy as np
import pytest

from mfgen.lab import recipes
from mfgen.lab.store import RunFolder, fingerprint, write_whole

EXPERIMENT = recipes.experiment("score-vp")


SUMMARY = {
    "spec": "score-vp", "data": "iris", "seed": 3, "steps": 5, "best_step": None,
    "wall_seconds": 1.0, "evaluation_seconds": 2.0, "ms_per_step": None, "parameters": 7,
    "metrics": {"kl": {"value": 0.5, "standard_error": 0.1}}, "skipped": {"mmd": "no reason"},
}  # fmt: skip


def record(step):
    return {
        "step": step, "steps": 400, "terms": {"HJB": 0.5}, "validation": None, "seconds": 1.0,
        "milliseconds_per_step": 2.0,
    }  # fmt: skip


def files(path):
    return {file.name: file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_a_new_folder_is_claimed_and_keeps_the_specification(tmp_path):
    folder = RunFolder(tmp_path / "a" / "b")
    folder.claim(EXPERIMENT, resume=False)
    assert folder.is_run
    assert folder.experiment() == EXPERIMENT


def test_the_same_run_is_refused_without_resume_and_found_with_it(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.claim(EXPERIMENT, resume=False)
    with pytest.raises(ValueError, match="pass --resume to continue it"):
        folder.claim(EXPERIMENT, resume=False)
    folder.claim(EXPERIMENT, resume=True)


@pytest.mark.parametrize("resume", [False, True])
def test_another_run_is_refused_and_not_touched(tmp_path, resume):
    folder = RunFolder(tmp_path / "run")
    folder.claim(EXPERIMENT, resume=False)
    before = files(folder.path)
    other = EXPERIMENT.changed({"training.steps": 7})
    with pytest.raises(ValueError, match=r"`training.steps` is 7, was absent") as caught:
        folder.claim(other, resume=resume)
    assert "choose another --out" in str(caught.value)
    assert files(folder.path) == before


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_of_something_else_is_refused_and_not_touched(tmp_path, resume):
    (tmp_path / "thesis.tex").write_text("years of work", encoding="utf-8")
    with pytest.raises(ValueError, match="is not empty and holds no run"):
        RunFolder(tmp_path).claim(EXPERIMENT, resume=resume)
    assert files(tmp_path) == {"thesis.tex": b"years of work"}


def test_a_file_is_refused_as_a_folder(tmp_path):
    path = tmp_path / "file"
    path.write_text("x", encoding="utf-8")
    with pytest.raises(ValueError, match="is a file, expected a folder"):
        RunFolder(path).claim(EXPERIMENT, resume=False)


def test_what_a_kill_left_of_a_claim_does_not_block_the_folder(tmp_path):
    (tmp_path / ".spec.toml.123.partial").write_text("na", encoding="utf-8")
    RunFolder(tmp_path).claim(EXPERIMENT, resume=False)


def test_records_are_appended_and_rewound(tmp_path):
    folder = RunFolder(tmp_path)
    for step in (100, 200, 300):
        folder.append(record(step))
    folder.rewind(200)
    folder.append(record(300))
    assert [record["step"] for record in folder.records()] == [100, 200, 300]


@pytest.mark.parametrize("rest", [b'{"step": 20', b'{"step": 200}\n', b"\xff\xfe\n", b"[1]\n"])
def test_a_line_cut_off_by_a_kill_or_damaged_is_left_out(tmp_path, rest):
    folder = RunFolder(tmp_path)
    folder.append(record(100))
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(rest)
    assert [record["step"] for record in folder.records()] == [100]
    folder.rewind(100)
    folder.append(record(200))
    assert [record["step"] for record in folder.records()] == [100, 200]


def test_a_file_that_cannot_be_finished_leaves_the_old_one(tmp_path):
    path = tmp_path / "summary.json"
    write_whole(path, b"old")
    with pytest.raises(TypeError):
        write_whole(path, "no bytes")
    assert files(tmp_path) == {"summary.json": b"old"}


def test_arrays_come_back_and_objects_never(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_arrays("samples.npz", {"samples": np.arange(6.0).reshape(3, 2)})
    assert np.array_equal(folder.arrays("samples.npz")["samples"], np.arange(6.0).reshape(3, 2))
    assert folder.arrays("none.npz") == {}
    np.savez(tmp_path / "bad.npz", samples=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match=r"bad\.npz` cannot be read"):
        folder.arrays("bad.npz")
    for length in (0, 100):
        (tmp_path / "cut.npz").write_bytes((tmp_path / "samples.npz").read_bytes()[:length])
        with pytest.raises(ValueError, match=r"cut\.npz` cannot be read"):
            folder.arrays("cut.npz")


def test_an_unfinished_run_has_no_summary(tmp_path):
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(ValueError, match="holds no run"):
        folder.summary()
    folder.claim(EXPERIMENT, resume=False)
    with pytest.raises(ValueError, match="not finished"):
        folder.summary()
    for damaged in ('{"spec":', "{}", "[]", "null", json.dumps(SUMMARY | {"metrics": {"kl": 1}})):
        (folder.path / "summary.json").write_text(damaged, encoding="utf-8")
        with pytest.raises(ValueError, match=r"summary\.json` cannot be read"):
            folder.summary()
    folder.write_json("summary.json", SUMMARY)
    assert folder.summary() == SUMMARY
    assert json.loads((folder.path / "summary.json").read_text()) == SUMMARY


def test_numbers_that_json_does_not_know_are_kept_as_words(tmp_path):
    folder = RunFolder(tmp_path)
    measure = {"value": np.inf, "standard_error": float("nan")}
    folder.write_json("profiles.json", {"hjb": {"value": [np.inf], "standard_error": [-np.inf]}})
    folder.write_json("measure.json", measure)
    strict = lambda word: pytest.fail(f"{word} is no JSON")
    found = json.loads((tmp_path / "measure.json").read_text(), parse_constant=strict)
    assert found == {"value": "inf", "standard_error": "nan"}
    assert float(found["value"]) == np.inf
    assert folder.profiles()["hjb"]["standard_error"] == ["-inf"]
    folder.write_json("profiles.json", {"hjb": {}})
    with pytest.raises(ValueError, match=r"profiles\.json` cannot be read"):
        folder.profiles()


def test_the_fingerprint_tells_runs_apart():
    other = EXPERIMENT.changed({"seed": 1})
    prints = {fingerprint(EXPERIMENT), fingerprint(other), fingerprint(EXPERIMENT, b"data")}
    assert len(prints) == 3
    assert fingerprint(EXPERIMENT, b"data") == fingerprint(EXPERIMENT, b"data")
