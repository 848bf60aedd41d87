"""Documents and objects: a table is the call of its type, and what is written is built again."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests import tables

import mfgen as mg
from mfgen.functionals import Scaled, Sum
from mfgen.lab import _toml
from mfgen.lab._document import Given, build
from mfgen.lab._imports import Imports
from mfgen.lab._minimal import minimal, write
from mfgen.lab._names import members
from mfgen.simulate import Hutchinson

LAW = mg.Gaussian(jnp.zeros(2), 1.0)
GIVEN = Given(
    {"data": (LAW, LAW.sample(9, key=jax.random.key(0))), "energy": "which is not known."},
    {"dim": 2},
    jax.random.key(1),
    Imports(),
)
MEMBERS = {
    **{name: row.build for name, row in tables.LAGRANGIANS.items()},
    **tables.DEGENERATE,
    **tables.CONSTRAINTS,
    **tables.DYNAMICS,
    **tables.FUNCTIONALS,
}
GAME = {
    "dynamics": {"type": "Integrator", "sigma": 0.5},
    "lagrangian": {"type": "Relativistic", "speed": 4.0},
    "terminal": {"type": "KL", "target": "data", "weight": 20.0},
}


class OwnCode(Imports):
    """Leave to use what the tables of the tests define."""

    def load(self, path):
        module, name = path.split(":")
        found = {"tests.tables": tables}.get(module)
        thing = __import__(module, fromlist=[name]) if found is None else found
        return getattr(thing, name)


@pytest.mark.parametrize("name", MEMBERS)
def test_every_member_is_written_and_built_again(name):
    """A law of every member of the tables: what its document makes is the member itself."""
    member = MEMBERS[name]()
    document = write(member)
    kind = next(one for one in type(member).__mro__ if one.__name__.startswith("Abstract"))
    made = build(document, kind, "part", GIVEN._replace(imports=OwnCode()))
    assert type(made) is type(member)
    assert write(made) == document
    for one, other in zip(jax.tree.leaves(made), jax.tree.leaves(member), strict=True):
        if eqx.is_array_like(one):
            np.testing.assert_allclose(one, other, rtol=1e-5)
    assert minimal(document, kind, OwnCode()) == document


def test_defaults_are_left_out():
    assert write(mg.Kinetic()) == {"type": "Kinetic"}
    assert write(mg.Kinetic(2.0)) == {"type": "Kinetic", "weight": 2.0}
    paths = mg.losses.ReverseKL(mg.losses.Paths(starts="initial"))
    assert write(paths) == {"type": "ReverseKL"}
    one = {"type": "ReverseKL", "tempering": 0.7, "paths": {"starts": "initial"}}
    assert minimal(one, mg.losses.AbstractObjective, Imports())["type"] == "ReverseKL"


def test_sums_and_multiples_are_written_as_they_are_read():
    cost = build({**GAME["terminal"]}, mg.functionals.AbstractFunctional, "m", GIVEN)
    assert cost == Scaled(20.0, mg.KL(LAW))
    both = build([GAME["terminal"], "Entropy"], mg.functionals.AbstractFunctional, "m", GIVEN)
    assert both == Sum((Scaled(20.0, mg.KL(LAW)), mg.functionals.Entropy()))
    assert write(both)["type"] == "Sum"


def test_a_table_without_a_type_changes_the_default():
    made = build({"type": "ReverseKL", "paths": {"integrator": {"steps": 3}}}, path="o")
    assert made.paths.starts == "initial"
    assert made.paths.integrator == mg.simulate.RungeKutta4(3, unroll=True)


def test_a_number_stands_for_itself_in_every_dimension():
    law = build(
        {"type": "Gaussian", "mean": 0.5, "covariance": 2}, mg.densities.AbstractDensity, "i", GIVEN
    )
    np.testing.assert_allclose(law.mean, [0.5, 0.5])


def test_one_name_is_what_fits_its_place():
    laplacian = build({"type": "HJB", "laplacian": {"type": "Hutchinson", "count": 3}})
    assert laplacian.laplacian == mg.losses.Hutchinson(3)
    made = build({"type": "PathHJB", "paths": {"divergence": {"type": "Hutchinson"}}})
    assert made == mg.losses.PathHJB(paths=mg.losses.Paths(divergence=Hutchinson()))


MISTAKES = {
    "a field": (
        "lagrangian.sped",
        1,
        "`game.lagrangian.sped` is no field of `Relativistic`: did you mean `speed`?",
    ),
    "a type": (
        "lagrangian.type",
        "Relativstic",
        "`game.lagrangian.type` got 'Relativstic', "
        "expected an `AbstractLagrangian`: did you mean `Relativistic`?",
    ),
    "the class's own words": (
        "lagrangian.speed",
        -1.0,
        "`game.lagrangian.speed`: `Relativistic` got speed = -1.0, expected",
    ),
    "a kind": ("lagrangian.speed", "fast", "`game.lagrangian.speed` got 'fast', expected a number"),
    "a truth value": ("lagrangian.speed", True, "`game.lagrangian.speed` got True, expected a num"),
    "another family": (
        "terminal",
        "Kinetic",
        "`game.terminal` got `Kinetic`, expected an "
        "`AbstractFunctional`: choose one of AlphaDivergence",
    ),
    "an abstract class": ("terminal", "AbstractFunctional", "expected an `AbstractFunctional`"),
    "what is given": (
        "terminal.target",
        "dta",
        "`game.terminal.target` got 'dta', expected an `AbstractDensity`: did you mean `data`?",
    ),
    "what is not known": (
        "terminal.target",
        "energy",
        "`game.terminal.target` got 'energy', which is not known.",
    ),
    "a choice": (
        "data_at",
        "strt",
        '`game.data_at` got \'strt\', expected one of "start", "end": did you mean `start`?',
    ),
    "nothing": ("terminal", None, "`game.terminal` is missing, expected an `AbstractFunctional`"),
    "no type": ("terminal", {"target": "data"}, "`game.terminal.type` is missing"),
    "code without leave": (
        "lagrangian",
        {"type": "mine:Cost"},
        "`game.lagrangian`: `mine:Cost` is code of the specification's author, expected your leave",
    ),
    "a table for a number": (
        "lagrangian.speed",
        {"type": "KL"},
        "`game.lagrangian.speed` got a table, expected a number: correct it.",
    ),
    "a name for a number": (
        "discount",
        "data",
        "`game.discount` got 'data', expected a number: correct it.",
    ),
    "a key": (
        "lagrangian.key",
        3,
        "`game.lagrangian.key` got 3, expected none in a document",
    ),
    "a list": ("lagrangian", [], "`game.lagrangian` got"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_with_its_path(mistake):
    path, value, said = MISTAKES[mistake]
    document = {name: dict(part) for name, part in GAME.items()}
    *way, last = path.split(".")
    place = document
    for step in way:
        place = place[step]
    place[last] = value
    if value is None:
        del place[last]
    with pytest.raises(ValueError, match=r"^`") as caught:
        build(document, mg.MFG, "game", GIVEN)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_lambda_has_no_name():
    with pytest.raises(ValueError, match="has no name for a document"):
        write(mg.Linear(lambda x: x @ x))


def test_families_are_found_by_their_abstract_class():
    assert {"Kinetic", "Power", "ScoreLagrangian"} <= set(members(mg.costs.AbstractLagrangian))
    assert {"ot_flow_potential", "score_field"} <= set(members(mg.models.AbstractModel))
    assert not any(name.startswith("Abstract") for name in members(mg.densities.AbstractDensity))


@pytest.mark.parametrize("size", ["1e300", "-1e200", "1e-300"])
def test_a_number_beyond_single_precision_is_refused(size):
    text = f'[data]\nname = "moons"\n[game]\ndiscount = {size}\n'
    with pytest.raises(ValueError, match=r"`game\.discount` got .* from 1e-37 to 1e\+38"):
        _toml.decode(_toml.parse(text, "a text"))
