"""Particle flows as runs: a cloud is moved, and what it went down is kept.

    descent.npz     times, energies and their standard errors, the largest rise, the functional
    model.eqx       the particles at last

A run that was stopped on its way goes on from its last checkpoint when it is resumed; one whose
particles have arrived is judged again.
"""

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from mfgen.density.base import AbstractDensity
from mfgen.lab import build, spec_particles
from mfgen.lab.case import Case, Watcher
from mfgen.lab.cloud import Cloud
from mfgen.lab.custom import Imports
from mfgen.lab.store import RunFolder
from mfgen.lab.training import checkpoints_of
from mfgen.solvers.divergence_flow import BlobFlow, LangevinFlow, SteinFlow
from mfgen.solvers.generative_particles import CriticFlow, critic_flow
from mfgen.solvers.mmd_flow import MMDFlow
from mfgen.solvers.particle import AbstractParticleFlow, Descent, Particles, descended
from mfgen.trainers.history import History, Progress
from mfgen.trainers.trainer import Problem, run

_KEPT = "descent.npz"
_CHEAP = 20_000  # training samples that the critic's value is averaged over at each record


def move(folder: RunFolder, case: Case, imports: Imports, watcher: Watcher) -> tuple[Case, History]:
    """Moves the particles of a case; where they arrive is kept in the folder and returned.

    Raises:
        FloatingPointError: if particles or what they go down are not finite any more, with the
            steps taken; the records up to there are kept.
    """
    if folder.arrays(_KEPT) and folder.model.is_file():
        arrived = folder.read_leaves("model.eqx", case.model)
        return case._replace(model=arrived), remembered(folder)
    flow, functional = _FLOWS[type(case.experiment.game)]
    part, settings = cast(Any, case.experiment.game), case.experiment.training
    checkpoints = checkpoints_of(folder, case, imports)
    if checkpoints.latest is not None:
        folder.rewind(checkpoints.latest, checkpoints.history().records)
    heard = recorder(folder, case, watcher)
    try:
        found = run(
            Particles(flow(part, case), cast(Cloud, case.model).points, part.step),
            Problem(),
            steps=settings.steps,
            key=build.keys(case.experiment.seed)["training"],
            every=settings.every,
            callback=lambda progress: heard(progress.step, progress.terms),
            checkpoints=checkpoints,
            resume=True,
        )
    finally:
        checkpoints.close()
    keep(folder, descended(found.solution, found.history, part.step), functional)
    cloud = Cloud(found.solution)
    folder.write_leaves("model.eqx", cloud)
    return case._replace(model=cloud), remembered(folder)


def keep(folder: RunFolder, found: Descent, functional: str) -> None:
    """Writes what was gone down, for figures and the summary."""
    arrays = {name: getattr(found, name) for name in ("times", "energies", "standard_errors")}
    told = {"rise": np.asarray(found.rise), "functional": np.array(functional)}
    folder.write_arrays(_KEPT, arrays | told)


def recorder(
    folder: RunFolder, case: Case, watcher: Watcher
) -> Callable[[int, dict[str, float]], None]:
    """Writes the terms after so many steps as a record of the run, and tells the watcher.

    The first one takes the place of those that were written after the last checkpoint.
    """
    began = last = time.perf_counter()
    heard: list[int] = []
    before, steps = 0, case.experiment.training.steps

    def record(done: int, terms: dict[str, float]) -> None:
        nonlocal last, before
        now = time.perf_counter()
        rate = 1e3 * (now - last) / (done - before)
        progress = Progress(done, steps, terms, None, now - began, rate)
        last, before = now, done
        if not heard:
            folder.rewind(done - 1)
        heard.append(done)
        folder.append(asdict(progress))
        watcher.record(progress)

    return record


def remembered(folder: RunFolder) -> History:
    """The history of a run that has no checkpoints, from its records."""
    return History([Progress(**record) for record in folder.records()])


def told(folder: RunFolder) -> dict[str, Any] | None:
    """What the particles of a run went down, for its summary; `None` if it has none."""
    kept = folder.arrays(_KEPT)
    if not kept:
        return None
    return {
        "functional": str(kept["functional"]),
        "first": float(kept["energies"][0]),
        "last": float(kept["energies"][-1]),
        "standard_error": float(kept["standard_errors"][-1]),
        "rise": float(kept["rise"]),
        "time": float(kept["times"][-1]),
    }


def _after_a_critic(part: spec_particles.GenerativeParticles, case: Case) -> CriticFlow:
    return critic_flow(
        case.samples.train[:_CHEAP],
        key=jax.random.fold_in(build.keys(case.experiment.seed)["training"], 1),
        critic_steps=part.critic.steps,
        first_steps=part.first,
        lipschitz=part.lipschitz,
        critic={"width": part.critic.width, "depth": part.critic.depth},
        learning_rate=part.critic.rate,
        batch_size=case.experiment.training.batch_size,
    )


def _goal(case: Case) -> AbstractDensity:
    goal = case.game.terminal.goal
    assert goal is not None
    return goal


def _langevin(part: spec_particles.Langevin, case: Case) -> AbstractParticleFlow:
    return LangevinFlow(_goal(case), part.width)


def _blob(part: spec_particles.Blob, case: Case) -> AbstractParticleFlow:
    return BlobFlow(_goal(case), part.width)


def _stein(part: spec_particles.Stein, case: Case) -> AbstractParticleFlow:
    return SteinFlow(_goal(case), part.width, part.smoothing)


def _discrepancy(part: spec_particles.Discrepancy, case: Case) -> AbstractParticleFlow:
    return MMDFlow(jnp.asarray(case.samples.train[: part.samples]), part.widths, part.noise)


_KL = "KL(rho || pi), smoothed"
_FLOWS: dict[type, tuple[Callable[[Any, Case], AbstractParticleFlow], str]] = {
    spec_particles.Langevin: (_langevin, _KL),
    spec_particles.Blob: (_blob, _KL),
    spec_particles.Stein: (_stein, _KL),
    spec_particles.Discrepancy: (_discrepancy, "MMD^2(rho, data) / 2"),
    spec_particles.GenerativeParticles: (_after_a_critic, "Lipschitz KL(rho || data)"),
}
