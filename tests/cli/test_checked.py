"""Equations and checks on the command line."""

import json

import pytest

from mfgen.derive import equations
from mfgen.lab import _recipes
from mfgen.lab._case import stand_in
from mfgen.lab._imports import Imports
from mfgen.oracles._named import ORACLES


def test_oracles_are_listed(ask):
    _, out, _ = ask("list")
    assert all(name in out for name in ORACLES)
    _, out, _ = ask("list", "--json")
    assert set(json.loads(out)["oracles"]) == set(ORACLES)


@pytest.mark.parametrize("name", ["score-vp", "score-ve"])
def test_a_recipe_is_shown_with_its_equations(ask, name):
    _, out, _ = ask("show", name)
    heading = out.partition("\n\n")[0]
    assert heading.isascii()
    assert "# In two dimensions:\n# dynamics          dX = " in heading
    assert "# optimal control   v* = -sigma grad U\n" in heading
    _, out, _ = ask("show", name, "--json")
    derived = json.loads(out)["equations"]
    assert derived["lines"]["at the end"].endswith("= -log(pi(x))")
    assert r"\partial_t U" in derived["latex"]


def test_an_oracle_is_shown_with_its_equations_and_its_answer(ask):
    code, out, err = ask("show", "oracle-terminal-divergence")
    assert (code, err) == (0, "")
    assert "HJB equation      -dU/dt + |grad U|^2" in out
    assert "exact answer: " in out


@pytest.mark.parametrize("name", ["linear-quadratic", "gaussian-bridge", "logarithmic-coupling"])
def test_an_oracle_is_shown_as_data(ask, name):
    _, out, _ = ask("show", f"oracle-{name}", "--json")
    kept = json.loads(out, parse_constant=pytest.fail)
    assert kept["equations"]["lines"]["Hamiltonian"].startswith("H = ")
    assert not any("not believed" in note for note in kept["equations"]["notes"])


def test_a_recipe_is_checked(ask):
    code, out, err = ask("check", "score-vp", "--data", "iris", "--json")
    assert (code, err) == (0, "")
    kept = json.loads(out, parse_constant=pytest.fail)
    items = {item["name"]: item for item in kept["items"]}
    assert items["dM/drho is defined at T"]["status"] == "fails"
    assert "Lipschitz" in items["dM/drho is defined at T"]["repair"]
    assert kept["counts"]["holds"] == sum(i["status"] == "holds" for i in kept["items"])


def test_a_grid_is_judged_with_the_game(ask):
    _, out, _ = ask("check", "oracle-kink", "--spacing", "0.05", "--step", "0.1", "--json")
    verdicts = {item["name"]: item["status"] for item in json.loads(out)["items"]}
    assert verdicts["CFL number"] == "fails"
    _, out, _ = ask("check", "oracle-kink", "--spacing", "0.05", "--step", "0.01", "--json")
    verdicts = {item["name"]: item["status"] for item in json.loads(out)["items"]}
    assert verdicts["CFL number"] == "holds"


def test_an_oracle_is_checked(ask):
    _, out, _ = ask("check", "oracle-logarithmic-coupling")
    assert "L is convex in v" in out
    assert "15 holds; `holds` means that no sample contradicts it" in out


COST = """
import jax.numpy as jnp
from mfgen.costs._lagrangian import AbstractLagrangian

class Wells(AbstractLagrangian):
    def __call__(self, t, x, v):
        return (v @ v - 1) ** 2
"""


def test_a_cost_of_ones_own_is_checked(ask, refused, tiny, tmp_path):
    (tmp_path / "mine.py").write_text(COST, encoding="utf-8")
    path = tmp_path / "spec.toml"
    game = (
        'dynamics = { type = "Integrator", sigma = 0.5 }\nlagrangian = "mine:Wells"\n'
        'terminal = { type = "CrossEntropy", target = "data" }\ninitial = "reference"\n'
    )
    tiny(path)
    text = path.read_text("utf-8")
    start, end = text.index('type = "score_based"'), text.index("[model]")
    path.write_text(text[:start] + game + text[end:], encoding="utf-8")
    assert "pass --allow-import" in refused("check", path)
    code, out, _ = ask("check", path, "--allow-import", "--json")
    assert code == 0
    items = {item["name"]: item for item in json.loads(out)["items"]}
    assert items["L is convex in v"]["status"] == "fails"
    assert "convex hull" in items["L is convex in v"]["repair"]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("check",), "`mfgen check` got no SPEC: see"),
        (("check", "oracle-kink", "--step", "0.1"), "got step without spacing, expected both"),
        (("check", "score-v"), "did you mean `score-v"),
        (("check", "none.toml"), "`none.toml` does not exist, expected a specification in TOML"),
        (("check", "oracle-kink", "--data", "iris"), "`check` got --data iris with 'oracle-kink'"),
        (("show", "oracle-kin"), "did you mean `oracle-kink`?"),
        (
            ("show", "oracle-kink", "--data", "iris"),
            "`show` got --data iris with 'oracle-kink'",
        ),
    ],
)
def test_a_mistake_is_one_line(refused, arguments, part):
    assert part in refused(*arguments)


@pytest.mark.parametrize("name", _recipes.documents())
def test_every_recipe_has_equations(name):
    game, _ = stand_in(_recipes.experiment(name, "double-well"), Imports(), 2, 16)
    # L = 0 has no Hamiltonian: its supremum stays as it is.
    assert equations(game).is_closed == (name != "cnf")
