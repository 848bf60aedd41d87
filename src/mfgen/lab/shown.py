"""The equations of a game by name: of a recipe, above its specification, and of an oracle.

They are derived from the game's own code. The data of a recipe do not enter: its target stays the
density pi. Everything is ASCII, so that it can be kept in any file.
"""

import functools
import textwrap
from typing import Any

import jax.numpy as jnp
from rich.markup import escape
from rich.text import Text

from mfgen.density.gaussian import isotropic
from mfgen.derive.equations import equations
from mfgen.derive.symbol_page import Equations
from mfgen.lab import build, oracles, spec
from mfgen.lab.answer import Answer, stack
from mfgen.lab.custom import Imports

_DIM = 2  # in which equations are written


@functools.cache
def of_game(game: spec.Game) -> Equations:
    """The equations of a game that a specification declares, for any target."""
    law = isotropic(jnp.zeros(_DIM), 1.0)
    return equations(build.game(game, law, Imports(), law))


def document(derived: Equations) -> dict[str, Any]:
    """The equations as plain data."""
    return {
        "title": derived.title,
        "lines": dict(derived.lines("ascii")),
        "latex": derived.latex(),
        "reading": derived.reading,
        "notes": list(derived.notes),
    }


def lines(derived: Equations, width: int) -> list[str]:
    """The equations in two columns of at most so many characters together."""
    given = derived.lines("ascii")
    column = max(len(title) for title, _ in given) + 2
    wrapped = []
    for title, formula in given:
        wrapper = textwrap.TextWrapper(
            width=width,
            initial_indent=f"{title:{column}}",
            subsequent_indent=" " * column,
            break_on_hyphens=False,
        )
        wrapped += wrapper.wrap(formula)
    return wrapped


def oracle(name: str) -> Answer:
    """An oracle: what it is, its equations and its exact answer."""
    info, made = oracles.ORACLES[name], oracles.build(name, _DIM)
    derived = equations(made.solution.game)
    cost = None if made.cost is None else float(made.cost)
    answer = {
        "name": name,
        "summary": info.summary,
        "formula": made.formula,
        "reference": made.reference,
        "cost": cost,
        "dim": _DIM,
        "equations": document(derived),
    }
    told = [f"exact answer: {made.formula}"]
    if cost is not None:
        told.append(f"optimal cost in dimension {_DIM}: {cost:.6g}")
    told.append(f"reference: {made.reference}")
    view = stack(
        escape(f"{name}: {info.summary}"),
        Text("\n".join([derived.title, *lines(derived, 100)])),
        *[escape(part) for part in (derived.reading, *derived.notes)],
        escape("\n".join(told)),
    )
    return Answer(answer, view)
