"""What there is, by name: recipes, oracles and data sets, and what each stands for.

A recipe is shown as TOML that runs as it is: its game, and the equations derived from it, stand
above the specification in comments. JAX is imported only where equations are derived.
"""

import difflib
import textwrap
from typing import cast

from rich.markup import escape
from rich.syntax import Syntax
from rich.text import Text

from mfgen.lab import recipes, spec, toml
from mfgen.lab.answer import Answer, stack, table
from mfgen.lab.catalogue import DATA, FILES, DataName
from mfgen.lab.described import RecipeInfo
from mfgen.lab.oracles import ORACLES
from mfgen.lab.recipes import RECIPES

_COMMENT = 80  # columns of the comments above a specification
_DERIVED = "With its own numbers, in two dimensions:"


def names() -> Answer:
    """All recipes, oracles and data sets, with a line on each."""
    data = {
        name: {"kind": info.kind, "dim": info.dim, "summary": info.summary}
        for name, info in DATA.items()
    }
    document = {
        "recipes": {name: info.summary for name, info in RECIPES.items()},
        "oracles": {name: info.summary for name, info in ORACLES.items()},
        "data": data,
    }
    lines = [[name, _size(info.dim), escape(info.summary)] for name, info in DATA.items()]
    view = stack(
        table(
            "Recipes", ["name", "what it is"], [[n, escape(i.summary)] for n, i in RECIPES.items()]
        ),
        table(
            "Oracles", ["name", "what it is"], [[n, escape(i.summary)] for n, i in ORACLES.items()]
        ),
        table("Data", ["name", "dimension", "what it is"], lines),
        "mfgen show NAME says more; mfgen run RECIPE --data DATA trains; mfgen check NAME asks "
        "whether its game is well posed.",
    )
    return Answer(document, view)


def one(name: str, data: str | None = None) -> Answer:
    """A recipe with its game and its specification for some data, an oracle, or a data set.

    Raises:
        ValueError: for a name that is none of them.
    """
    if name in RECIPES:
        return _recipe(name, data or "gaussians8")
    if name in DATA:
        return _data(name, data)
    if name in ORACLES:
        _check_plain(name, data, "an oracle")
        from mfgen.lab import shown

        return shown.oracle(name)
    known = [*RECIPES, *ORACLES, *DATA]
    near = difflib.get_close_matches(name, known, n=1)
    fix = f"did you mean `{near[0]}`?" if near else "see `mfgen list`."
    raise ValueError(f"`show` got {name!r}, expected a recipe, an oracle or a data set: {fix}")


def recipe_on(name: str, data: str, path: str | None = None) -> spec.Experiment:
    """The experiment of a recipe on data, with the path of those that come from a file.

    Raises:
        ValueError: for unknown data, or a path where none belongs or none where one does.
    """
    if path is None and data not in FILES:
        return recipes.experiment(name, data)
    chosen = spec.Data(name=cast(DataName, data), path=path)
    return spec.replace(recipes.experiment(name), data=chosen)


def _data(name: str, data: str | None) -> Answer:
    _check_plain(name, data, "the data set")
    info = DATA[name]
    document = {"name": name, "kind": info.kind, "dim": info.dim, "summary": info.summary}
    lines = [
        f"{name}: {info.summary}",
        f"kind: {info.kind}, dimension: {_size(info.dim)}",
        f"fields of [data]: {', '.join(spec.fields_of(cast(DataName, name)))}",
    ]
    if name in FILES:
        lines.append(f"a specification to start from: mfgen show RECIPE --data {name}")
    return Answer(document, escape("\n".join(lines)))


def _check_plain(name: str, data: str | None, kind: str) -> None:
    if data is not None:
        raise ValueError(
            f"`show` got --data {data} with {kind} {name!r}, expected it with a recipe: leave "
            "--data out."
        )


def _recipe(name: str, data: str) -> Answer:
    info = RECIPES[name]
    experiment = toml.decode(toml.encode(recipe_on(name, data, "PATH" if data in FILES else None)))
    dim = recipes.dimension(experiment.data)
    if dim is not None:
        experiment = recipes.resolve(experiment, dim)
    from mfgen.lab import shown

    derived = shown.of_game(experiment.game)
    document = {
        "name": name,
        "summary": info.summary,
        "formulas": dict(info.formulas),
        "equations": shown.document(derived),
        "spec": toml.encode(experiment),
    }
    heading = textwrap.wrap(
        f"{name}: {info.summary}", _COMMENT, initial_indent="# ", subsequent_indent="# "
    )
    own = [f"# {line}" for line in (_DERIVED, *shown.lines(derived, _COMMENT - 2))]
    parts = [*heading, "#", *_game(info), "#", *own, "", toml.write(experiment)]
    text = "\n".join(parts)
    return Answer(document, stack(_listing(text.rstrip())))


def _game(info: RecipeInfo) -> list[str]:
    """The formulas of a game as comments in two columns."""
    width = max(len(title) for title, _ in info.formulas)
    wrapper = textwrap.TextWrapper(
        width=_COMMENT,
        initial_indent="# ",
        subsequent_indent="# " + " " * (width + 2),
        break_on_hyphens=False,
    )
    wrapped = [wrapper.wrap(f"{title:{width}}  {formula}") for title, formula in info.formulas]
    return [line for lines in wrapped for line in lines]


def _listing(text: str) -> Text:
    # Lines are never broken, so that what is shown can be copied into a file. (In a group: a text
    # alone would be broken all the same.)
    listing = Syntax("", "toml", theme="ansi_light").highlight(text)
    listing.no_wrap, listing.overflow = True, "ignore"
    return listing


def _size(dim: int | None) -> str:
    return "as given" if dim is None else str(dim)
