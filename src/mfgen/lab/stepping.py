"""Minimising movements as runs: the steps of JKO, each trained after the one before.

    model.eqx       the potentials of all steps, as one in time
    descent.npz     the divergence from N(0, I) after each step, up to the entropy of the data

The steps of the training are shared out evenly. Each has checkpoints of its own: a run that was
stopped goes on in the step where it was.
"""

from typing import cast

import jax.numpy as jnp
import numpy as np

from mfgen.density.base import AbstractEvaluable
from mfgen.density.empirical import Empirical
from mfgen.lab import build, spec, spec_particles
from mfgen.lab.case import Case, Watcher
from mfgen.lab.custom import Imports
from mfgen.lab.descent import keep, recorder, remembered
from mfgen.lab.store import RunFolder
from mfgen.lab.training import checkpoints_of
from mfgen.solvers.particle import Descent
from mfgen.trainers.history import History, Progress
from mfgen.zoo.jko import jko_chain

_FUNCTIONAL = "KL(rho || N(0, I)) - E log rho_0"


def move(folder: RunFolder, case: Case, imports: Imports, watcher: Watcher) -> tuple[Case, History]:
    """Trains the steps of a case; they are kept in the folder and returned as one potential.

    Raises:
        NonFiniteError: if a training meets a value that is not finite.
    """
    if folder.model.is_file():
        return case._replace(model=folder.read_leaves("model.eqx", case.model)), remembered(folder)
    experiment = case.experiment
    part, settings = cast(spec_particles.Movement, experiment.game), experiment.training
    network = cast(spec.OTFlowModel, experiment.model)
    each = settings.steps // part.blocks
    heard = recorder(folder, case, watcher)

    def record(block: int, progress: Progress) -> None:
        heard(block * each + progress.step, progress.terms)

    checkpoints = checkpoints_of(folder, case, imports)
    try:
        chain = jko_chain(
            cast(AbstractEvaluable, case.game.terminal.goal),
            Empirical(jnp.asarray(case.samples.train)),
            step=part.step,
            steps=part.blocks,
            iterations=each,
            key=build.keys(experiment.seed)["training"],
            learning_rate=cast(float, settings.learning_rate),
            batch_size=settings.batch_size,
            objective=case.objective,
            record=record,
            every=settings.every,
            width=network.width,
            depth=network.depth,
            checkpoints=checkpoints,
            resume=True,
        )
    finally:
        checkpoints.close()
    energies, errors = np.asarray(chain.divergences), np.asarray(chain.standard_errors)
    times = part.step * np.arange(part.blocks + 1)
    keep(folder, Descent(chain.points[-1], times, energies, errors, 0.0), _FUNCTIONAL)
    _, potential = chain.flow()
    folder.write_leaves("model.eqx", potential)
    return case._replace(model=potential), remembered(folder)
