"""Runs an experiment into a folder: data, training, evaluation, figures.

    prepare data -> claim the folder -> train with checkpoints -> judge -> draw -> summary.json

Everything random follows from the specification and its seed, so a run that was killed and
continued from its last checkpoint ends with the same parameters, bit for bit, as one that was not.
A finished run that is resumed is only judged again.
"""

import io
import platform
import time
from collections.abc import Callable
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mfgen.lab import arrays, build, evaluation, figures, recipes, spec
from mfgen.lab.custom import Imports, components
from mfgen.lab.samples import Samples, prepare
from mfgen.lab.store import RunFolder, fingerprint
from mfgen.models.base import AbstractModel
from mfgen.problem.game import MFG
from mfgen.train.history import History, Progress
from mfgen.train.loop import fit
from mfgen.train.objective import Combination
from mfgen.train.state import Checkpoints

_LIBRARIES = ("mfgen", "jax", "jaxlib", "equinox", "diffrax", "optax", "numpy", "orbax-checkpoint")


class Watcher(NamedTuple):
    """What is told of a run while it goes: each record, and each stage as it begins."""

    record: Callable[[Progress], None] = lambda progress: None
    stage: Callable[[str], None] = lambda name: None


class Case(NamedTuple):
    """The objects of an experiment, before training."""

    experiment: spec.Experiment
    samples: Samples
    game: MFG
    model: AbstractModel
    objective: Combination


class Run(NamedTuple):
    """A finished run: its folder, its objects with the trained model, and its summary."""

    folder: RunFolder
    case: Case
    summary: dict[str, Any]


def assemble(experiment: spec.Experiment, imports: Imports | None = None) -> Case:
    """The data, game, untrained model and objective of an experiment, settings filled in.

    Raises:
        ValueError, TypeError, OSError: one line, if anything in it cannot be made.
    """
    imports = imports or Imports()
    keys = build.keys(experiment.seed)
    samples = prepare(experiment.data, key=keys["data"])
    experiment = recipes.resolve(experiment, samples.train.shape[1])
    game = build.game(experiment.game, samples.target, imports)
    train = jnp.asarray(samples.train)
    model = build.model(experiment.model, game, train, imports, key=keys["model"])
    return Case(experiment, samples, game, model, build.objective(experiment.objective, imports))


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
    folder = RunFolder(out)
    folder.claim(case.experiment, resume=resume)
    _keep_origins(folder, case, imports)
    watcher.stage("training")
    trained, history = _train(folder, case, imports, watcher)
    return _judge(folder, case._replace(model=trained), history, watcher)


def load(path: str | Path, imports: Imports | None = None) -> Run:
    """A finished run from its folder.

    Raises:
        ValueError: if there is none, or it is not finished or damaged.
    """
    folder = RunFolder(path)
    summary = folder.summary()
    case = assemble(folder.experiment(), imports)
    try:
        model = eqx.tree_deserialise_leaves(folder.model, case.model)
    except Exception as error:  # a damaged file shows itself in many ways
        raise ValueError(
            f"`{folder.model}` cannot be read ({error}), expected the model of this run: run the "
            "experiment again with --resume."
        ) from error
    return Run(folder, case._replace(model=model), summary)


def sample(run: Run, n: int, *, seed: int) -> np.ndarray:
    """n samples of a run's model in original units, `[n, dim]`."""
    key = jax.random.fold_in(build.keys(run.case.experiment.seed)["evaluation"], seed)
    settings = run.case.experiment.evaluation
    drawn = evaluation.draw(run.case.game, run.case.model, settings, n, key=key)
    return run.case.samples.original(drawn)


def _train(folder: RunFolder, case: Case, imports: Imports, watcher: Watcher):
    settings = case.experiment.training
    checkpoints = Checkpoints(
        folder.checkpoints,
        every=settings.checkpoint_every,
        fingerprint=fingerprint(case.experiment, *_dependencies(case, imports)),
    )
    folder.rewind(checkpoints.latest or 0)

    def record(progress: Progress) -> None:
        folder.append(asdict(progress))
        watcher.record(progress)

    early = settings.early_stopping and case.samples.validation.shape[0] > 1
    try:
        trained, history = fit(
            case.game,
            case.model,
            case.objective,
            case.samples.train,
            steps=settings.steps,
            key=build.keys(case.experiment.seed)["training"],
            learning_rate=cast(float, settings.learning_rate),
            batch_size=settings.batch_size,
            average=settings.average,
            clip=settings.clip,
            validation=case.samples.validation if early else None,
            callback=record,
            every=settings.every,
            checkpoints=checkpoints,
            resume=True,
        )
    finally:
        checkpoints.close()
    buffer = io.BytesIO()
    eqx.tree_serialise_leaves(buffer, trained)
    folder.write_bytes("model.eqx", buffer.getvalue())
    return trained, history


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
    if case.experiment.evaluation.figures:
        watcher.stage("figures")
        arrays.keep(folder, judged)
        figures.keep(folder)
    records = history.records
    summary = {
        "spec": case.experiment.name,
        "data": case.experiment.data.name,
        "seed": case.experiment.seed,
        "steps": case.experiment.training.steps,
        "best_step": history.best_step,
        "wall_seconds": records[-1].seconds if records else 0.0,
        "evaluation_seconds": time.perf_counter() - began,
        "ms_per_step": history.milliseconds_per_step,
        "parameters": _count(case.model),
        "metrics": metrics,
        "skipped": skipped,
    }
    folder.write_json("summary.json", summary)
    return Run(folder, case, summary)


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


def _dependencies(case: Case, imports: Imports) -> list[bytes]:
    files = [imports.file(component) for component in components(case.experiment)]
    return [case.samples.digest.encode(), *[file.read_bytes() for file in files]]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _count(model: AbstractModel) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array)))
