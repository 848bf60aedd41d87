"""Runs an experiment into a folder: data, training, evaluation, figures.

    prepare data -> claim the folder -> train with checkpoints -> judge, certify -> draw -> summary

Everything that learns or moves goes through the one loop of `mfgen.trainers`. All that is random
follows from the document and its seed, so a run that was killed and continued from its last
checkpoint ends with the same parameters, bit for bit, as one that was not. A finished run that is
resumed is only judged again.

Where a weight is chosen from several, the records of all trainings go to trials.jsonl as they come,
and those of the chosen one to metrics.jsonl at the end. A resumed training begins at its last
checkpoint: the records after it are dropped when the first new one comes.
"""

import contextlib
import platform
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mfgen.lab import _arrays, _measures
from mfgen.lab import _context as contexts
from mfgen.lab._case import Case, Watcher, assemble, keys
from mfgen.lab._claims import claimed
from mfgen.lab._imports import Imports, inner
from mfgen.lab._judging import judge
from mfgen.lab._spec import FORMAT, Experiment
from mfgen.lab._store import RunFolder, fingerprint
from mfgen.simulate._base import at_points
from mfgen.solvers._particle import Particles
from mfgen.trainers import _selection
from mfgen.trainers._gradient import dimension
from mfgen.trainers._history import History, Progress, Trial
from mfgen.trainers._run import Run as Trained
from mfgen.trainers._run import run as train
from mfgen.trainers._state import Checkpoints

_LIBRARIES = ("mfgen", "jax", "jaxlib", "equinox", "diffrax", "optax", "numpy")
_TRIALS = "trials.jsonl"


class Run(NamedTuple):
    """A finished run: its folder, its objects with the trained model, and its summary."""

    folder: RunFolder
    case: Case
    summary: dict[str, Any]


def run(
    experiment: Experiment,
    out: str | Path,
    *,
    resume: bool = False,
    imports: Imports | None = None,
    watcher: Watcher | None = None,
) -> Run:
    """Runs an experiment into a folder.

    Arguments:
        experiment: the document.
        out: a folder that is new or empty, or with `resume` holds the same run.
        resume: continue a run from its last checkpoint; start it if there is none.
        imports: loads components of the user's own; none are allowed if absent.
        watcher: told of records and stages.

    Raises:
        ValueError, TypeError: for a document or data that cannot be run, or a folder that holds
            anything else; nothing in it is touched then.
        CheckpointError: for checkpoints of another run, or damaged ones.
        NonFiniteError: if the training meets a value that is not finite.
    """
    imports, watcher = imports or Imports(), watcher or Watcher()
    watcher.stage("data")
    case = assemble(experiment, imports)
    wanted = _measures.check(contexts.Context(case), imports)
    folder = RunFolder(out)
    with claimed(folder, case.experiment, resume=resume):
        _keep_origins(folder, case, imports)
        watcher.stage("training")
        trained, history = _trained(folder, case, imports, watcher)
        folder.reopen()
        return Run(folder, trained, judge(folder, trained, wanted, history, watcher))


def load(path: str | Path, imports: Imports | None = None) -> Run:
    """A finished run from its folder.

    Raises:
        ValueError: if there is none, or it is not finished or damaged.
    """
    folder = RunFolder(path)
    summary = folder.summary()
    folder.check(needed=("model.eqx", "game.eqx"))
    return Run(folder, _restored(folder, assemble(folder.experiment(), imports)), summary)


def sample(run: Run, n: int, *, seed: int) -> np.ndarray:
    """n samples of a run's model in original units, `[n, dim]`."""
    case = run.case
    key = jax.random.fold_in(keys(case.experiment.seed)["evaluation"], seed)
    drawn = contexts.draw(case, n, key=key)
    return case.samples.original(drawn)


def _trained(
    folder: RunFolder, case: Case, imports: Imports, watcher: Watcher
) -> tuple[Case, History]:
    """Trains a case, or continues to; what was trained is kept in the folder and returned."""
    settings = case.experiment.training
    files = [imports.file(path).read_bytes() for path in imports.loaded.values()]
    known = fingerprint(case.experiment, case.samples.digest.encode(), *files)
    checkpoints = Checkpoints(
        folder.checkpoints, every=settings.checkpoint_every, fingerprint=known
    )
    if case.choice is None and checkpoints.latest is not None:
        folder.rewind(checkpoints.latest, checkpoints.history().records)
    record = _recorder(folder, watcher)
    last: list[Trained] = []

    def once(objective: Any, callback: Any, saved: Checkpoints | None):
        found = train(
            case.trainer(objective),
            case.problem,
            steps=settings.steps,
            key=keys(case.experiment.seed)["training"],
            every=settings.every,
            callback=callback,
            checkpoints=saved,
            resume=True,
        )
        last[:] = [found]
        return found.solution, found.history

    guarded: Any = contextlib.nullcontext()
    if case.model is not None:
        guarded = at_points("fit", case.game, case.model, dimension(case.problem))
    with guarded:
        if case.choice is None or case.objective is None:
            model, history = once(case.objective, record, checkpoints)
        else:
            found = _selection.select(once, case.objective, case.choice, record, checkpoints)
            model, history = found
            folder.write_records([asdict(kept) for kept in history.records])
    game = last[0].trainer.game(case.problem, last[0].state) if last else case.game
    if game is not None and game is not case.game:
        folder.write_leaves("game.eqx", game)
        case = case._replace(game=game)
    _arrays.keep_descent(folder, case, model, last[0] if last else None)
    folder.write_leaves("model.eqx", model)
    return case._replace(model=model), history


def _restored(folder: RunFolder, case: Case) -> Case:
    """The case with what was trained, from its folder."""
    key, steps = jax.random.key(0), case.experiment.training.steps
    match case.trainer(case.objective):
        case Particles(start=start):  # how many, or where they start
            count = int(np.shape(start)[0] if np.ndim(start) else start)
            like: Any = jnp.zeros((count, case.samples.train.shape[1]))
        case trainer:
            trainer = trainer.prepared(case.problem, steps, key=key)
            state = eqx.filter_eval_shape(trainer.init, case.problem, key=key)
            like = eqx.filter_eval_shape(trainer.solution, case.problem, state)
    case = case._replace(model=folder.read_leaves("model.eqx", like))
    if (folder.path / "game.eqx").is_file():
        case = case._replace(game=folder.read_leaves("game.eqx", case.game))
    return case


def _recorder(folder: RunFolder, watcher: Watcher):
    """Writes each record; the first takes the place of those after the last checkpoint."""
    heard: set[Trial | None] = set()

    def record(progress: Progress) -> None:
        name = {} if progress.trial is None else {"name": _TRIALS}
        document = asdict(progress)
        if progress.trial not in heard:
            same = lambda earlier: earlier.get("trial") == document["trial"]
            before = folder.records(**name)
            kept = [r for r in before if not same(r) or r["step"] < progress.step]
            folder.write_records(kept, **name)
        heard.add(progress.trial)
        folder.append(document, **name)
        watcher.record(progress)

    return record


def _keep_origins(folder: RunFolder, case: Case, imports: Imports) -> None:
    """Writes what the run was made with, and copies of the user's own code."""
    if not (folder.path / "versions.json").is_file():
        origin = {
            "format": FORMAT,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "device": jax.devices()[0].device_kind,
            **{name: _version(name) for name in _LIBRARIES},
            "data": case.samples.digest,
        }
        folder.write_json("versions.json", origin)
    for file, path in imports.loaded.items():
        if not (folder.custom / inner(path)).is_file():
            folder.write_bytes(str(Path("custom") / inner(path)), file.read_bytes())


def _version(name: str) -> str | None:
    return next((found.version for found in metadata.distributions(name=name)), None)
