"""Minimising movements as runs: the steps of JKO, each trained after the one before.

    model.eqx       the potentials of all steps, as one in time
    descent.npz     the divergence from N(0, I) after each step, up to the entropy of the data

The steps of the training are shared out evenly. There are no checkpoints: a run that was stopped on
its way starts anew when it is resumed.
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
from mfgen.solvers.particle import Descent
from mfgen.train.history import History, Progress
from mfgen.zoo.jko import jko_chain

_FUNCTIONAL = "KL(rho || N(0, I)) - E log rho_0"


def move(folder: RunFolder, case: Case, imports: Imports, watcher: Watcher) -> tuple[Case, History]:
    """Trains the steps of a case; they are kept in the folder and returned as one potential.

    Raises:
        NonFiniteError: if a training meets a value that is not finite.
    """
    del imports
    if folder.model.is_file():
        return case._replace(model=folder.read_leaves("model.eqx", case.model)), remembered(folder)
    folder.rewind(0)
    experiment = case.experiment
    part, settings = cast(spec_particles.Movement, experiment.game), experiment.training
    network = cast(spec.OTFlowModel, experiment.model)
    each = settings.steps // part.blocks
    heard = recorder(folder, case, watcher)

    def record(block: int, progress: Progress) -> None:
        heard(block * each + progress.step, progress.terms)

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
    )
    energies, errors = np.asarray(chain.divergences), np.asarray(chain.standard_errors)
    times = part.step * np.arange(part.blocks + 1)
    keep(folder, Descent(chain.points[-1], times, energies, errors, 0.0), _FUNCTIONAL)
    _, potential = chain.flow()
    folder.write_leaves("model.eqx", potential)
    return case._replace(model=potential), remembered(folder)
