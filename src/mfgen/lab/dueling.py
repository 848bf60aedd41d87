"""Flows against a critic as runs: both are trained in turn, and both are kept.

    model.eqx       the flow's potential
    game.eqx        the game with the critic that its terminal cost ends with

There are no checkpoints: a run that was stopped on its way starts anew when it is resumed.
"""

from typing import cast

import jax

from mfgen.lab import build, build_particles, spec_particles
from mfgen.lab.case import Case, Watcher
from mfgen.lab.custom import Imports
from mfgen.lab.descent import recorder, remembered
from mfgen.lab.store import RunFolder
from mfgen.models.base import AbstractModel
from mfgen.problem.lipschitz import LipschitzDivergence
from mfgen.train.duel import fit_duel
from mfgen.train.history import History


def duel(folder: RunFolder, case: Case, imports: Imports, watcher: Watcher) -> tuple[Case, History]:
    """Trains the flow of a case and its critic; both are kept in the folder and returned.

    Raises:
        NonFiniteError: if the training meets a value that is not finite.
    """
    del imports
    if folder.model.is_file() and (folder.path / "game.eqx").is_file():
        model = folder.read_leaves("model.eqx", case.model)
        game = folder.read_leaves("game.eqx", case.game)
        return case._replace(model=model, game=game), remembered(folder)
    folder.rewind(0)
    part, settings = cast(spec_particles.Proximal, case.experiment.game), case.experiment.training
    keys = build.keys(case.experiment.seed)
    target = case.game.terminal.goal
    assert target is not None
    critic = build_particles.critic(part, target, key=jax.random.fold_in(keys["model"], 1))
    game_of = build_particles.proximal_game(part, target.dim)
    found = fit_duel(
        game_of,
        LipschitzDivergence(critic, target),
        cast(AbstractModel, case.model),
        case.objective,
        steps=settings.steps,
        key=keys["training"],
        critic_steps=part.critic.steps,
        batch_size=settings.batch_size,
        learning_rate=cast(float, settings.learning_rate),
        critic_rate=part.critic.rate,
        every=settings.every,
        callback=recorder(folder, case, watcher),
    )
    trained = case._replace(model=found.model, game=game_of(found.dual))
    folder.write_leaves("game.eqx", trained.game)
    folder.write_leaves("model.eqx", trained.model)
    return trained, remembered(folder)
