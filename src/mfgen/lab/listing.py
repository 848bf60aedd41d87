"""What there is, by name: recipes and data sets, and what each stands for."""

import difflib

from rich.markup import escape
from rich.syntax import Syntax
from rich.text import Text

from mfgen.lab import recipes, toml
from mfgen.lab.answer import Answer, stack, table
from mfgen.lab.catalogue import DATA
from mfgen.lab.recipes import RECIPES


def names() -> Answer:
    """All recipes and data sets, with a line on each."""
    data = {
        name: {"kind": info.kind, "dim": info.dim, "summary": info.summary}
        for name, info in DATA.items()
    }
    document = {
        "recipes": {name: info.summary for name, info in RECIPES.items()},
        "data": data,
    }
    lines = [[name, _size(info.dim), escape(info.summary)] for name, info in DATA.items()]
    view = stack(
        table(
            "Recipes", ["name", "what it is"], [[n, escape(i.summary)] for n, i in RECIPES.items()]
        ),
        table("Data", ["name", "dimension", "what it is"], lines),
        "mfgen show NAME says more; mfgen run RECIPE --data DATA trains.",
    )
    return Answer(document, view)


def one(name: str, data: str | None = None) -> Answer:
    """A recipe with its game and its specification for some data, or a data set.

    Raises:
        ValueError: for a name that is neither.
    """
    if name in RECIPES:
        return _recipe(name, data or "gaussians8")
    if name in DATA:
        info = DATA[name]
        document = {"name": name, "kind": info.kind, "dim": info.dim, "summary": info.summary}
        text = f"{name}: {info.summary}\nkind: {info.kind}, dimension: {_size(info.dim)}"
        return Answer(document, escape(text))
    known = [*RECIPES, *DATA]
    near = difflib.get_close_matches(name, known, n=1)
    fix = f"did you mean `{near[0]}`?" if near else "see `mfgen list`."
    raise ValueError(f"`show` got {name!r}, expected a recipe or a data set: {fix}")


def _recipe(name: str, data: str) -> Answer:
    info = RECIPES[name]
    experiment = toml.decode(toml.encode(recipes.experiment(name, data)))
    dim = recipes.dimension(experiment.data)
    if dim is not None:
        experiment = recipes.resolve(experiment, dim)
    text = toml.write(experiment)
    document = {
        "name": name,
        "summary": info.summary,
        "formulas": dict(info.formulas),
        "spec": toml.encode(experiment),
    }
    rows = [[title, escape(formula)] for title, formula in info.formulas]
    view = stack(
        escape(f"{name}: {info.summary}"),
        table("", ["the game", ""], rows),
        _listing(text),
    )
    return Answer(document, view)


def _listing(text: str) -> Text:
    # Lines are never broken, so that what is shown can be copied into a file.
    listing = Syntax("", "toml", background_color="default").highlight(text)
    listing.no_wrap, listing.overflow = True, "ignore"
    return listing


def _size(dim: int | None) -> str:
    return "of the file" if dim is None else str(dim)
