"""Flows against a critic as runs: both are trained in turn, and both are kept.

    model.eqx       the flow's potential
    game.eqx        the game with the critic that its terminal cost ends with

A resumed training begins at its last checkpoint, as that of any other model.
"""

from dataclasses import asdict
from typing import cast

import jax

from mfgen.lab import build, build_particles, spec_particles, training
from mfgen.lab.case import Case, Watcher
from mfgen.lab.custom import Imports
from mfgen.lab.descent import remembered
from mfgen.lab.store import RunFolder
from mfgen.models.base import AbstractModel
from mfgen.problem.lipschitz import LipschitzDivergence
from mfgen.trainers.alternating import Ascent
from mfgen.trainers.history import History, Progress
from mfgen.trainers.trainer import Problem, run
from mfgen.zoo.proximal import proximal_trainer


def duel(folder: RunFolder, case: Case, imports: Imports, watcher: Watcher) -> tuple[Case, History]:
    """Trains the flow of a case and its critic; both are kept in the folder and returned.

    Raises:
        CheckpointError: for checkpoints of another run, or damaged ones.
        NonFiniteError: if the training meets a value that is not finite.
    """
    if folder.model.is_file() and (folder.path / "game.eqx").is_file():
        model = folder.read_leaves("model.eqx", case.model)
        game = folder.read_leaves("game.eqx", case.game)
        return case._replace(model=model, game=game), remembered(folder)
    checkpoints = training.checkpoints_of(folder, case, imports)
    folder.rewind(checkpoints.latest or 0, checkpoints.history().records)
    part, settings = cast(spec_particles.Proximal, case.experiment.game), case.experiment.training
    keys, target = build.keys(case.experiment.seed), case.game.terminal.goal
    assert target is not None
    critic = build_particles.critic(part, target, key=jax.random.fold_in(keys["model"], 1))
    dual = LipschitzDivergence(critic, target)
    problem = Problem(build_particles.proximal_game(part, target.dim)(dual))
    trainer = proximal_trainer(
        cast(AbstractModel, case.model),
        case.objective,
        Ascent(part.critic.steps, part.critic.rate, batch_size=settings.batch_size),
        (cast(float, settings.learning_rate), settings.steps),
    )

    def record(progress: Progress) -> None:
        folder.append(asdict(progress))
        watcher.record(progress)

    try:
        found = run(
            trainer,
            problem,
            steps=settings.steps,
            key=keys["training"],
            every=settings.every,
            callback=record,
            checkpoints=checkpoints,
            resume=True,
        )
    finally:
        checkpoints.close()
    trained = case._replace(model=found.solution, game=trainer.game(problem, found.state))
    folder.write_leaves("game.eqx", trained.game)
    folder.write_leaves("model.eqx", trained.model)
    return trained, found.history
