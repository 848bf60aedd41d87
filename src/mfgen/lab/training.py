"""The training of a run: what `fit` is called with, and the records that it leaves in the folder.

Where a weight is chosen from several, the records of all trainings go to trials.jsonl as they come,
and those of the chosen one to metrics.jsonl at the end. A resumed training begins at its last
checkpoint: the records after it are dropped when the first new one comes.
"""

from dataclasses import asdict
from typing import cast

from mfgen.lab import build
from mfgen.lab.case import Case, Watcher
from mfgen.lab.custom import Imports, components
from mfgen.lab.store import RunFolder, fingerprint
from mfgen.models.base import AbstractModel
from mfgen.trainers.history import History, Progress, Trial
from mfgen.trainers.loop import fit
from mfgen.trainers.state import Checkpoints

_TRIALS = "trials.jsonl"


def train(
    folder: RunFolder, case: Case, imports: Imports, watcher: Watcher
) -> tuple[AbstractModel, History]:
    """Trains the model of a case, or continues to; it is kept in the folder and returned.

    Raises:
        CheckpointError: for checkpoints of another run, or damaged ones.
        NonFiniteError: if the training meets a value that is not finite.
    """
    settings = case.experiment.training
    checkpoints = checkpoints_of(folder, case, imports)
    select = build.selection(case.experiment.objective, case.objective)
    if select is None:
        folder.rewind(checkpoints.latest or 0, checkpoints.history().records)
    begun: set[Trial] = set()

    def record(progress: Progress) -> None:
        if progress.trial is None:
            folder.append(asdict(progress))
        else:
            _append(folder, progress, first=progress.trial not in begun)
            begun.add(progress.trial)
        watcher.record(progress)

    early = settings.early_stopping and case.samples.validation.shape[0] > 1
    try:
        trained, history = fit(
            case.game,
            cast(AbstractModel, case.model),
            case.objective,
            case.samples.train,
            steps=settings.steps,
            key=build.keys(case.experiment.seed)["training"],
            learning_rate=cast(float, settings.learning_rate),
            batch_size=settings.batch_size,
            average=settings.average,
            clip=settings.clip,
            validation=case.samples.validation if early else None,
            select=select,
            callback=record,
            every=settings.every,
            checkpoints=checkpoints,
            resume=True,
        )
    finally:
        checkpoints.close()
    if select is not None:
        folder.write_records([asdict(record) for record in history.records])
    folder.write_leaves("model.eqx", trained)
    return trained, history


def checkpoints_of(folder: RunFolder, case: Case, imports: Imports) -> Checkpoints:
    """The checkpoints of a run, known by its experiment, data and components."""
    return Checkpoints(
        folder.checkpoints,
        every=case.experiment.training.checkpoint_every,
        fingerprint=fingerprint(case.experiment, *_dependencies(case, imports)),
    )


def _append(folder: RunFolder, progress: Progress, *, first: bool) -> None:
    record = asdict(progress)
    if first:
        kept = [
            earlier
            for earlier in folder.records(_TRIALS)
            if earlier["trial"] != record["trial"] or earlier["step"] < progress.step
        ]
        folder.write_records(kept, _TRIALS)
    folder.append(record, _TRIALS)


def _dependencies(case: Case, imports: Imports) -> list[bytes]:
    files = [imports.file(component) for component in components(case.experiment)]
    return [case.samples.digest.encode(), *[file.read_bytes() for file in files]]
