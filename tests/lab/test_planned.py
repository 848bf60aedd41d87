"""The plan of a game by its name, on the command line."""

import json

import pytest

from mfgen.cli import main


@pytest.mark.parametrize(
    ("name", "first"),
    [("score-vp-hjb", "score matching"), ("ot-flow", "likelihood"), ("boltzmann", "reverse KL")],
)
def test_recipes_have_the_way_that_they_are_trained_by(name, first, capsys):
    data = ["--data", "double-well"] if name == "boltzmann" else []
    assert main(["plan", name, *data, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["first"] == first
    assert next(way["name"] for way in found["ways"] if way["fits"]) == first


def test_a_name_that_is_none_is_refused(capsys):
    assert main(["plan", "ot-flo"]) == 2
    assert "did you mean `ot-flow`?" in capsys.readouterr().err
