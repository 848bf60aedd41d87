"""Documents as TOML: what is written is read, and every mistake is named in one line."""

import copy
import datetime
import re

import pytest

from mfgen.lab import Experiment, _recipes, _toml
from mfgen.lab._paths import put

GOOD = {
    "name": "trial",
    "data": {"name": "iris"},
    "game": {"type": "score_based", "target": "data", "noising": {"type": "VP"}},
    "model": {"type": "score_potential", "width": 8},
    "objective": [{"type": "DenoisingScoreMatching"}, {"type": "HJB", "weight": 0.3}],
    "training": {"steps": 10},
}
MISTAKES = {
    "unknown table": ("modle", {}, "`modle` is no part", "did you mean `model`?"),
    "a field of data": ("data.smaples", 3, "`data.smaples` is no field", "did you mean `samples`?"),
    "unknown data": ("data.name", "diggits", "`data.name` got 'diggits'", "did you mean `digits`?"),
    "no table": ("model", 3, "`model` got 3, expected a table", "write `[model]`"),
    "no terms": ("objective", 3, "`objective` got no tables", "write `[[objective]]`"),
    "a truth value": ("seed", True, "`seed` got True", "a whole number from 0"),
    "a seed of many digits": ("seed", 2**32, "`seed` got 4294967296", "to 4294967295"),
    "negative steps": ("training.steps", -3, "got steps = -3", "from 0 to"),
    "too many steps": ("training.steps", 10**10, "got 10000000000", "at most 2147483647"),
    "a type that is no name": ("game.type", 3, "`game.type` got 3", "write it in quotes"),
    "a date": ("game.x", datetime.date(1979, 5, 27), "`game.x` got the date 1979", "in quotes"),
    "a choice for nothing": ("chosen", {"x": 1}, "`chosen.x` leads to no field", "remove it"),
    "a name of a mile": ("game.x" + "x" * 200, 1, "`game` got the name 'xxx", "at most 100"),
    "text of a mile": ("game.x", "x" * 5000, "`game.x` got 5000 characters", "shorten it"),
    "a summary of numbers": ("summary", 3, "`summary` got 3", "expected text"),
    "steps in words": ("training.steps", "many", "`training.steps` got 'many'", "a whole number"),
    "a path for a name": ("name", "../up", "`name` got '../up'", "expected letters a-z"),
    "a name with a line": ("name", "up\n", r"`name` got 'up\n'", "expected letters a-z"),
    "held out too much": (
        "data",
        {"name": "table", "path": "x", "validation": 0.3, "test": 0.8},
        "`data` got validation = 0.3 and test = 0.8",
        "a sum below 1",
    ),
    "a path of data": ("data.path", "x.csv", "`data` got `path`", "remove `path`"),
    "an odd product": ("data", {"name": "product", "dim": 3}, "got dim = 3", "an even number"),
    "no path": ("data.name", "mnist", "without its path", "add `path = ...`"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_in_one_line(mistake):
    path, value, *parts = MISTAKES[mistake]
    document = copy.deepcopy(GOOD)
    *way, last = path.split(".")
    place = document
    for step in way:
        place = place[step]
    place[last] = value
    with pytest.raises(ValueError, match=r"^`trial\.toml`: ") as caught:
        _toml.decode(document, "trial.toml")
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize("name", _recipes.documents())
def test_what_is_written_is_read(name, tmp_path):
    experiment = _recipes.experiment(name, "digits")
    path = tmp_path / "spec.toml"
    path.write_text(_toml.write(experiment), encoding="utf-8")
    assert _toml.read(path) == experiment


def test_strings_of_any_kind_survive():
    tricky = 'a "quoted" \\ path\nwith ünïcode\tand = signs'
    part = {"type": "mine:Thing", "text": tricky, "odd key": [1, 2.5, True], "none": {}}
    experiment = Experiment.of(GOOD | {"model": part})
    assert _toml.decode(_toml.parse(_toml.write(experiment), "x")) == experiment


BAD_TEXT = {
    "no TOML": (b"name = ", r"bad\.toml` is no TOML"),
    "nested without end": (b"name = " + b"[" * 100_000, r"bad\.toml` is no TOML .it is nested too"),
    "keys without end": (b"a." * 3000 + b"b = 1", r"bad\.toml`: .* nested more than 40 deep"),
    "a number of 5,000 digits": (b"seed = " + b"9" * 5000, r"bad\.toml`.* digits"),
    "a number of 30 digits": (b"seed = " + b"9" * 30, r"`seed` got a number of 30 digits"),
    "infinity": (b"[training]\nlearning_rate = inf", "`training.learning_rate` got inf"),
    "other bytes": (b"name = '\xff\xfe'", r"bad\.toml` is no text .*save it in UTF-8"),
}


@pytest.mark.parametrize("case", BAD_TEXT)
def test_what_is_no_specification_is_one_line(tmp_path, case):
    content, said = BAD_TEXT[case]
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=said) as caught:
        _toml.read(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_what_windows_writes_is_read(tmp_path, encoding):
    path = tmp_path / "spec.toml"
    path.write_text(_toml.write(Experiment.of(GOOD)), encoding=encoding)
    assert _toml.read(path).name == "trial"


def test_the_specification_of_a_run_that_is_wrong_is_damage(tmp_path):
    path = tmp_path / "spec.toml"
    for text in ("name = ", 'name = "trial"'):
        path.write_text(text, encoding="utf-8")
        (tmp_path / "versions.json").unlink(missing_ok=True)
        with pytest.raises(ValueError, match=r"spec\.toml") as mistake:
            _toml.read(path)
        assert "damaged" not in str(mistake.value)
        (tmp_path / "versions.json").touch()
        with pytest.raises(ValueError, match=r"holds a run that is damaged .*restore that file"):
            _toml.read(path)


def test_differences_name_the_path_and_both_values():
    first = Experiment.of(GOOD)
    second = first.changed({"objective.HJB.weight": 0.5})
    (difference,) = _toml.differences(first, second)
    assert difference == ("objective[1].weight", "0.3", "0.5")
    assert _toml.differences(first, first) == []


def test_a_path_that_leads_nowhere_is_refused():
    experiment = Experiment.of(GOOD)
    for path in ("objective[7].weight", "training.steps.many", "objective.Nothing.weight", ""):
        with pytest.raises(ValueError, match=r"leads nowhere|is no part"):
            experiment.changed({path: 1})


def test_a_run_of_format_1_can_be_read_and_not_run():
    from mfgen.lab import assemble

    old = {
        "name": "old",
        "data": {"name": "moons"},
        "game": {"type": "score"},
        "objective": [{"type": "denoising", "weight": 1.0}],
        "training": {"steps": 3, "learning_rate": 0.01},
    }
    experiment = _toml.decode(old)
    assert experiment.format == 1
    with pytest.raises(ValueError, match=r"of format 1, which mfgen 0\.1\.0 wrote and reads"):
        assemble(experiment)


def test_a_number_in_a_list_is_put_where_it_says():
    document = {"mean": [0.0, 0.0], "interaction": ["Entropy", {"type": "CrowdAversion"}]}
    put(document, "mean[1]", 5.0)
    put(document, "interaction[0].weight", 2.0)
    put(document, "interaction.CrowdAversion.weight", 3.0)
    assert document["mean"] == [0.0, 5.0]
    assert document["interaction"] == [
        {"type": "Entropy", "weight": 2.0},
        {"type": "CrowdAversion", "weight": 3.0},
    ]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("mean[2]", r"as `mean` is a list of 2, expected a number below 2: correct it"),
        ("mean[1].x", r"as `mean\[1\]` is 0\.0, expected a table or a list"),
        ("interaction.Entropie.weight", r"one of Entropy: did you mean `Entropy`\?"),
        ("mean[-1]", r"expected names with points between them and numbers of entries"),
        ("interaction[0]weight", r"expected names with points between them"),
    ],
)
def test_where_a_path_ends_is_told(path, said):
    document = {"mean": [0.0, 0.0], "interaction": ["Entropy"]}
    with pytest.raises(ValueError, match=rf"^`{re.escape(path)}` leads nowhere .*{said}"):
        put(document, path, 1.0)
    assert document == {"mean": [0.0, 0.0], "interaction": ["Entropy"]}
