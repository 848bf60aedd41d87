"""What a command is asked about: a recipe or a file, with the fields that options replace."""

import itertools
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from mfgen import _file as _files
from mfgen._near import near
from mfgen.lab import _recipes, _toml
from mfgen.lab._spec import Experiment


class Source(NamedTuple):
    """The options that say what a command is about.

    Attributes:
        spec: a recipe, or the path of a file; of some commands an oracle.
        data: the data set in place of that of the file.
        path: the file of these data.
        set: fields to replace, each `path=value`.
        allow_import: whether code of the user's own may be run.
    """

    spec: str
    data: str | None = None
    path: Path | None = None
    set: tuple[str, ...] = ()
    allow_import: bool = False


def folders(name: str) -> list[Path]:
    """Where code of the user's own is looked for."""
    return [Path(name).parent, Path.cwd()]


def found(
    owner: str,
    source: Source,
    others: Mapping[str, Iterable[str]] = MappingProxyType({}),
    *,
    seed: int | None = None,
    steps: int | None = None,
) -> Experiment:
    """The experiment of a recipe or a file, with some of its fields replaced.

    Arguments:
        owner: the command.
        source: what it is asked about, and the options that replace fields.
        others: what else it can be asked about, by kind, for who has mistaken a name.
        seed, steps: replace those of the experiment.

    Raises:
        ValueError, OSError: in the name of the command `owner`.
    """
    name, path = source.spec, source.path and str(Path(os.path.expanduser(source.path)).absolute())
    if name in _recipes.documents():
        experiment = _recipes.experiment(
            name, "gaussians8" if source.data is None else source.data, path
        )
        path = data = None
    else:
        experiment, data = _file(owner, name, others), source.data
    changes: dict[str, object] = {} if seed is None else {"seed": seed}
    if steps is not None:
        changes["training.steps"] = steps
    if data is not None and data != experiment.data.name:
        changes["data"] = {"name": data}
        if path is not None:
            changes["data"] = {"name": data, "path": path}
    elif path is not None:
        changes["data.path"] = path
    return experiment.changed(changes | dict(_setting(owner, text) for text in source.set))


def refuse(owner: str, source: Source) -> None:
    """Refuses options of recipes with anything else."""
    options = (("--data", source.data), ("--path", source.path), ("--set", " ".join(source.set)))
    for option, value in options:
        if value:
            raise ValueError(
                f"`{owner}` got {option} {value} with {source.spec!r}, expected it with a recipe "
                f"or a specification: leave {option} out."
            )


def _setting(owner: str, text: str) -> tuple[str, object]:
    path, mark, value = text.partition("=")
    if not mark or not path.strip():
        raise ValueError(
            f"`{owner}` got --set {text}, expected PATH=VALUE, such as "
            "game.lagrangian.speed=2: correct it."
        )
    return path.strip(), _toml.value(value.strip())


def _file(owner: str, name: str, others: Mapping[str, Iterable[str]]) -> Experiment:
    file = Path(os.path.expanduser(name))
    if name and file.is_file():
        experiment = _toml.read(file)
        if experiment.data.path is None:
            return experiment
        place = (file.parent / os.path.expanduser(experiment.data.path)).absolute()
        return experiment.changed({"data.path": str(place)})
    there = bool(name) and os.path.lexists(file)
    if there or file.suffix or len(file.parts) > 1:
        got = f"is {_files.kind(file)}" if there else "does not exist"
        raise ValueError(
            f"`{name}` {got}, expected a specification in TOML: correct the path, or name a "
            "recipe of `mfgen list`."
        )
    what = ", ".join(["a recipe", *others])
    known = [*_recipes.documents(), *itertools.chain.from_iterable(others.values())]
    advice = near(name, known, "see `mfgen list`.")
    raise ValueError(
        f"`{owner}` got {name!r}, expected {what} or the path of a TOML file: {advice}"
    )
