"""Whether a game known by name, or declared in a file, is well posed."""

import difflib
from pathlib import Path

from rich.markup import escape
from rich.text import Text

from mfgen.derive.check import check
from mfgen.derive.verdict import Report, Verdict
from mfgen.lab import build, listing, oracles, recipes, spec, toml
from mfgen.lab.answer import Answer, stack, table
from mfgen.lab.custom import Imports
from mfgen.lab.recipes import RECIPES
from mfgen.lab.samples import Points, prepare
from mfgen.problem.game import MFG

_DIM = 2  # of an oracle
_STYLES = {Verdict.HOLDS: "green", Verdict.FAILS: "bold red", Verdict.UNKNOWN: "yellow"}


def report(
    name: str,
    *,
    data: str | None = None,
    path: Path | None = None,
    spacing: float | None = None,
    step: float | None = None,
    allow_import: bool = False,
) -> Answer:
    """The check of a recipe, an oracle, or the game of a specification file.

    Arguments:
        name: of a recipe or an oracle, or the path of a TOML file.
        data: the data set of a recipe (default: gaussians8).
        path: the file of these data, if they come from one.
        spacing, step: of a grid in place and time, whose resolution is judged as well.
        allow_import: whether the file may name code of its own.

    Raises:
        ValueError, TypeError, OSError: one line on what the caller got wrong.
    """
    imports = Imports([Path(name).parent, Path.cwd()], allowed=allow_import)
    with imports.blamed():
        game = declared("check", name, data, path, imports)
        found = check(game, game.initial, spacing=spacing, step=step)
    return _answer(name, found)


def declared(
    owner: str, name: str, data: str | None, path: Path | None, imports: Imports, dim: int = _DIM
) -> MFG:
    """The game of an oracle in dimension `dim`, of a recipe, or of a specification file.

    Raises:
        ValueError: in the name of the command `owner`.
    """
    return with_data(owner, name, data, path, imports, dim)[0]


def with_data(
    owner: str, name: str, data: str | None, path: Path | None, imports: Imports, dim: int = _DIM
) -> tuple[MFG, Points | None]:
    """The game as of `declared`, and the samples that it is trained on, if there are any."""
    if name in oracles.ORACLES:
        _refuse(owner, name, data, path)
        return oracles.build(name, dim).solution.game, None
    if name in RECIPES:
        experiment = listing.recipe_on(name, data or "gaussians8", path and str(path))
    else:
        experiment = _file(owner, name)
        _refuse(owner, name, data, path)
    key = build.keys(experiment.seed)["data"]
    samples = prepare(recipes.data(experiment), key=key)
    game = build.game(experiment.game, samples.target, imports, samples.truth)
    return game, None if samples.is_energy else samples.train


def _file(owner: str, name: str) -> spec.Experiment:
    file = Path(name)
    if not file.is_file():
        near = difflib.get_close_matches(name, [*RECIPES, *oracles.ORACLES], n=1)
        fix = f"did you mean `{near[0]}`?" if near else "see `mfgen list`."
        raise ValueError(
            f"`{owner}` got {name!r}, expected a recipe, an oracle or the path of a TOML file: "
            f"{fix}"
        )
    experiment = toml.read(file)
    if experiment.data.path is None:
        return experiment
    located = str((file.parent / Path(experiment.data.path).expanduser()).absolute())
    return spec.replace(experiment, data=spec.replace(experiment.data, path=located))


def _refuse(owner: str, name: str, data: str | None, path: Path | None) -> None:
    for option, value in (("--data", data), ("--path", path)):
        if value is not None:
            raise ValueError(
                f"`{owner}` got {option} {value} with {name!r}, expected it with a recipe: leave "
                f"{option} out."
            )


def _answer(name: str, found: Report) -> Answer:
    items = [{**item._asdict(), "status": item.status.value} for item in found]
    counts = {
        verdict.value: sum(i["status"] == verdict.value for i in items) for verdict in Verdict
    }
    rows = []
    for item in found:
        status = f"[{_STYLES[item.status]}]{item.status.value}[/]"
        rows.append([escape(item.name), status, escape(item.evidence), escape(item.repair)])
    view = stack(
        Text(name, style="bold"),
        table("", ["condition", "verdict", "evidence", "repair"], rows),
        ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
        + "; `holds` means that no sample contradicts it",
    )
    return Answer({"name": name, "counts": counts, "items": items}, view)
