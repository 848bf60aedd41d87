"""Recipes: documents that come with mfgen, in `mfgen/recipes`, for any data.

Each has a summary and a reference at its head. What it leaves open is filled in by
`mfgen.lab._rules`. Heads are read without importing JAX.
"""

import functools
import tomllib
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mfgen.lab._spec import Experiment


@functools.cache
def documents() -> dict[str, dict[str, Any]]:
    """All recipes by name, as documents without data."""
    files = resources.files("mfgen").joinpath("recipes").iterdir()
    named = sorted((f for f in files if f.name.endswith(".toml")), key=lambda f: f.name[:-5])
    return {f.name.removesuffix(".toml"): tomllib.loads(f.read_text("utf-8")) for f in named}


def experiment(name: str, data: str = "gaussians8") -> "Experiment":
    """The named recipe on the named data.

    Raises:
        ValueError: for a name that is no recipe or no data set, or data that need more than a name.
    """
    from mfgen._near import near
    from mfgen.lab._spec import Experiment

    known = documents()
    if name not in known:
        advice = near(name, known, "see `mfgen list`.")
        raise ValueError(f"`recipe` got {name!r}, expected one of {', '.join(known)}: {advice}")
    parts = {n: v for n, v in known[name].items() if n not in ("summary", "reference")}
    return Experiment.of({"name": name, "seed": 0, "data": {"name": data}, **parts})
