"""The examples run, and come to what they claim."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.slow
def test_a_new_game(tmp_path, capsys):
    figure = tmp_path / "new_game.png"
    main = runpy.run_path(str(EXAMPLES / "01_a_new_game.py"))["main"]
    agreement = main(str(figure), steps=600)
    printed = capsys.readouterr().out
    assert "Converged" in printed
    assert "Trained 600 steps" in printed
    assert agreement.relative("value, up to a constant") < 0.05
    assert figure.stat().st_size > 10_000


@pytest.mark.slow
def test_one_density_many_flows(tmp_path, capsys):
    figure = tmp_path / "many_flows.png"
    main = runpy.run_path(str(EXAMPLES / "02_one_density_many_flows.py"))["main"]
    free, kinetic = main(str(figure), seeds=3, steps=400).values()
    assert "half W2^2 of data and reference" in capsys.readouterr().out
    # Densities agree alike; paths agree where they cost something.
    assert kinetic.path_variance < 0.5 * free.path_variance
    assert kinetic.cost.mean() < free.cost.mean()
    assert figure.stat().st_size > 10_000


@pytest.mark.slow
def test_invent_a_model(tmp_path, capsys):
    figure = tmp_path / "invented.png"
    runpy.run_path(str(EXAMPLES / "03_invent_a_model.py"))["main"](str(figure), steps=100)
    printed = capsys.readouterr().out
    assert "> own cost" in printed
    assert "exploitability" in printed
    assert figure.stat().st_size > 10_000
