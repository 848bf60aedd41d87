"""Specifications as TOML: what is written is read, and every mistake is named in one line."""

import copy
import tomllib

import pytest

from mfgen.lab import recipes, spec, toml
from mfgen.lab.catalogue import DATA, METRICS

GOOD = {
    "name": "trial",
    "data": {"name": "iris"},
    "game": {"type": "score", "noising": {"type": "vp"}},
    "model": {"type": "potential", "width": 8},
    "objective": [
        {"type": "denoising"},
        {"type": "hjb", "weight": 0.3, "collocation": {"type": "spread"}},
    ],
    "training": {"steps": 10},
    "evaluation": {"metrics": ["kl"]},
}

# Where in GOOD, what is put there, and what the complaint must say.
MISTAKES = {
    "unknown field": (
        ("model", "widht"),
        3,
        "`$.model.widht` is no field",
        "did you mean `width`?",
    ),
    "unknown field in a list": (
        ("objective", 1, "wieght"),
        3,
        "`$.objective[1].wieght` is no field",
        "did you mean `weight`?",
    ),
    "unknown field, nested": (
        ("objective", 1, "collocation", "extr"),
        3,
        "`$.objective[1].collocation.extr` is no field",
        "did you mean `extra`?",
    ),
    "unknown table": (("modle",), {}, "`$.modle` is no field", "did you mean `model`?"),
    "unknown kind": (
        ("model",),
        {"type": "potentail"},
        '`$.model.type` got "potentail"',
        "did you mean `potential`?",
    ),
    "kind missing": (
        ("model",),
        {"width": 8},
        "`$.model.type` is missing",
        "kernel, kernel-estimate, mixture-estimate, proximal-estimate, ot-flow, control, "
        "particles, import",
    ),
    "wrong type": (("model", "width"), "8", '`$.model.width` got "8"', "expected `int`"),
    "a truth value for a number": (("seed",), True, "`$.seed` got true", "expected `int`"),
    "negative steps": (
        ("training", "steps"),
        -3,
        "`$.training.steps` got -3",
        "expected `int` >= 0",
    ),
    "infinite rate": (
        ("training", "learning_rate"),
        float("inf"),
        "`$.training.learning_rate` got inf",
        "finite",
    ),
    "unknown data": (
        ("data", "name"),
        "diggits",
        '`$.data.name` got "diggits"',
        "did you mean `digits`?",
    ),
    "unknown measure": (
        ("evaluation", "metrics"),
        ["kll"],
        '`$.evaluation.metrics[0]` got "kll"',
        "did you mean `kl`?",
    ),
    "no objective": (("objective",), [], "`$.objective` got []", "length >= 1"),
    "a path for a name": (("name",), "../up", '`$.name` got "../up"', "expected letters a-z"),
    "a name with a line": (("name",), "up\n", '`$.name` got "up\\n"', "expected letters a-z"),
    "a name in other letters": (("größe",), 3, "`$.größe` is no field", "remove it"),
    "a value in other letters": (("name",), "größe", '`$.name` got "größe"', "expected letters"),
    "a seed of many digits": (
        ("seed",),
        99999999999999999999999,
        "`$.seed` got 99999999999999999999999",
        "expected `int` <= 4294967295",
    ),
    "a seed that 32 bits do not hold": (("seed",), 2**32, "`$.seed` got", "<= 4294967295"),
    "too many steps": (("training", "steps"), 2**31, "`$.training.steps` got", "<= 2147483647"),
    "too wide": (("model", "width"), 10**6, "`$.model.width` got 1000000", "expected `int` <="),
    "too deep": (("model", "depth"), 2000, "`$.model.depth` got 2000", "expected `int` <= 1000"),
    "no digest": (
        ("data",),
        {"name": "table", "path": "x.csv", "sha256": "12"},
        '`$.data.sha256` got "12"',
        "expected 64 digits",
    ),
    "held out too much": (
        ("data",),
        {"name": "table", "path": "x.csv", "validation": 0.3, "test": 0.8},
        "`data` got validation",
        "`$.data`",
    ),
    "path where none belongs": (("data", "path"), "x.csv", "`data` got `path`", "remove `path`"),
    "an odd product": (("data",), {"name": "product", "dim": 3}, "got dim = 3", "an even number"),
    "a variant where none belongs": (("data", "variant"), 1, "got `variant`", "mixture20 alone"),
    "no path where one belongs": (("data", "name"), "mnist", "without a file", "add `path"),
    "columns where none belong": (("data", "columns"), [1], "`data` got `columns`", "table alone"),
    "a weight that is given and chosen": (
        ("objective", 1, "select"),
        [0.0, 1.0],
        "`objective` got `weight` and `select` in a term 'hjb'",
        "remove `weight`",
    ),
    "a weight to choose that is there twice": (
        ("objective", 1),
        {"type": "score-hjb", "select": [0.5, 0.5]},
        "got select = [0.5, 0.5] in a term 'score-hjb'",
        "expected different",
    ),
    "no weight to choose from": (
        ("objective", 1),
        {"type": "hjb", "select": []},
        "`$.objective[1].select` got []",
        "length >= 1",
    ),
    "a negative weight to choose": (
        ("objective", 1),
        {"type": "hjb", "select": [-1.0]},
        "`$.objective[1].select[0]` got -1.0",
        ">= 0",
    ),
    "two weights to choose": (
        ("objective",),
        [{"type": "hjb", "select": [1.0]}, {"type": "score-hjb", "select": [1.0]}],
        "`objective` got `select` in 2 terms",
        "expected it in one",
    ),
    "no import path": (
        ("game", "noising"),
        {"type": "import", "path": "os"},
        '`$.game.noising.path` got "os"',
        "expected `module:Name`",
    ),
}


def changed(path, value):
    document = copy.deepcopy(GOOD)
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return document


def test_the_document_of_the_mistakes_is_good():
    assert toml.decode(copy.deepcopy(GOOD)).training.steps == 10


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_in_one_line(mistake):
    path, value, *parts = MISTAKES[mistake]
    with pytest.raises(ValueError, match=r"^trial\.toml: ") as caught:
        toml.decode(changed(path, value), "trial.toml")
    message = str(caught.value)
    assert "\n" not in message
    assert "regex" not in message
    for part in parts:
        assert part in message


def test_a_likelihood_of_no_kind_is_that_of_the_flow():
    steps = {"integrator": {"type": "runge-kutta", "steps": 7}}
    read = toml.decode(changed(("evaluation", "likelihood"), steps)).evaluation.likelihood
    assert read == spec.FlowLikelihood(integrator=spec.RungeKutta(steps=7))
    one_shot = changed(("evaluation", "likelihood"), {"type": "one-shot"})
    assert toml.decode(one_shot).evaluation.likelihood == spec.OneShot()


def test_a_missing_name_is_named():
    document = copy.deepcopy(GOOD)
    del document["name"]
    with pytest.raises(ValueError, match=r"`\$\.name` is missing"):
        toml.decode(document)


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_what_is_written_is_read(name, tmp_path):
    for experiment in (
        recipes.experiment(name, "digits"),
        recipes.resolve(recipes.experiment(name, "digits"), 64),
    ):
        path = tmp_path / "spec.toml"
        path.write_text(toml.write(experiment), encoding="utf-8")
        assert toml.read(path) == experiment


def test_strings_of_any_kind_survive():
    tricky = 'a "quoted" \\ path\nwith ünïcode\tand = signs'
    component = spec.Import(
        path="mine:Thing", arguments={"text": tricky, "odd key": [1, 2.5, True]}
    )
    experiment = spec.replace(toml.decode(copy.deepcopy(GOOD)), model=component)
    assert toml.decode(tomllib.loads(toml.write(experiment))) == experiment


def test_what_is_no_toml_is_refused(tmp_path):
    path = tmp_path / "broken.toml"
    path.write_text("name = ", encoding="utf-8")
    with pytest.raises(ValueError, match=r"broken\.toml` is no TOML"):
        toml.read(path)


def test_what_is_nested_without_end_is_refused(tmp_path):
    path = tmp_path / "deep.toml"
    path.write_text("name = " + "[" * 100_000, encoding="utf-8")
    with pytest.raises(ValueError, match=r"deep\.toml` is no TOML"):
        toml.read(path)


def test_the_specification_of_a_run_that_is_wrong_is_damage(tmp_path):
    path = tmp_path / "spec.toml"
    for text in ("name = ", 'name = "trial"'):
        path.write_text(text, encoding="utf-8")
        (tmp_path / "versions.json").unlink(missing_ok=True)
        with pytest.raises(ValueError, match=r"spec\.toml") as mistake:
            toml.read(path)
        assert "damaged" not in str(mistake.value)
        (tmp_path / "versions.json").touch()
        with pytest.raises(ValueError, match=r"holds a run that is damaged .*restore that file"):
            toml.read(path)


def test_differences_name_the_path_and_both_values():
    first = toml.decode(copy.deepcopy(GOOD))
    second = toml.decode(changed(("objective", 1, "weight"), 0.5))
    (difference,) = toml.differences(first, second)
    assert difference == ("objective[1].weight", "0.3", "0.5")
    assert toml.differences(first, first) == []


def test_the_names_of_the_catalogue_are_those_of_specifications():
    for name in METRICS:
        assert toml.decode(changed(("evaluation", "metrics"), [name])).evaluation.metrics == (name,)
    for name in DATA:
        if DATA[name].kind == "energy":
            with pytest.raises(ValueError, match=rf"'{name}'"):
                toml.decode(changed(("data",), {"name": name}))
            continue
        path = {"path": "x"} if DATA[name].kind == "file" else {}
        assert toml.decode(changed(("data",), {"name": name, **path})).data.name == name


@pytest.mark.parametrize(
    ("part", "settings"),
    [("training", {"early_stopping": False}), ("data", {"name": "moons", "validation": 0.0})],
)
def test_a_weight_is_not_chosen_without_validation(part, settings):
    terms = [{"type": "denoising"}, {"type": "hjb", "select": [0.0, 1.0]}]
    with pytest.raises(ValueError, match="`select` with early_stopping = false or validation = 0"):
        toml.decode(GOOD | {"objective": terms, part: settings})
