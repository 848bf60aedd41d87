"""What a game is trained by: most by `fit`, those of particles and of critics in their own way."""

from collections.abc import Callable
from typing import cast, get_args

from mfgen.lab import build, descent, dueling, spec_particles, stepping, training
from mfgen.lab.case import Case, Watcher
from mfgen.lab.custom import Imports
from mfgen.lab.store import RunFolder
from mfgen.models.base import AbstractModel
from mfgen.trainers import selection
from mfgen.trainers.coverage import check_coverage
from mfgen.trainers.history import History
from mfgen.zoo.gradient_flow import dissipation


def train(
    folder: RunFolder, case: Case, imports: Imports, watcher: Watcher
) -> tuple[Case, History]:
    """Trains a case, or continues to; it is kept in the folder and returned with what it learnt."""
    trainer = _TRAINERS.get(type(case.experiment.game), _fitted)
    return trainer(folder, case, imports, watcher)


def check(case: Case) -> None:
    """Refuses an objective that is not the game's own.

    Raises:
        ValueError, TypeError: naming the part that it leaves out, pays twice or contradicts.
    """
    if _TRAINERS.get(type(case.experiment.game), _fitted) not in (_fitted, _discounted):
        case.objective.check(case.game)
        return
    select = build.selection(case.experiment.objective, case.objective)
    choice = selection.choice(case.objective, select)
    for objective in selection.candidates(case.objective, choice):
        check_coverage(case.game, objective, case.samples.train.shape[1])


def _discounted(
    folder: RunFolder, case: Case, imports: Imports, watcher: Watcher
) -> tuple[Case, History]:
    """As others, and what its density goes down along the paths is kept."""
    trained, history = _fitted(folder, case, imports, watcher)
    found = dissipation(
        trained.game,
        cast(AbstractModel, trained.model),
        key=build.keys(case.experiment.seed)["evaluation"],
    )
    descent.keep(folder, found, "KL(rho || pi)")
    return trained, history


def _fitted(
    folder: RunFolder, case: Case, imports: Imports, watcher: Watcher
) -> tuple[Case, History]:
    model, history = training.train(folder, case, imports, watcher)
    return case._replace(model=model), history


_TRAINERS: dict[type, Callable[..., tuple[Case, History]]] = {
    **dict.fromkeys(get_args(spec_particles.Flow), descent.move),
    spec_particles.Proximal: dueling.duel,
    spec_particles.Movement: stepping.move,
    spec_particles.Discounted: _discounted,
}
