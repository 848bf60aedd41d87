"""What a game is trained by: most by `fit`, those of particles and of critics in their own way."""

from collections.abc import Callable
from typing import get_args

from mfgen.lab import descent, dueling, spec_particles, training
from mfgen.lab.case import Case, Watcher
from mfgen.lab.custom import Imports
from mfgen.lab.store import RunFolder
from mfgen.train.history import History


def train(
    folder: RunFolder, case: Case, imports: Imports, watcher: Watcher
) -> tuple[Case, History]:
    """Trains a case, or continues to; it is kept in the folder and returned with what it learnt."""
    trainer = _TRAINERS.get(type(case.experiment.game), _fitted)
    return trainer(folder, case, imports, watcher)


def _fitted(
    folder: RunFolder, case: Case, imports: Imports, watcher: Watcher
) -> tuple[Case, History]:
    model, history = training.train(folder, case, imports, watcher)
    return case._replace(model=model), history


_TRAINERS: dict[type, Callable[..., tuple[Case, History]]] = {
    **dict.fromkeys(get_args(spec_particles.Flow), descent.move),
    spec_particles.Proximal: dueling.duel,
}
