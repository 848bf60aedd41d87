"""The commands that train, draw and judge, as functions that return their answers."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.text import Text

from mfgen._check import between
from mfgen.lab import _comparison, _compiled, _monitor, _recipes, _report, _solving, _wording
from mfgen.lab import _run as running
from mfgen.lab._answer import Answer, stack, table
from mfgen.lab._claims import check_place
from mfgen.lab._find import Source, folders, found
from mfgen.lab._imports import Imports
from mfgen.lab._measures import measure_of
from mfgen.lab._spec import Experiment
from mfgen.lab._store import RunFolder
from mfgen.metrics._estimate import Estimate
from mfgen.trainers._state import CheckpointError

_MOST = 10_000_000  # samples at once


def run(
    source: Source,
    *,
    out: Path | None,
    seed: int | None,
    steps: int | None,
    resume: bool,
    console: Console,
) -> Answer:
    """Runs a recipe or a file, with some of its fields replaced.

    Raises:
        ValueError, TypeError, OSError: one line on what the caller got wrong.
    """
    experiment = found("run", source, seed=seed, steps=steps)
    place = out or Path("runs") / f"{experiment.name}-{experiment.data.name}-{experiment.seed}"
    places = [*folders(source.spec), RunFolder(place).custom]
    imports = Imports(places, allowed=source.allow_import)
    return _finished(_run(experiment, place, resume, imports, console))


def sample(run: Path, *, n: int, seed: int, out: Path | None, allow_import: bool) -> Answer:
    """Draws samples of a finished run into an npz file that is not there yet."""
    between("sample", 1, _MOST, **{"-n": n})
    between("sample", 0, 2**32 - 1, **{"--seed": seed})
    path = (out or run / f"samples-{n}-{seed}.npz").absolute()
    if path.exists():
        raise ValueError(
            f"`sample` got --out {path}, which exists, expected a new file: choose another name "
            "or --seed."
        )
    if path.suffix != ".npz":
        raise ValueError(
            f"`sample` got --out {path}, expected a name that ends in .npz: samples are arrays of "
            "NumPy; rename it."
        )
    check_place("sample", path)
    _compiled.keep()
    imports = Imports([run / "custom", Path.cwd()], allowed=allow_import)
    with imports.blamed():
        samples = running.sample(running.load(run, imports), n, seed=seed)
    RunFolder(path.parent).write_arrays(path.name, {"samples": samples})
    document = {"run": str(run), "n": n, "seed": seed, "out": str(path)}
    written = escape(f"{n} samples of dimension {samples.shape[1]} in {path}")
    return Answer(document, stack(written, *_notices([run])))


def compare(
    runs: Sequence[Path],
    *,
    solver: str | None = None,
    out: Path | None = None,
    allow_import: bool = False,
    console: Console | None = None,
    **options: Any,
) -> Answer:
    """The measures of finished runs side by side, or one run beside a solver of its game."""
    if solver is None:
        given = {
            name: value for name, value in {"out": out, **options}.items() if value is not None
        }
        for name, value in given.items():
            raise ValueError(
                f"`compare` got --{name} {value} without --solver, expected it with one: add "
                f"--solver grid, or leave --{name} out."
            )
        return _compared(runs)
    if len(runs) != 1:
        raise ValueError(
            f"`compare` got {len(runs)} runs with --solver, expected one: name one folder."
        )
    _compiled.keep()
    imports = Imports([runs[0] / "custom", Path.cwd()], allowed=allow_import)
    with (console or Console(quiet=True)).status(f"solving the game of {runs[0]}"):
        return _solving.against(
            runs[0], _solving.Settings(solver, **options), out=out, imports=imports
        )


def _compared(folders: Sequence[Path]) -> Answer:
    groups = _comparison.group(_comparison.read(folders))
    tables = []
    for group in groups:
        headings = ["measure", *[column.label for column in group.columns]]
        headings += ["with / without HJB"] * len(group.pairs)
        lines = [
            [f"{row.title}{', ' + row.unit if row.unit else ''}", *row.cells, *row.contrasts]
            for row in (*_wording.rows(group), *_wording.cost_rows(group))
        ]
        tables.append(_titled(group.label, headings, lines))
        tables += [escape(str(reading)) for reading in _wording.reading(group)]
    document = {"groups": [_group(group) for group in groups]}
    return Answer(document, stack(*tables, *_notices(folders)))


def _notices(folders: Sequence[Path]) -> list[str]:
    """What is to be said of finished runs that have no digests."""
    said = [RunFolder(folder).notice for folder in folders]
    return [escape(f"notice: {notice}.") for notice in said if notice]


def write_report(runs: Sequence[Path], *, out: Path | None) -> Answer:
    """Writes a report of finished runs."""
    if not runs:
        raise ValueError("`report` got no run, expected at least one folder: name some.")
    if out is not None:
        check_place("report", out)
    else:
        out = (runs[0] if len(runs) == 1 else runs[0].absolute().parent) / "report.html"
    path = _report.write(runs, out)
    return Answer({"report": str(path)}, escape(f"report in {path}"))


def _run(
    experiment: Experiment, place: Path, resume: bool, imports: Imports, console: Console
) -> running.Run:
    _compiled.keep()
    title = f"{experiment.name} on {experiment.data.name}, seed {experiment.seed}"
    try:
        with _monitor.shown(title, console) as watcher, imports.blamed():
            return running.run(experiment, place, resume=resume, imports=imports, watcher=watcher)
    except CheckpointError as error:
        raise ValueError(str(error)) from error


def demo(*, out: Path, console: Console) -> Answer:
    """Trains with and without the HJB regulariser on known and on real data; writes a report.

    What is finished already is kept, what was stopped is continued.
    """
    folders = []
    for data in ("gaussians8", "digits"):
        for name in ("score-vp", "score-vp-hjb"):
            experiment = _recipes.experiment(name, data)
            folder = RunFolder(out / f"{name}-{data}-{experiment.seed}")
            folders.append(folder.path)
            if not folder.is_finished:
                _run(experiment, folder.path, True, Imports(), console)
    written = write_report(folders, out=out / "report.html")
    compared = _compared(folders)
    return Answer({**compared.document, **written.document}, stack(compared.view, written.view))


def _finished(run: running.Run) -> Answer:
    summary, folder = run.summary, run.folder
    lines = [
        [measure_of(name).title, str(Estimate(**kept)), measure_of(name).unit]
        for name, kept in summary["metrics"].items()
    ]
    title = f"{summary['spec']} on {summary['data']}, seed {summary['seed']}"
    cost = f"{_training(summary)}; judged in {summary['evaluation_seconds']:.1f} s"
    left_out = "; ".join(
        f"{measure_of(name).title}: {reason}" for name, reason in summary["skipped"].items()
    )
    parts = [_titled(title, ["measure", "value", "unit"], lines), escape(cost)]
    if summary["weights"]:
        parts.append(escape(_wording.weights(summary["weights"])))
    if summary["descent"]:
        parts.append(escape(_wording.descent(summary["descent"])))
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


def _group(group: _comparison.Group) -> dict[str, Any]:
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
