"""From a name to a run: what is shown can be saved and run, on data of the user's own too."""

import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console

from mfgen.lab import _listing, _toml
from mfgen.lab._find import Source
from mfgen.zoo._catalogue import FILES
from mfgen.zoo._named_data import Data


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("score-vp-hjb", "digits"),
        ("w1w2-flow", "gaussians8"),
        ("langevin", "double-well"),
        ("ot-flow", "mnist"),
        ("ot-flow", "table"),
    ],
)
def test_what_is_shown_of_a_recipe_can_be_saved_and_read(ask, tmp_path, name, data):
    code, out, _ = ask("show", name, "--data", data)
    assert code == 0
    path = tmp_path / "shown.toml"
    path.write_text(out, encoding="utf-8")
    experiment = _toml.read(path)
    assert (experiment.name, experiment.data.name) == (name, data)
    if data in FILES:
        assert experiment.data.path == "PATH"
    else:
        assert ask("show", path)[1].partition("\n\n")[2] == out.partition("\n\n")[2]


def test_above_the_specification_stands_the_game(ask):
    _, out, _ = ask("show", "score-vp-hjb")
    heading, _, specification = out.partition("\n\n")
    assert all(line.startswith("#") and len(line) <= 80 for line in heading.splitlines())
    assert heading.startswith("# score-vp-hjb: the same as score-vp, regularised")
    assert "# Lagrangian        L = |v|^2/2 - 9.1 + 9 t" in heading
    assert "# plan        score matching: " in heading
    assert specification.startswith('name = "score-vp-hjb"')


def test_on_a_narrow_terminal_no_line_is_broken():
    terminal = Console(file=io.StringIO(), width=40, force_terminal=True, color_system=None)
    view = _listing.show(Source("score-vp-hjb")).view
    terminal.print(view, crop=False)
    paper = Console(file=io.StringIO(), width=240)
    paper.print(view)
    assert terminal.file.getvalue() == paper.file.getvalue()


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("iris", "name, samples, split"),
        ("mixture20", "name, samples, dim, variant, validation"),
        ("product", "name, samples, dim, validation"),
        ("mnist", "name, samples, path (needed)"),
        (
            "table",
            "name, samples, split, path (needed), columns, array, sha256, validation, test",
        ),
    ],
)
def test_the_fields_of_a_data_set_are_shown(ask, name, fields):
    _, out, _ = ask("show", name)
    assert f"fields of [data]: {fields}\n" in out
    assert (f"mfgen show RECIPE --data {name}" in out) == (name in FILES)
    _, out, _ = ask("show", name, "--json")
    assert set(json.loads(out)) == {"name", "kind", "dim", "summary"}


def test_data_for_a_data_set_are_refused(refused):
    message = refused("show", "iris", "--data", "digits")
    assert "`show` got --data digits with 'iris', expected it with a recipe" in message


@pytest.fixture
def points(tmp_path):
    path = tmp_path / "points.npy"
    np.save(path, np.random.default_rng(0).normal(size=(200, 3)))
    return path


def test_a_table_is_run_from_the_command_line(ask, tiny, points, tmp_path, monkeypatch):
    path = tmp_path / "spec.toml"
    tiny(path)
    monkeypatch.chdir(tmp_path)
    code, out, _ = ask(
        "run", path, "--data", "table", "--path", points.name, "--steps", 2, "--json"
    )
    assert code == 0
    kept = _toml.read(tmp_path / json.loads(out)["out"] / "spec.toml")
    assert kept.data == Data(name="table", path=str(points))
    # The path of a specification is replaced too.
    path.write_text(_toml.write(kept.changed({"data.path": "PATH"})))
    assert ask("run", path, "--path", points, "--out", tmp_path / "again")[0] == 0


def test_a_recipe_is_run_on_the_file_given(refused, tmp_path):
    np.save(tmp_path / "bad.npy", np.full((10, 2), np.nan))
    arguments = ("run", "score-vp", "--out", tmp_path / "run")
    message = refused(*arguments, "--data", "table", "--path", tmp_path / "bad.npy")
    assert str(tmp_path / "bad.npy") in message
    assert "`data` got `path` with the data 'gaussians8'" in refused(*arguments, "--path", "x.npy")
    assert "`data` got 'table' without its path" in refused(*arguments, "--data", "table")


def test_a_saved_specification_is_set_up_anew_for_other_data(ask, tmp_path):
    path = tmp_path / "shown.toml"
    path.write_text(ask("show", "score-vp")[1], encoding="utf-8")
    _, out, _ = ask("show", path, "--data", "digits", "--json")
    assert json.loads(out)["spec"]["chosen"]["model.scale"] == 0.133


def test_a_run_of_no_steps_says_so(ask, tiny, tmp_path):
    path = tiny(tmp_path / "spec.toml")
    code, out, _ = ask("run", path, "--steps", 0, "--out", tmp_path / "a", "--json")
    assert code == 0
    assert json.loads(out, parse_constant=pytest.fail)["ms_per_step"] is None
    kept = (tmp_path / "a" / "summary.json").read_text("utf-8")
    assert json.loads(kept, parse_constant=pytest.fail)["ms_per_step"] is None
    _, out, _ = ask("run", path, "--steps", 0, "--out", tmp_path / "b")
    assert "no steps; judged in" in out
    code, out, _ = ask("compare", tmp_path / "a", "--json")
    assert (
        json.loads(out, parse_constant=pytest.fail)["groups"][0]["columns"][0]["ms_per_step"]
        is None
    )


COMPONENT = """
from mfgen.losses._objective import AbstractObjective

class Wrong(AbstractObjective):
    def __call__(self, game, model, batch, *, key):
        {body}
"""


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        (
            "raise KeyError('inside')",
            ("`mine:Wrong` failed (KeyError: 'inside')", "correct line 6 of"),
        ),
        ("raise SystemExit(3)", ("`mine:Wrong` failed (SystemExit: 3)", "correct line 6 of")),
        ("return batch[0]", ("`mine:Wrong` may not fit its place", "check the shape and type")),
    ],
)
def test_a_component_that_fails_is_named(refused, tiny, tmp_path, body, parts):
    (tmp_path / "mine.py").write_text(COMPONENT.format(body=body), encoding="utf-8")
    path = tmp_path / "spec.toml"
    tiny(path)
    text = path.read_text("utf-8")
    path.write_text(text.replace('type = "DenoisingScoreMatching"', 'type = "mine:Wrong"'))
    message = refused("run", path, "--out", tmp_path / "run", "--allow-import")
    for part in parts:
        assert part in message


def test_a_damaged_specification_in_a_run_is_damage(ask, refused, tiny, tmp_path):
    assert ask("run", tiny(tmp_path / "spec.toml"), "--out", tmp_path / "run")[0] == 0
    folder = tmp_path / "run"
    (folder / "spec.toml").write_text("name = ")
    altered = f"`{folder / 'spec.toml'}` cannot be read (it was altered"
    assert altered in refused("sample", folder)
    (folder / "SHA256SUMS").unlink()  # as runs of earlier versions have none
    for command in ("sample", "compare", "report"):
        assert f"`{folder}` holds a run that is damaged" in refused(command, folder)


@pytest.mark.slow
def test_a_place_that_cannot_be_written_is_no_matter(tiny, tmp_path):
    path = tiny(tmp_path / "spec.toml", steps=2, figures="true")
    (tmp_path / "file").touch()
    gone = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR", "JAX_COMPILATION_CACHE_DIR")
    environment = {name: value for name, value in os.environ.items() if name not in gone}
    nowhere = str(tmp_path / "file" / "none")
    done = subprocess.run(
        [sys.executable, "-m", "mfgen.cli", "run", path, "--out", str(tmp_path / "run"), "--json"],
        env=environment | dict.fromkeys(("JAX_COMPILATION_CACHE_DIR", "HOME"), nowhere),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
