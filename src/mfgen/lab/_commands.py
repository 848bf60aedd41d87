"""The commands that train, draw and judge, as functions that return their answers."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from mfgen._check import between
from mfgen.lab import _comparison, _compiled, _monitor, _recipes, _report, _solving, _wording
from mfgen.lab import _run as running
from mfgen.lab._answer import Answer, stack, table
from mfgen.lab._claims import check_place
from mfgen.lab._find import Source, found
from mfgen.lab._imports import Imports
from mfgen.lab._measures import measure_of
from mfgen.lab._spec import Experiment
from mfgen.lab._store import RunFolder
from mfgen.metrics._estimate import Estimate

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
    imports = source.imports(RunFolder(place).custom)
    return _finished(_run(experiment, place, resume, imports, console))


def sample(run: Path, *, n: int, seed: int | None, out: Path | None, allow_import: bool) -> Answer:
    """Draws samples of a finished run into an npz file that is not there yet."""
    seed = seed or 0
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
    with Imports([run / "custom", Path.cwd()], allowed=allow_import).blamed() as imports:
        samples = running.sample(running.load(run, imports), n, seed=seed)
    RunFolder(path.parent).write_arrays(path.name, {"samples": samples})
    document = {"run": str(run), "n": n, "seed": seed, "out": str(path)}
    written = f"{n} samples of dimension {samples.shape[1]} in {path}"
    return Answer(document, stack(written, *_notices([run])))


def compare(
    runs: Sequence[Path],
    *,
    solver: str | None,
    out: Path | None,
    allow_import: bool,
    console: Console,
    **options: Any,
) -> Answer:
    """The measures of finished runs side by side, or one run beside a solver of its game."""
    if solver is None:
        given = [
            (name, value) for name, value in {"out": out, **options}.items() if value is not None
        ]
        for name, value in given:
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
    settings = _solving.Settings(solver, **options)
    with console.status(f"solving the game of {runs[0]}"):
        return _solving.against(runs[0], settings, out=out, imports=imports)


def _compared(folders: Sequence[Path]) -> Answer:
    groups = _comparison.group(_comparison.read(folders))
    tables = []
    for group in groups:
        headings = ["measure", *[column.label for column in group.columns]]
        headings += ["with / without HJB"] * len(group.pairs)
        lines = [
            [f"{row.title}{', ' + row.unit if row.unit else ''}", *row.cells, *row.contrasts]
            for row in _wording.rows(group)
        ]
        tables.append(table(group.label, headings, lines))
        tables += [str(reading) for reading in _wording.reading(group)]
    document = {"groups": [_group(group) for group in groups]}
    return Answer(document, stack(*tables, *_notices(folders)))


def _notices(folders: Sequence[Path]) -> list[str]:
    """What is to be said of finished runs that have no digests."""
    said = [RunFolder(folder).notice for folder in folders]
    return [f"notice: {notice}." for notice in said if notice]


def write_report(runs: Sequence[Path], *, out: Path | None) -> Answer:
    """Writes a report of finished runs."""
    if out is not None:
        check_place("report", out)
    else:
        out = (runs[0] if len(runs) == 1 else runs[0].absolute().parent) / "report.html"
    path = _report.write(runs, out)
    return Answer({"report": str(path)}, f"report in {path}")


def _run(
    experiment: Experiment, place: Path, resume: bool, imports: Imports, console: Console
) -> running.Run:
    _compiled.keep()
    title = f"{experiment.name} on {experiment.data.name}, seed {experiment.seed}"
    with _monitor.shown(title, console) as watcher, imports.blamed():
        return running.run(experiment, place, resume=resume, imports=imports, watcher=watcher)


def demo(*, out: Path | None, console: Console) -> Answer:
    """Trains with and without the HJB regulariser on known and on real data; writes a report.

    What is finished already is kept, what was stopped is continued.
    """
    out, folders = out or Path("runs/demo"), []
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
    parts = [table(title, ["measure", "value", "unit"], lines), cost]
    parts += _wording.notes(summary)
    if summary.get("certificate"):
        parts.append(f"certificate: {summary['certificate']}")
    if left_out:
        parts.append(f"left out: {left_out}")
    parts += [f"warning: {line}." for line in summary["warnings"]]
    parts.append(f"run in {folder.path}")
    return Answer({**summary, "out": str(folder.path)}, stack(*parts))


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
    def metrics(of: Callable[[str], Any]) -> dict[str, Any]:
        return {name: (found := of(name)) and found._asdict() for name in group.metrics}

    columns = []
    for column in group.columns:
        rate = column.mean("ms_per_step")
        known = {"label": column.label, "seeds": column.seeds, "metrics": metrics(column.cell)}
        # Absent, not a number, for runs of no steps.
        columns.append({**known, "ms_per_step": None if math.isnan(rate) else rate})
    pairs = [
        {"with": p.regularised.label, "without": p.plain.label, "metrics": metrics(p.contrast)}
        for p in group.pairs
    ]
    return {"data": group.label, "columns": columns, "pairs": pairs}
