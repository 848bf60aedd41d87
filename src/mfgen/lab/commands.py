"""The commands that train, draw and judge, as functions that return their answers."""

import difflib
import math
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.text import Text

from mfgen import _file
from mfgen.lab import (
    comparison,
    fitting,
    listing,
    monitor,
    recipes,
    report,
    solving,
    spec,
    toml,
    wording,
)
from mfgen.lab import run as running
from mfgen.lab.answer import Answer, stack, table
from mfgen.lab.catalogue import METRICS
from mfgen.lab.custom import Imports
from mfgen.lab.recipes import RECIPES
from mfgen.lab.store import RunFolder
from mfgen.metrics.estimate import Estimate
from mfgen.trainers.state import CheckpointError


def run(
    name: str,
    *,
    out: Path | None,
    seed: int | None,
    steps: int | None,
    data: str | None,
    path: Path | None,
    resume: bool,
    allow_import: bool,
    console: Console,
) -> Answer:
    """Runs a recipe or a specification file, with some of its fields replaced.

    Raises:
        ValueError, TypeError, OSError: one line on what the caller got wrong.
    """
    experiment = _changed(_find(name, data, path), seed=seed, steps=steps, data=data, path=path)
    place = out or Path("runs") / f"{experiment.name}-{experiment.data.name}-{experiment.seed}"
    folders = [Path(name).parent, Path.cwd(), RunFolder(place).custom]
    imports = Imports(folders, allowed=allow_import)
    return _finished(_run(experiment, place, resume, imports, console))


def sample(folder: Path, n: int, *, seed: int, out: Path | None, allow_import: bool) -> Answer:
    """Draws samples of a finished run into an npz file that is not there yet."""
    if n < 1:
        raise ValueError(f"`sample` got -n {n}, expected at least 1: ask for more samples.")
    path = (out or folder / f"samples-{n}-{seed}.npz").absolute()
    if path.exists():
        raise ValueError(
            f"`sample` got --out {path}, which exists, expected a new file: choose another name "
            "or --seed."
        )
    _keep_compiled()
    imports = Imports([folder / "custom", Path.cwd()], allowed=allow_import)
    with imports.blamed():
        samples = running.sample(running.load(folder, imports), n, seed=seed)
    RunFolder(path.parent).write_arrays(path.name, {"samples": samples})
    document = {"run": str(folder), "n": n, "seed": seed, "out": str(path)}
    written = escape(f"{n} samples of dimension {samples.shape[1]} in {path}")
    return Answer(document, stack(written, *_notices([folder])))


def compare(folders: Sequence[Path]) -> Answer:
    """The measures of finished runs side by side."""
    groups = comparison.group(comparison.read(folders))
    tables = []
    for group in groups:
        headings = ["measure", *[column.label for column in group.columns]]
        headings += ["with / without HJB"] * len(group.pairs)
        lines = [
            [f"{row.title}{', ' + row.unit if row.unit else ''}", *row.cells, *row.contrasts]
            for row in (*wording.rows(group), *wording.cost_rows(group))
        ]
        tables.append(_titled(group.label, headings, lines))
        tables += [escape(str(reading)) for reading in wording.reading(group)]
    document = {"groups": [_group(group) for group in groups]}
    return Answer(document, stack(*tables, *_notices(folders)))


def _notices(folders: Sequence[Path]) -> list[str]:
    """What is to be said of finished runs that have no digests."""
    said = [RunFolder(folder).notice for folder in folders]
    return [escape(f"notice: {notice}.") for notice in said if notice]


def against(folder: Path, settings: solving.Settings, *, out: Path | None, allow_import: bool):
    """What a run trained, held against a solver of the same game; writes a table and a figure."""
    _keep_compiled()
    imports = Imports([folder / "custom", Path.cwd()], allowed=allow_import)
    with imports.blamed():
        done = running.load(folder, imports)
        return solving.against(done.case.game, done.case.model, folder, settings, out=out)


def report_runs(folders: Sequence[Path], *, out: Path | None) -> Answer:
    """Writes a report of finished runs."""
    if not folders:
        raise ValueError("`report` got no run, expected at least one folder: name some.")
    if out is None:
        out = (folders[0] if len(folders) == 1 else folders[0].absolute().parent) / "report.html"
    path = report.write(folders, out)
    return Answer({"report": str(path)}, escape(f"report in {path}"))


def _keep_compiled() -> None:
    """Keeps compiled programs between runs, in the user's cache unless the environment says.

    Where that cannot be written to, they are not kept, rather than each being warned about.
    """
    name = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if name is None:
        home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        name = os.path.join(home, "mfgen", "jax")
    # A cache that cannot be written, as on a full disk, is no matter either.
    warnings.filterwarnings("ignore", ".*persistent compilation cache")
    jax.config.update("jax_compilation_cache_dir", name if name and _is_writable(name) else None)


def _is_writable(folder: str) -> bool:
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def _find(name: str, data: str | None, path: Path | None) -> spec.Experiment:
    if name in RECIPES:
        return listing.recipe_on(name, data or "gaussians8", path and str(path))
    file = Path(os.path.expanduser(name))
    if file.is_file():
        return _located(toml.read(file), file.parent)
    if (name and os.path.lexists(file)) or file.suffix or len(file.parts) > 1:
        got = f"is {_file.kind(file)}" if os.path.lexists(file) else "does not exist"
        raise ValueError(
            f"`{name}` {got}, expected a specification in TOML: correct the path, or name a "
            "recipe of `mfgen list`."
        )
    near = difflib.get_close_matches(name, RECIPES, n=1)
    raise ValueError(
        f"`run` got {name!r}, expected a recipe or the path of a TOML file: "
        + (f"did you mean `{near[0]}`?" if near else "see `mfgen list`.")
    )


def _located(experiment: spec.Experiment, folder: Path) -> spec.Experiment:
    """The experiment with the path of its data, if any, taken from a folder."""
    data = experiment.data
    if data.path is None:
        return experiment
    path = str((folder / os.path.expanduser(data.path)).absolute())
    return spec.replace(experiment, data=spec.replace(data, path=path))


def _changed(
    experiment: spec.Experiment,
    *,
    seed: int | None,
    steps: int | None,
    data: str | None,
    path: Path | None,
) -> spec.Experiment:
    document = toml.encode(experiment)
    if seed is not None:
        document["seed"] = seed
    if steps is not None:
        document["training"]["steps"] = steps
    if data is not None and data != experiment.data.name:
        document["data"] = {"name": data}
    if path is not None:
        document["data"]["path"] = str(Path(os.path.expanduser(path)).absolute())
    changed = toml.decode(document, "command line")
    fitting.check(experiment, changed.data)
    return changed


def _run(
    experiment: spec.Experiment, place: Path, resume: bool, imports: Imports, console: Console
) -> running.Run:
    _keep_compiled()
    title = f"{experiment.name} on {experiment.data.name}, seed {experiment.seed}"
    try:
        with monitor.shown(title, console) as watcher, imports.blamed():
            return running.run(experiment, place, resume=resume, imports=imports, watcher=watcher)
    except CheckpointError as error:
        raise ValueError(str(error)) from error


def demo(place: Path, console: Console) -> Answer:
    """Trains with and without the HJB regulariser on known and on real data; writes a report.

    What is finished already is kept, what was stopped is continued.
    """
    folders = []
    for data in ("gaussians8", "digits"):
        for name in ("score-vp", "score-vp-hjb"):
            experiment = recipes.experiment(name, data)
            folder = RunFolder(place / f"{name}-{data}-{experiment.seed}")
            folders.append(folder.path)
            if not folder.is_finished:
                _run(experiment, folder.path, True, Imports(), console)
    written = report_runs(folders, out=place / "report.html")
    compared = compare(folders)
    return Answer({**compared.document, **written.document}, stack(compared.view, written.view))


def _finished(run: running.Run) -> Answer:
    summary, folder = run.summary, run.folder
    lines = [
        [METRICS[name].title, str(Estimate(**kept)), METRICS[name].unit]
        for name, kept in summary["metrics"].items()
    ]
    title = f"{summary['spec']} on {summary['data']}, seed {summary['seed']}"
    cost = f"{_training(summary)}; judged in {summary['evaluation_seconds']:.1f} s"
    left_out = "; ".join(
        f"{METRICS[name].title}: {reason}" for name, reason in summary["skipped"].items()
    )
    parts = [_titled(title, ["measure", "value", "unit"], lines), escape(cost)]
    if summary["weights"]:
        parts.append(escape(wording.weights(summary["weights"])))
    if summary["descent"]:
        parts.append(escape(wording.descent(summary["descent"])))
    if summary.get("certificate"):
        parts.append(escape(f"certificate: {summary['certificate']}"))
    if left_out:
        parts.append(escape(f"left out: {left_out}"))
    parts += [escape(f"warning: {line}.") for line in summary["warnings"]]
    parts.append(escape(f"run in {folder.path}"))
    return Answer({**summary, "out": str(folder.path)}, stack(*parts))


def _titled(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> RenderableType:
    """A table below its title, which may be wider than the table."""
    return Group(Text(title, style="bold"), table("", columns, rows))


def _training(summary: dict[str, Any]) -> str:
    if summary["ms_per_step"] is None:
        return "no steps"
    trainings = len(summary["weights"]["candidates"]) if summary["weights"] else 1
    times = f"{trainings} x " if trainings > 1 else ""
    return (
        f"{times}{summary['steps']} steps in {summary['wall_seconds']:.1f} s, "
        f"{summary['ms_per_step']:.3g} ms per step"
    )


def _group(group: comparison.Group) -> dict[str, Any]:
    def known(record: Any) -> dict[str, Any] | None:
        return None if record is None else record._asdict()

    return {
        "data": group.label,
        "columns": [
            {
                "label": column.label,
                "seeds": column.seeds,
                "metrics": {name: known(column.cell(name)) for name in group.metrics},
                # Absent, not a number, for runs of no steps.
                "ms_per_step": None if math.isnan(rate := column.mean("ms_per_step")) else rate,
            }
            for column in group.columns
        ],
        "pairs": [
            {
                "with": pair.regularised.label,
                "without": pair.plain.label,
                "metrics": {name: known(pair.contrast(name)) for name in group.metrics},
            }
            for pair in group.pairs
        ],
    }
