"""Runs an experiment into a folder: data, training, evaluation, figures.

    prepare data -> claim the folder -> train with checkpoints -> judge, certify -> draw -> summary

Particles are moved in the place of a training (`mfgen.lab.trainers`).

Everything random follows from the specification and its seed, so a run that was killed and
continued from its last checkpoint ends with the same parameters, bit for bit, as one that was not.
A finished run that is resumed is only judged again.
"""

import platform
import time
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np

from mfgen.lab import arrays, build, certified, descent, evaluation, figures, ranges, spec
from mfgen.lab.case import Case, Watcher, assemble
from mfgen.lab.custom import Imports, components
from mfgen.lab.store import RunFolder
from mfgen.lab.trainers import check, train
from mfgen.trainers.history import History

_LIBRARIES = ("mfgen", "jax", "jaxlib", "equinox", "diffrax", "optax", "numpy")


class Run(NamedTuple):
    """A finished run: its folder, its objects with the trained model, and its summary."""

    folder: RunFolder
    case: Case
    summary: dict[str, Any]


def run(
    experiment: spec.Experiment,
    out: str | Path,
    *,
    resume: bool = False,
    imports: Imports | None = None,
    watcher: Watcher | None = None,
) -> Run:
    """Runs an experiment into a folder.

    Arguments:
        experiment: the specification.
        out: a folder that is new or empty, or with `resume` holds the same run.
        resume: continue a run from its last checkpoint; start it if there is none.
        imports: loads components of the user's own; none are allowed if absent.
        watcher: told of records and stages.

    Raises:
        ValueError, TypeError: for a specification or data that cannot be run, or a folder that
            holds anything else; nothing in it is touched then.
        CheckpointError: for checkpoints of another run, or damaged ones.
        NonFiniteError: if the training meets a value that is not finite.
    """
    imports, watcher = imports or Imports(), watcher or Watcher()
    watcher.stage("data")
    case = assemble(experiment, imports)
    check(case)
    folder = RunFolder(out)
    with folder.claimed(case.experiment, resume=resume):
        _keep_origins(folder, case, imports)
        watcher.stage("training")
        trained, history = train(folder, case, imports, watcher)
        folder.reopen()
        return _judge(folder, trained, history, watcher)


def load(path: str | Path, imports: Imports | None = None) -> Run:
    """A finished run from its folder.

    Raises:
        ValueError: if there is none, or it is not finished or damaged.
    """
    folder = RunFolder(path)
    summary = folder.summary()
    folder.check(needed=("model.eqx", "game.eqx"))
    case = assemble(folder.experiment(), imports)
    case = case._replace(model=folder.read_leaves("model.eqx", case.model))
    if (folder.path / "game.eqx").is_file():
        case = case._replace(game=folder.read_leaves("game.eqx", case.game))
    return Run(folder, case, summary)


def sample(run: Run, n: int, *, seed: int) -> np.ndarray:
    """n samples of a run's model in original units, `[n, dim]`."""
    key = jax.random.fold_in(build.keys(run.case.experiment.seed)["evaluation"], seed)
    settings = run.case.experiment.evaluation
    drawn = evaluation.draw(run.case.game, run.case.model, settings, n, key=key)
    return run.case.samples.original(drawn)


def _judge(folder: RunFolder, case: Case, history: History, watcher: Watcher) -> Run:
    began = time.perf_counter()
    judged = evaluation.Case(
        case.experiment,
        case.samples,
        case.game,
        case.model,
        key=build.keys(case.experiment.seed)["evaluation"],
    )
    metrics: dict[str, dict[str, float]] = {}
    skipped: dict[str, str] = {}
    points: dict[str, np.ndarray] = {}
    for name in evaluation.wanted(case.experiment):
        watcher.stage(name)
        try:
            metrics[name] = evaluation.measure(name, judged)._asdict()
            values = evaluation.pointwise(name, judged)
        except evaluation.NotApplicable as reason:
            skipped[name] = str(reason)
            continue
        if values is not None:
            points[name] = values
    folder.write_arrays("points.npz", points)
    verdict = None
    if case.experiment.evaluation.metrics is None:
        watcher.stage("certificate")
        verdict = certified.keep(folder, case.game, case.model, _said(case), key=judged.key)
    if case.experiment.evaluation.figures:
        watcher.stage("figures")
        arrays.keep(folder, judged)
        figures.keep(folder)
    summary = {
        "spec": case.experiment.name,
        "data": case.experiment.data.name,
        "seed": case.experiment.seed,
        "steps": case.experiment.training.steps,
        "best_step": history.best_step,
        "weights": _weights(history),
        "wall_seconds": _seconds(history),
        "evaluation_seconds": time.perf_counter() - began,
        "ms_per_step": history.milliseconds_per_step,
        "parameters": _count(case.model),
        "descent": descent.told(folder),
        "metrics": metrics,
        "skipped": skipped,
        "certificate": verdict,
        "warnings": ranges.warnings(case.samples),
    }
    folder.finish(summary)
    return Run(folder, case, summary)


def _said(case: Case) -> str:
    experiment = case.experiment
    return f"{experiment.name}, trained {experiment.training.steps} steps."


def _weights(history: History) -> dict[str, Any] | None:
    """The weight that was chosen and all that were tried; `None` if it was given."""
    if not history.selection:
        return None
    chosen = next(candidate for candidate in history.selection if candidate.chosen)
    names = ("weight", "loss", "step", "seconds")
    return {
        "term": chosen.term,
        "chosen": chosen.weight,
        "candidates": [{n: getattr(c, n) for n in names} for c in history.selection],
    }


def _seconds(history: History) -> float:
    """The time of the training; of all of them where a weight was chosen from several."""
    if history.selection:
        return sum(candidate.seconds for candidate in history.selection)
    return history.records[-1].seconds if history.records else 0.0


def _keep_origins(folder: RunFolder, case: Case, imports: Imports) -> None:
    """Writes what the run was made with, and copies of the user's own components."""
    if not (folder.path / "versions.json").is_file():
        versions = {name: _version(name) for name in _LIBRARIES}
        folder.write_json(
            "versions.json",
            {
                "python": platform.python_version(),
                "platform": platform.platform(),
                "device": jax.devices()[0].device_kind,
                **versions,
                "data": case.samples.digest,
            },
        )
    for component in components(case.experiment):
        file = imports.file(component)
        inside = Path(*component.path.split(":")[0].split(".")).with_suffix(".py")
        if not (folder.custom / inside).is_file():
            folder.write_bytes(str(Path("custom") / inside), file.read_bytes())


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _count(model: eqx.Module) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array)))
