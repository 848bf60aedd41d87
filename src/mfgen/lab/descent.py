"""Particle flows as runs: a cloud is moved, and what it went down is kept.

    descent.npz     times, energies and their standard errors, the largest rise, the functional
    model.eqx       the particles at last

There are no checkpoints: a run that was stopped on its way starts anew when it is resumed; one
whose particles have arrived is judged again.
"""

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, NamedTuple, cast

import jax.numpy as jnp
import numpy as np

from mfgen._types import Batch, Key
from mfgen.density.base import AbstractDensity
from mfgen.lab import build, spec_particles
from mfgen.lab.case import Case, Watcher
from mfgen.lab.cloud import Cloud
from mfgen.lab.custom import Imports
from mfgen.lab.store import RunFolder
from mfgen.solvers.divergence_flow import BlobFlow, LangevinFlow, SteinFlow
from mfgen.solvers.generative_particles import generative_particles
from mfgen.solvers.mmd_flow import MMDFlow
from mfgen.solvers.particle import AbstractParticleFlow, Descent, Energy, descend
from mfgen.train.history import History, Progress

_KEPT = "descent.npz"
_CHEAP = 20_000  # training samples that the critic's value is averaged over at each record

Heard = Callable[[int, Energy], None]


def move(folder: RunFolder, case: Case, imports: Imports, watcher: Watcher) -> tuple[Case, History]:
    """Moves the particles of a case; where they arrive is kept in the folder and returned.

    Raises:
        FloatingPointError: if particles or what they go down are not finite any more, with the
            steps taken; the records up to there are kept.
    """
    del imports
    if folder.arrays(_KEPT) and folder.model.is_file():
        arrived = folder.read_leaves("model.eqx", case.model)
        return case._replace(model=arrived), remembered(folder)
    folder.rewind(0)
    way = _WAYS[type(case.experiment.game)]
    heard = recorder(folder, case, watcher)
    found = way.moved(
        case,
        cast(Cloud, case.model).points,
        build.keys(case.experiment.seed)["training"],
        lambda done, energy: heard(done, {"Energy": float(energy.value)}),
    )
    keep(folder, found, way.functional)
    cloud = Cloud(found.points)
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
    """Writes the terms after so many steps as a record of the run, and tells the watcher."""
    began = last = time.perf_counter()
    before, steps = 0, case.experiment.training.steps

    def record(done: int, terms: dict[str, float]) -> None:
        nonlocal last, before
        now = time.perf_counter()
        rate = 1e3 * (now - last) / (done - before)
        progress = Progress(done, steps, terms, None, now - began, rate)
        last, before = now, done
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


class _Way(NamedTuple):
    """How particles are moved, and what they go down, in words."""

    moved: Callable[[Case, Batch, Key, Heard], Descent]
    functional: str


def _down(make: Callable[[Any, Case], AbstractParticleFlow]) -> Callable[..., Descent]:
    def moved(case: Case, start: Batch, key: Key, heard: Heard) -> Descent:
        part, settings = cast(spec_particles.Flow, case.experiment.game), case.experiment.training
        return descend(
            make(part, case),
            start,
            steps=settings.steps,
            step=part.step,
            key=key,
            every=settings.every,
            callback=heard,
        )

    return moved


def _after_a_critic(case: Case, start: Batch, key: Key, heard: Heard) -> Descent:
    part = cast(spec_particles.GenerativeParticles, case.experiment.game)
    settings = case.experiment.training
    return generative_particles(
        case.samples.train[:_CHEAP],
        start,
        steps=settings.steps,
        step=part.step,
        key=key,
        critic_steps=part.critic.steps,
        first_steps=part.first,
        lipschitz=part.lipschitz,
        critic={"width": part.critic.width, "depth": part.critic.depth},
        learning_rate=part.critic.rate,
        batch_size=settings.batch_size,
        every=settings.every,
        callback=heard,
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
_WAYS: dict[type, _Way] = {
    spec_particles.Langevin: _Way(_down(_langevin), _KL),
    spec_particles.Blob: _Way(_down(_blob), _KL),
    spec_particles.Stein: _Way(_down(_stein), _KL),
    spec_particles.Discrepancy: _Way(_down(_discrepancy), "MMD^2(rho, data) / 2"),
    spec_particles.GenerativeParticles: _Way(_after_a_critic, "Lipschitz KL(rho || data)"),
}
