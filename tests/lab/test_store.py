"""The run folder: claimed by one run, written whole, rewound to its checkpoint."""

import json
import os
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest

from mfgen.lab import RunFolder, _recipes
from mfgen.lab._claims import check_results, claimed
from mfgen.lab._store import fingerprint, write_whole
from mfgen.trainers import Progress

EXPERIMENT = _recipes.experiment("score-vp")


SUMMARY = {
    "spec": "score-vp",
    "data": "gaussians8",
    "seed": 0,
    "steps": 5,
    "best_step": None,
    "wall_seconds": 1.0,
    "evaluation_seconds": 2.0,
    "ms_per_step": None,
    "parameters": 7,
    "metrics": {"kl": {"value": 0.5, "standard_error": 0.1}},
    "skipped": {"mmd": "no reason"},
}


def record(step):
    return {
        "step": step,
        "steps": 400,
        "terms": {"HJB": 0.5},
        "validation": None,
        "seconds": 1.0,
        "milliseconds_per_step": 2.0,
    }


def claim(folder, experiment, *, resume):
    with claimed(folder, experiment, resume=resume):
        pass


def files(path):
    return {file.name: file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_a_new_folder_is_claimed_and_keeps_the_specification(tmp_path):
    folder = RunFolder(tmp_path / "a" / "b")
    claim(folder, EXPERIMENT, resume=False)
    assert folder.is_run
    assert folder.experiment() == EXPERIMENT


def test_the_same_run_is_refused_without_resume_and_found_with_it(tmp_path):
    folder = RunFolder(tmp_path / "run")
    claim(folder, EXPERIMENT, resume=False)
    with pytest.raises(ValueError, match="pass --resume to continue it"):
        claim(folder, EXPERIMENT, resume=False)
    claim(folder, EXPERIMENT, resume=True)


@pytest.mark.parametrize("resume", [False, True])
def test_another_run_is_refused_and_not_touched(tmp_path, resume):
    folder = RunFolder(tmp_path / "run")
    claim(folder, EXPERIMENT, resume=False)
    before = files(folder.path)
    other = EXPERIMENT.changed({"training.steps": 7})
    with pytest.raises(ValueError, match=r"`training.steps` is 7, was absent") as caught:
        claim(folder, other, resume=resume)
    assert "choose another --out" in str(caught.value)
    assert files(folder.path) == before


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_of_something_else_is_refused_and_not_touched(tmp_path, resume):
    (tmp_path / "thesis.tex").write_text("years of work", encoding="utf-8")
    with pytest.raises(ValueError, match="is not empty and holds no run"):
        claim(RunFolder(tmp_path), EXPERIMENT, resume=resume)
    assert files(tmp_path) == {"thesis.tex": b"years of work"}


def test_a_file_is_refused_as_a_folder(tmp_path):
    path = tmp_path / "file"
    path.write_text("x", encoding="utf-8")
    with pytest.raises(ValueError, match="is a file, expected a folder"):
        claim(RunFolder(path), EXPERIMENT, resume=False)


def test_what_a_kill_left_of_a_claim_does_not_block_the_folder(tmp_path):
    (tmp_path / ".spec.toml.123.partial").write_text("na", encoding="utf-8")
    claim(RunFolder(tmp_path), EXPERIMENT, resume=False)


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
    claim(folder, EXPERIMENT, resume=False)
    with pytest.raises(ValueError, match="not finished"):
        folder.summary()
    for damaged in ('{"spec":', "{}", "[]", "null", json.dumps(SUMMARY | {"metrics": {"kl": 1}})):
        (folder.path / "summary.json").write_text(damaged, encoding="utf-8")
        with pytest.raises(ValueError, match=r"summary\.json` cannot be read"):
            folder.summary()
    folder.write_json("summary.json", SUMMARY)
    assert folder.summary() == SUMMARY
    assert json.loads((folder.path / "summary.json").read_text()) == SUMMARY


@pytest.fixture
def finished(tmp_path):
    """A folder with all that a finished run has, but for what is in it."""
    folder = RunFolder(tmp_path / "run")
    with claimed(folder, EXPERIMENT, resume=False):
        folder.append(record(100))
        folder.write_leaves("model.eqx", {"weight": np.arange(6.0)})
        folder.write_arrays("points.npz", {"kl": np.arange(3.0)})
        folder.write_bytes("custom/mine.py", b"x = 1\n")
        folder.finish(SUMMARY)
    return folder


PARTS = ["spec.toml", "metrics.jsonl", "model.eqx", "points.npz", "custom/mine.py", "summary.json"]


@pytest.mark.parametrize("name", PARTS)
def test_a_flipped_bit_in_a_finished_run_is_refused_by_the_name_of_the_file(finished, name):
    assert finished.summary() == SUMMARY
    assert finished.notice is None
    path = finished.path / name
    whole = path.read_bytes()
    for place in (0, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        before = files(finished.path)
        with pytest.raises(ValueError, match=rf"{name}` cannot be read \(it was altered"):
            finished.summary()
        with pytest.raises(ValueError, match=name), claimed(finished, EXPERIMENT, resume=True):
            pass
        assert files(finished.path) == before
    path.write_bytes(whole)
    assert finished.summary() == SUMMARY


def test_a_file_that_is_missing_is_refused_where_it_is_needed_and_made_again(finished):
    (finished.path / "model.eqx").unlink()
    assert finished.summary() == SUMMARY
    with pytest.raises(
        ValueError, match=r"model\.eqx` cannot be read \(it is missing since the run was finished"
    ):
        finished.check(needed=("game.eqx", "model.eqx"))
    with claimed(finished, EXPERIMENT, resume=True):
        finished.write_leaves("model.eqx", {"weight": np.arange(6.0)})
    finished.check(needed=("game.eqx", "model.eqx"))


def test_the_digests_are_those_that_other_programs_check(finished):
    done = subprocess.run(
        ["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=finished.path, check=False
    )
    assert done.returncode == 0


@pytest.mark.parametrize("content", ["", "nonsense", "00  ../../etc/passwd\n00  summary.json\n"])
def test_damaged_digests_are_refused(finished, content):
    (finished.path / "SHA256SUMS").write_text(content)
    with pytest.raises(ValueError, match="SHA256SUMS` is damaged"):
        finished.summary()


def test_a_run_of_an_earlier_version_is_read_with_a_notice_and_its_summary_held_against_it(
    finished,
):
    (finished.path / "SHA256SUMS").unlink()
    assert finished.summary() == SUMMARY
    assert "finished by a version without digests" in finished.notice
    for field, other in (("seed", 1), ("data", "iris"), ("spec", "ot-flow")):
        finished.write_json("summary.json", SUMMARY | {field: other})
        with pytest.raises(ValueError, match=rf"summary\.json` is of {field} = {other}, expected"):
            finished.summary()


OTHER = EXPERIMENT.changed({"seed": 1})
OWNER = """
import sys
from mfgen import _file
with _file.owned(__import__("pathlib").Path(sys.argv[1])):
    print(flush=True)
    sys.stdin.read()
"""


def test_a_folder_that_another_process_writes_is_refused_until_it_is_gone(tmp_path):
    folder = RunFolder(tmp_path / "run")
    claim(folder, EXPERIMENT, resume=False)
    command = [sys.executable, "-c", OWNER, str(folder.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        owner.stdout.readline()
        before = files(folder.path)
        with (
            pytest.raises(ValueError, match=f"found process {owner.pid} at work in"),
            claimed(folder, EXPERIMENT, resume=True),
        ):
            pass
        assert files(folder.path) == before
        owner.kill()
    with claimed(folder, EXPERIMENT, resume=True):
        assert (folder.path / ".lock").read_text() == f"{os.getpid()}\n"
        with (
            pytest.raises(ValueError, match=f"found process {os.getpid()} at work"),
            claimed(RunFolder(folder.path), EXPERIMENT, resume=True),
        ):
            pass
    assert not (folder.path / ".lock").exists()


def test_a_run_that_fails_before_its_first_record_leaves_the_folder_to_a_corrected_one(tmp_path):
    folder = RunFolder(tmp_path / "run")

    def fail(experiment, work):
        with claimed(folder, experiment, resume=False):
            work()
            raise KeyError

    def prepare():
        folder.write_json("versions.json", {})
        folder.checkpoints.mkdir()

    with pytest.raises(KeyError):
        fail(EXPERIMENT, prepare)
    assert not folder.path.exists()
    folder.path.mkdir()
    with pytest.raises(KeyError):
        fail(EXPERIMENT, prepare)
    assert list(folder.path.iterdir()) == []
    with pytest.raises(KeyError):
        fail(OTHER, lambda: folder.append(record(100)))
    assert folder.experiment() == OTHER


@pytest.mark.parametrize("how", ["gone", "replaced", "emptied"])
def test_a_folder_that_goes_while_it_is_written_is_an_error_and_not_half_a_run(tmp_path, how):
    folder = RunFolder(tmp_path / "run")

    def run():
        with claimed(folder, EXPERIMENT, resume=False):
            folder.append(record(100))
            if how == "emptied":
                (folder.path / "spec.toml").unlink()
            else:
                folder.path.rename(tmp_path / "aside")
            if how == "replaced":
                folder.path.mkdir()
            folder.finish(SUMMARY)

    with pytest.raises(ValueError, match=r"found its folder .* removed or replaced"):
        run()
    assert not (folder.path / "summary.json").exists()


def test_records_that_were_lost_come_back_from_the_checkpoint(tmp_path):
    folder = RunFolder(tmp_path)
    saved = [Progress(**record(step)) for step in (0, 100, 200)]
    whole = [asdict(progress) for progress in saved[1:]]
    for damage in (b"", b"nonsense", json.dumps(record(100)).encode() + b'\n{"st', None):
        if damage is None:
            (tmp_path / "metrics.jsonl").unlink()
        else:
            (tmp_path / "metrics.jsonl").write_bytes(damage)
        folder.rewind(200, saved)
        assert folder.records() == whole


def test_what_a_kill_left_goes_and_what_another_process_writes_stays(tmp_path):
    folder = RunFolder(tmp_path / "run")
    claim(folder, EXPERIMENT, resume=False)
    dead = folder.path / ".model.eqx.4194305.partial"  # of no process: numbers end before
    alive = folder.path / f".samples.npz.{os.getpid()}.partial"
    for partial in (dead, alive):
        partial.write_bytes(b"half")
    claim(folder, EXPERIMENT, resume=True)
    assert not dead.exists()
    assert alive.exists()


def test_results_go_into_a_folder_that_holds_nothing_else(tmp_path):
    names = ("certificate.json", "solution.npz")
    place = tmp_path / "a" / "b"
    check_results("solve", place, names)
    place.mkdir(parents=True)
    (place / "solution.npz").touch()
    check_results("solve", place, names)
    (tmp_path / "a" / "spec.toml").touch()
    with pytest.raises(
        ValueError, match=r"`solve` got the folder .* which holds 'b', expected a new"
    ):
        check_results("solve", tmp_path / "a", names)
    with pytest.raises(ValueError, match="which is a file, expected a folder"):
        check_results("solve", tmp_path / "a" / "spec.toml", names)


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
