"""Certificates of runs, in their folders and reports, and runs against a solver."""

import json

import jax
import jax.numpy as jnp
import pytest

from mfgen import cli
from mfgen.costs import Kinetic
from mfgen.densities import Gaussian
from mfgen.dynamics import Integrator
from mfgen.functionals import Linear
from mfgen.games import MFG
from mfgen.lab import _judging, _recipes, _report, _run, assemble
from mfgen.models import ControlField

KEY = jax.random.key(0)


def test_a_report_shows_certificates(write_run, tmp_path):
    folder = write_run(tmp_path / "run", _recipes.experiment("score-vp", "gaussians8"), {})
    check = {"value": 0.25, "standard_error": 0.01, "unit": "cost", "fraction": 0.034, "basis": "b"}
    document = {"checks": {"HJB": check}, "missing": {"terminal": "the target is unknown"}}
    folder.write_json("certificate.json", document)
    summary = folder.read_json("summary.json")
    folder.write_json("summary.json", {**summary, "certificate": "Not a solution within 1 %"})
    page = _report.write([folder.path], tmp_path / "report.html").read_text()
    assert "Certificates" in page
    assert "Not a solution within 1 %" in page
    for part in ("0.25 ± 0.01 cost", "3.4 %", "the target is unknown"):
        assert f"<td>{part}</td>" in page


def test_what_is_not_certified(write_run, tmp_path):
    folder = write_run(tmp_path / "run", _recipes.experiment("score-vp", "gaussians8"), {})
    wide = MFG(Integrator(), Kinetic(), Linear(jnp.sum), initial=Gaussian(jnp.zeros(17), 1.0))
    case = assemble(_recipes.experiment("langevin").changed({"data.samples": 64}))
    case = case._replace(game=wide, model=ControlField(lambda t, x: -x))
    said = _judging.certified(folder, case, key=KEY)
    assert said == "Not certified: the game has 17 axes, more than 16."
    moved = jnp.zeros((4, 17))
    assert _judging.certified(folder, case._replace(model=moved), key=KEY) is None
    with pytest.raises(ValueError, match="particles, which have no control"):
        _judging.solved(wide, moved, "", key=KEY, particles=4)
    assert not (folder.path / "certificate.json").exists()


def test_runs_against_a_solver_are_one(capsys):
    assert cli.main(["compare", "one", "two", "--solver", "grid"]) == 2
    assert "got 2 runs with --solver, expected one" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_against_a_grid(tmp_path, capsys):
    made = _recipes.experiment("ot-flow", "gaussians8")
    training = {"steps": 20, "batch_size": 64, "every": 10, "checkpoint_every": 20}
    judged = {"samples": 64, "points": 64, "figures": False}
    changes = {"training": {**made.document["training"], **training}, "evaluation": judged}
    done = _run.run(made.changed(changes), tmp_path / "run")
    kept = json.loads((tmp_path / "run" / "certificate.json").read_text())
    assert done.summary["certificate"] == kept["verdict"]
    asked = [
        "compare",
        str(tmp_path / "run"),
        "--solver",
        "grid",
        "--points",
        "24",
        "--steps",
        "10",
    ]
    assert cli.main([*asked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["agreement"]["rows"]["control"]["fraction"] > 0.1  # hardly trained
    assert {"agreement.json", "agreement.png"} == {
        file.name for file in (tmp_path / "run" / "compare-grid").iterdir()
    }
