"""Every member of a family has a row in `tests/tables.py`, so that the laws run over it."""

import importlib
import inspect
import pkgutil

import jax.numpy as jnp
import pytest
from tests.tables import CONSTRAINTS, DEGENERATE, DIM, DYNAMICS, FUNCTIONALS, LAGRANGIANS

from mfgen import costs, dynamics, functionals, games
from mfgen.costs import AbstractLagrangian
from mfgen.dynamics import AbstractDynamics
from mfgen.functionals import AbstractFunctional
from mfgen.math._linear_map import matrix, source_size

ROWS = {
    AbstractDynamics: [build() for build in DYNAMICS.values()],
    AbstractFunctional: [build() for build in (FUNCTIONALS | CONSTRAINTS).values()],
    AbstractLagrangian: [row.build() for row in LAGRANGIANS.values()]
    + [build() for build in DEGENERATE.values()],
}


def members(base: type) -> set[type]:
    """The concrete public subclasses of `base` in the floors that a game is made of."""
    found = set()
    for floor in (costs, dynamics, functionals, games):
        for module in pkgutil.iter_modules(floor.__path__, f"{floor.__name__}."):
            parts = vars(importlib.import_module(module.name)).values()
            known = (part for part in parts if inspect.isclass(part) and issubclass(part, base))
            found |= {part for part in known if not inspect.isabstract(part)}
    return found - {base}


@pytest.mark.parametrize("base", ROWS, ids=lambda base: base.__name__)
def test_every_member_has_a_row(base):
    missing = members(base) - {type(member) for member in ROWS[base]}
    assert not missing, f"add a row to tests/tables.py for {sorted(map(str, missing))}"
    assert members(base)


@pytest.mark.parametrize("base", ROWS, ids=lambda base: base.__name__)
def test_members_are_final(base):
    """Abstract or final: no member is built on another."""
    concrete = members(base)
    for member in concrete:
        assert not concrete & set(member.__mro__[1:]), f"{member} is built on another member"


@pytest.mark.parametrize("name", DYNAMICS)
def test_dynamics_keep_their_word(name):
    """`deterministic` tells whether sigma is zero, and the parts have the shapes of the theory."""
    dynamics = DYNAMICS[name]()
    dim = DIM * dynamics.blocks
    x = jnp.ones(dim)
    assert dynamics.horizon > 0
    for t in (0.1, 0.5 * dynamics.horizon):
        gain, diffusion = dynamics.gain(t), dynamics.diffusion(t)
        assert bool(jnp.any(diffusion != 0)) != dynamics.deterministic
        for one in (gain, diffusion):
            assert one.ndim in (0, 2)
            assert one.ndim == 0 or one.shape[0] in (dim, dynamics.blocks)
            assert matrix(one, dim).shape == (dim, source_size(one, dim))
        assert diffusion.ndim or diffusion >= 0
        assert dynamics.free(t, x).shape == x.shape
