"""The ways in which a game known by name, or declared in a file, can be trained."""

from pathlib import Path

from rich.markup import escape

from mfgen.lab import checked
from mfgen.lab.answer import Answer, stack, table
from mfgen.lab.custom import Imports
from mfgen.planning.planner import plan


def ways(
    name: str,
    *,
    data: str | None = None,
    path: Path | None = None,
    allow_import: bool = False,
) -> Answer:
    """The plan of a recipe, an oracle, or the game of a specification file.

    Arguments:
        name: of a recipe or an oracle, or the path of a TOML file.
        data: the data set of a recipe (default: gaussians8).
        path: the file of these data, if they come from one.
        allow_import: whether the file may name code of its own.

    Raises:
        ValueError, TypeError, OSError: one line on what the caller got wrong.
    """
    imports = Imports([Path(name).parent, Path.cwd()], allowed=allow_import)
    with imports.blamed():
        found = plan(*checked.with_data("plan", name, data, path, imports))
    entries = [
        {"name": way.name, "fits": lack is None, "summary": way.summary, "lack": lack}
        for way, lack in found.entries
    ]
    first = next(iter(found.fitting), None)
    rows = []
    for way, lack in found.entries:
        fits = "[bold green]taken[/]" if way.name == first else "[green]fits[/]"
        said = f"{way.summary} A step: {way.cost}." if lack is None else f"lacks: {lack}"
        rows.append([escape(way.name), fits if lack is None else "", escape(said)])
    view = stack(table(f"Ways of training {name}", ["way", "", "what it is"], rows))
    return Answer({"name": name, "first": first, "ways": entries}, view)
