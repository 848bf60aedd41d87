"""The examples run, and come to what they claim."""

import runpy
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_a_new_game(tmp_path, capsys):
    figure = tmp_path / "new_game.png"
    main = runpy.run_path(str(EXAMPLES / "01_a_new_game.py"))["main"]
    agreement = main(str(figure), steps=600)
    printed = capsys.readouterr().out
    assert "Converged" in printed
    assert "Trained 600 steps" in printed
    assert agreement.relative("value, up to a constant") < 0.05
    assert figure.stat().st_size > 10_000
