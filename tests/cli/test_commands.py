"""The command line: what it prints and writes, and every mistake of a user in one line."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from mfgen import cli
from mfgen.lab import _commands
from mfgen.lab._answer import Answer
from mfgen.lab._recipes import documents
from mfgen.zoo._catalogue import DATA

HJB = '[[objective]]\ntype = "HJB"\npoints = 8\n'


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny):
    """A folder with two finished runs, without and with HJB, and their summaries."""
    place = tmp_path_factory.mktemp("cli")
    metrics = '["kl", "hjb_residual", "energy_distance"]'
    for name, more, figures in (("tiny", "", "false"), ("tiny-hjb", HJB, "true")):
        path = tiny(place / f"{name}.toml", name=name, more=more, metrics=metrics, figures=figures)
        assert cli.main(["run", path, "--out", str(place / name)]) == 0
    return place


def contents(folder):
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_list_names_every_recipe_and_data_set(ask):
    code, out, err = ask("list")
    assert (code, err) == (0, "")
    for name in (*documents(), *DATA):
        assert name in out
    _, out, _ = ask("list", "--json")
    listed = json.loads(out)
    assert set(listed["recipes"]) == set(documents())
    assert set(listed["data"]) == set(DATA)


def test_show_gives_a_specification_that_runs(ask, tmp_path):
    _, out, _ = ask("show", "score-vp-hjb", "--data", "digits")
    path = tmp_path / "shown.toml"
    path.write_text(out, encoding="utf-8")
    from mfgen.lab import _toml

    assert _toml.read(path).chosen["objective[1].weight"] == 0.00937
    _, out, _ = ask("show", "score-vp-hjb", "--json")
    assert json.loads(out)["spec"]["data"]["name"] == "gaussians8"
    code, out, _ = ask("show", "digits")
    assert code == 0
    assert "dimension: 64" in out


def test_run_writes_its_folder(place):
    for name in (
        "spec.toml",
        "versions.json",
        "metrics.jsonl",
        "summary.json",
        "samples.npz",
        "model.eqx",
        "checkpoints/20",
        "figures/losses.png",
        "figures/samples.png",
        "figures/fields.png",
        "figures/hjb.png",
        "figures/score.png",
    ):
        assert (place / "tiny-hjb" / name).exists(), name
    summary = json.loads((place / "tiny-hjb" / "summary.json").read_text())
    assert summary["spec"] == "tiny-hjb"
    assert summary["steps"] == 20
    for measure in summary["metrics"].values():
        assert np.isfinite(measure["value"])
        assert measure["standard_error"] >= 0
    assert set(summary["metrics"]) == {"kl", "hjb_residual", "energy_distance"}


def test_run_prints_its_summary(ask, tmp_path, tiny):
    path = tiny(tmp_path / "tiny.toml", metrics='["energy_distance"]')
    code, out, err = ask("run", path, "--out", tmp_path / "a", "--seed", 3, "--steps", 7, "--json")
    assert (code, err) == (0, "")
    summary = json.loads(out)
    assert (summary["seed"], summary["steps"]) == (3, 7)
    assert summary["metrics"]["energy_distance"]["standard_error"] > 0
    code, out, _ = ask("run", path, "--out", tmp_path / "b", "--steps", 7)
    assert "energy distance" in out
    assert "ms per step" in out


def test_a_title_is_not_broken_to_the_width_of_its_table(ask, tiny, tmp_path):
    path = tiny(tmp_path / "tiny.toml", name="a-name-that-is-wider-than-any-table", steps=2)
    _, out, _ = ask("run", path, "--out", tmp_path / "run")
    assert out.startswith("a-name-that-is-wider-than-any-table on gaussians8, seed 0\n")
    _, out, _ = ask("compare", tmp_path / "run")
    assert out.startswith("gaussians8 (samples = 200)\n")


def test_the_default_folder_is_named_by_the_run(ask, tmp_path, monkeypatch, tiny):
    path = tiny(tmp_path / "tiny.toml")
    monkeypatch.chdir(tmp_path)
    assert ask("run", path, "--seed", 5, "--data", "moons", "--steps", 2)[0] == 0
    assert (tmp_path / "runs" / "tiny-moons-5" / "summary.json").is_file()


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_a_run_that_is_asked_for_json_is_silent_meanwhile(ask, monkeypatch, flags):
    def run(*given, console, **named):
        console.print("on the way")
        return Answer({}, "done")

    monkeypatch.setattr(_commands, "run", run)
    _, _, err = ask("run", "score-vp", *flags)
    assert err == ("" if flags else "on the way\n")


def test_sample_writes_samples_and_overwrites_nothing(ask, refused, place, tmp_path):
    out = tmp_path / "samples.npz"
    code, text, _ = ask("sample", place / "tiny", "-n", 25, "--out", out, "--json")
    assert code == 0
    assert json.loads(text)["n"] == 25
    assert np.load(out)["samples"].shape == (25, 2)
    before = contents(tmp_path)
    assert "which exists" in refused("sample", place / "tiny", "-n", 25, "--out", out)
    assert contents(tmp_path) == before
    assert "from 1 to" in refused("sample", place / "tiny", "-n", 0)


def test_compare_pairs_the_runs(ask, place):
    code, out, _ = ask("compare", place / "tiny", place / "tiny-hjb")
    assert code == 0
    assert "KL(truth || model)" in out
    assert "with / without HJB" in out
    _, out, _ = ask("compare", place / "tiny", place / "tiny-hjb", "--json")
    (group,) = json.loads(out)["groups"]
    (pair,) = group["pairs"]
    assert (pair["with"], pair["without"]) == ("tiny-hjb", "tiny")
    kl = pair["metrics"]["kl"]
    assert kl["ratio"] == pytest.approx(kl["first"] / kl["second"])


def test_report_writes_a_page(ask, place, tmp_path):
    out = tmp_path / "page.html"
    code, text, _ = ask("report", place / "tiny", place / "tiny-hjb", "--out", out, "--json")
    assert code == 0
    assert json.loads(text) == {"report": str(out)}
    page = out.read_text("utf-8")
    assert "tiny with and without the HJB regulariser, on gaussians8 (samples = 200)" in page
    assert page.count("<svg") == 5


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ((), "got no command, expected one of list, show, run"),
        (("lst",), "`mfgen` got 'lst', expected one of list, show, run"),
        (("rnu", "score-vp"), "did you mean `run`?"),
        (("run",), "`mfgen run` got no SPEC"),
        (("run", "score-vp", "more"), "`mfgen run` got 'more', expected nothing more"),
        (("run", "score-vp", "--stpes", "3"), "got --stpes, expected one of --data, --path, --set"),
        (("run", "score-vp", "--stpes", "3"), "did you mean `--steps`?"),
        (
            ("run", "score-vp", "--steps", "many"),
            "`run` got --steps 'many', expected a whole number",
        ),
        (("run", "score-vp", "--seed"), "argument --seed: expected one argument"),
        (("sample", "run", "-n", "2.5"), "`sample` got -n '2.5', expected a whole number"),
        (("run", "score-vp", "--data", ""), "`run` got --data '', expected a name"),
        (("run", "score-vp", "--out", ""), "`run` got --out '', expected a path"),
        (("solve", "oracle-kink", "--box", "x"), "`solve` got --box 'x', expected a number"),
        (("solve", "oracle-kink", "--solver", "gird"), "did you mean `grid`?"),
        (("solve", "oracle-linear-quadratic", "--dim", "3"), "`--solver grid` got 3 axes"),
        (("check", "oracle-kink", "--spacing", "nan"), "`check` got --spacing nan, expected"),
        (("compare", "runs/a", "--points", "20"), "got --points 20 without --solver"),
        (("sample", "run", "-n", "1000000000"), "`sample` got -n 1000000000, expected a whole"),
        (("sample", "run", "--seed", "-1"), "`sample` got --seed -1, expected a whole number"),
        (("sample", "run", "--out", "x.csv"), "expected a name that ends in .npz"),
        (("sample", "run", "--out", "/dev/null/x.npz"), "where /dev/null is no folder"),
        (("sample", "run", "--m", "2"), "got --m, expected one of --n, --seed"),
        (("run", "score-vp", "--steps", "-3"), "`training.steps`: `training` got steps = -3"),
        (("run", "score-vp", "--seed", "-1"), "`seed` got -1"),
        (("run", "score-vp", "--data", "diggits"), "did you mean `digits`?"),
        (("run", "score-v"), "did you mean `score-vp`?"),
        (("run", "none.toml"), "`none.toml` does not exist, expected a specification in TOML"),
        (("run", ""), "`run` got '', expected a recipe"),
        (("run", "score-vp", "--set", "seed"), "got --set seed, expected PATH=VALUE"),
        (("run", "ot-flow", "--set", "game.lagrangian.wieght=2"), "did you mean `weight`?"),
        (("run", "~nosuchuser/x.toml"), "does not exist"),
        (("solve", "oracle-kink", "--steps", "0"), "`solve` got --steps 0, expected a whole"),
        (("solve", "oracle-kink", "--points", "1000000000"), "`solve` got --points 1000000000"),
        (("run", "."), "`.` is a folder, expected a specification in TOML"),
        (("run", "nothing-like-it"), "expected a recipe or the path of a TOML file"),
        (("run", "score-vp", "--data", "mnist"), "`data` got 'mnist' without its path"),
        (("show", "scor-vp"), "did you mean `score-vp"),
        (("sample", "nowhere"), "holds no run"),
        (("compare",), "got no RUN"),
        (("report",), "got no RUN"),
        (("compare", "nowhere"), "holds no run"),
    ],
)
def test_a_mistake_in_a_command_is_one_line(refused, tmp_path, monkeypatch, arguments, part):
    monkeypatch.chdir(tmp_path)
    assert part in refused(*arguments)
    assert list(tmp_path.iterdir()) == []


def bad_table(values, name="bad.npy"):
    def write(folder):
        np.save(folder / name, np.asarray(values))
        return folder / name

    return write


def bad_bytes(content, name):
    def write(folder):
        (folder / name).write_bytes(content)
        return folder / name

    return write


def truncated_npz(folder):
    np.savez(folder / "cut.npz", values=np.random.default_rng(0).normal(size=(50, 2)))
    whole = (folder / "cut.npz").read_bytes()
    (folder / "cut.npz").write_bytes(whole[: len(whole) // 2])
    return folder / "cut.npz"


def object_array(folder):
    values = np.empty((10, 2), dtype=object)
    np.save(folder / "objects.npy", values, allow_pickle=True)
    return folder / "objects.npy"


NORMAL = np.random.default_rng(0).normal(size=(50, 2))
TABLES = {
    "nan": (bad_table(np.where(NORMAL > 2, np.nan, NORMAL)), "NaN"),
    "infinity": (bad_table(np.where(NORMAL > 2, np.inf, NORMAL)), "infinit"),
    "wrong shape": (bad_table(np.ones((3, 4, 5))), "expected [n, dim]"),
    "one sample": (bad_table(NORMAL[:1]), "expected at least 2"),
    "constant feature": (bad_table(NORMAL * [1.0, 0.0]), "constant in feature 1"),
    "empty file": (bad_bytes(b"", "empty.csv"), "is empty"),
    "no numbers": (bad_bytes(b"a,b\n1,x\n2,y\n", "words.csv"), "is not a table of numbers"),
    "truncated npz": (truncated_npz, "holds no plain arrays of numbers"),
    "object array": (object_array, "holds no plain arrays of numbers"),
    "no file": (lambda folder: folder / "none.csv", "is not a file"),
}


@pytest.mark.parametrize("case", TABLES)
def test_bad_data_are_named_and_nothing_is_written(refused, tmp_path, case, tiny):
    write, part = TABLES[case]
    path = write(tmp_path)
    specification = tmp_path / "spec.toml"
    tiny(specification)
    text = specification.read_text("utf-8").replace(
        'name = "gaussians8"\nsamples = 200', f'name = "table"\npath = "{path.name}"'
    )
    specification.write_text(text, encoding="utf-8")
    before = contents(tmp_path)
    message = refused("run", specification, "--out", tmp_path / "run")
    assert part in message
    assert str(path) in message
    assert contents(tmp_path) == before


def test_a_truncated_idx_file_is_named(refused, tmp_path, tiny):
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (tmp_path / f"{name}-ubyte").write_bytes(bytes([0, 0, 8, 3]) + bytes(40))
    specification = tmp_path / "spec.toml"
    tiny(specification)
    text = specification.read_text("utf-8").replace(
        'name = "gaussians8"\nsamples = 200', 'name = "mnist"\npath = "."'
    )
    specification.write_text(text, encoding="utf-8")
    message = refused("run", specification, "--out", tmp_path / "run")
    assert "train-images-idx3-ubyte` has content of sha256" in message
    assert not (tmp_path / "run").exists()


def test_an_unknown_field_is_named(refused, tmp_path, tiny):
    path = tmp_path / "spec.toml"
    tiny(path)
    path.write_text(path.read_text("utf-8").replace("width", "widht"), encoding="utf-8")
    message = refused("run", path, "--out", tmp_path / "run")
    assert "`model`: " in message
    assert "did you mean `width`?" in message


def test_a_folder_that_holds_another_run_is_not_touched(refused, place, tmp_path):
    before = contents(place / "tiny")
    path = str(place / "tiny.toml")
    assert "pass --resume" in refused("run", path, "--out", place / "tiny")
    for more in ((), ("--resume",)):
        message = refused("run", path, "--out", place / "tiny", "--steps", 7, *more)
        assert "`training.steps` is 7, was 20" in message
    assert contents(place / "tiny") == before


def test_code_of_a_specification_needs_leave(refused, ask, tmp_path, tiny):
    (tmp_path / "mine.py").write_text(
        "from pathlib import Path\nPath(__file__).with_name('ran').touch()\n"
        "from mfgen.losses._matching import DenoisingScoreMatching as Matching\n",
        encoding="utf-8",
    )
    path = tiny(tmp_path / "spec.toml")
    text = (tmp_path / "spec.toml").read_text("utf-8")
    text = text.replace('type = "DenoisingScoreMatching"', 'type = "mine:Matching"')
    (tmp_path / "spec.toml").write_text(text, encoding="utf-8")
    assert "pass --allow-import" in refused("run", path, "--out", tmp_path / "run")
    assert not (tmp_path / "ran").exists()
    code, _, err = ask("run", path, "--out", tmp_path / "run", "--steps", 2, "--allow-import")
    assert (code, err) == (0, "")
    # The run keeps its component, so it can be used without the original file.
    (tmp_path / "mine.py").unlink()
    assert "pass --allow-import" in refused("sample", tmp_path / "run", "-n", 5)
    assert ask("sample", tmp_path / "run", "-n", 5, "--allow-import")[0] == 0


def test_a_killed_run_is_continued_to_the_same_parameters(ask, tmp_path, tiny, reached):
    path = tiny(tmp_path / "spec.toml", more=HJB, steps=3000, every=100)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    command = [sys.executable, "-m", "mfgen.cli", "run", path, "--out", str(killed)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=os.environ) as process:
        reached(process, killed)
        process.send_signal(signal.SIGKILL)
    assert not (killed / "summary.json").exists()
    assert ask("run", path, "--out", killed, "--resume")[0] == 0
    assert ask("run", path, "--out", whole)[0] == 0
    assert (killed / "model.eqx").read_bytes() == (whole / "model.eqx").read_bytes()
    lines = (killed / "metrics.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(100, 3001, 100))
