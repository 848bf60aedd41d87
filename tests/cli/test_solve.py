"""`mfgen solve`: a folder with the solution, its certificate and figures."""

import json

import numpy as np

from mfgen import cli
from mfgen.lab import _solving


def test_an_oracle_is_solved_and_held_against_its_answer(ask, tmp_path):
    out = tmp_path / "solved"
    code, printed, err = ask(
        "solve",
        "oracle-gaussian-bridge",
        "--points",
        "100",
        "--steps",
        "30",
        "--out",
        str(out),
        "--json",
    )
    assert (code, err) == (0, "")
    document = json.loads(printed)
    assert document["status"] == "converged"
    assert document["agreement"] is not None
    with np.load(out / "solution.npz") as file:
        kept = dict(file)
    assert kept["value"].shape == kept["density"].shape == (31, 100)
    width = kept["axis_0"][1] - kept["axis_0"][0]
    np.testing.assert_allclose(kept["density"].sum(axis=1) * width, 1, atol=1e-5)
    for name in ("certificate.json", "agreement.json", "certificate.png", "agreement.png"):
        assert (out / name).stat().st_size > 100


def test_wrong_names_are_refused_with_a_fix(refused):
    assert "did you mean `oracle-kink`" in refused("solve", "oracle-kinks")
    said = refused("solve", "oracle-kink", "--solver", "guess")
    assert "grid, hopf-cole, riccati, neural" in said
    assert "`--solver riccati` got" in refused("solve", "oracle-kink", "--solver", "riccati")


def test_the_command_line_knows_the_solvers():
    assert tuple(_solving.SOLVERS) == cli._CHOICES["solver"]
