"""What an experiment consists of before it is trained, and what is told while it runs."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from mfgen.density.empirical import Empirical
from mfgen.lab import build, build_particles, recipes, spec, spec_particles
from mfgen.lab.cloud import Cloud
from mfgen.lab.custom import Imports
from mfgen.lab.samples import Samples, prepare
from mfgen.models.base import AbstractModel
from mfgen.problem.game import MFG
from mfgen.trainers import selection
from mfgen.trainers.history import Progress
from mfgen.trainers.objective import Combination

# Games that know the data by the training samples, though their law may be known.
_BY_SAMPLES = spec_particles.BySamples | spec_particles.Proximal | spec_particles.Movement


class Watcher(NamedTuple):
    """What is told of a run while it goes: each record, and each stage as it begins."""

    record: Callable[[Progress], None] = lambda progress: None
    stage: Callable[[str], None] = lambda name: None


class Case(NamedTuple):
    """The objects of an experiment, before training; particles are a `Cloud`."""

    experiment: spec.Experiment
    samples: Samples
    game: MFG
    model: AbstractModel | Cloud
    objective: Combination


def assemble(experiment: spec.Experiment, imports: Imports | None = None) -> Case:
    """The data, game, untrained model and objective of an experiment, settings filled in.

    Raises:
        ValueError, TypeError, OSError: one line, if anything in it cannot be made.
    """
    imports = imports or Imports()
    keys = build.keys(experiment.seed)
    samples = prepare(recipes.data(experiment), key=keys["data"])
    _check_held_out(experiment, samples)
    experiment = recipes.resolve(experiment, samples.train.shape[1])
    train = jnp.asarray(samples.train)
    target = Empirical(train) if isinstance(experiment.game, _BY_SAMPLES) else samples.target
    game = build.game(experiment.game, target, imports, samples.energy)
    model = build.model(experiment.model, game, train, imports, key=keys["model"])
    model = build_particles.in_time(experiment.game, model)
    objective = build.objective(experiment.objective, imports)
    select = build.selection(experiment.objective, objective)
    if select is not None:
        selection.choice(objective, select)  # refused now rather than when the folder is taken
    return Case(experiment, samples, game, model, objective)


def _check_held_out(experiment: spec.Experiment, samples: Samples) -> None:
    held_out = len(samples.validation)
    if spec.selecting(experiment.objective) and held_out < 2:
        raise ValueError(
            f"`objective` got `select` with {held_out} validation samples, expected at least 2 to "
            "choose a weight by: hold out more of the data, or give a `weight`."
        )
