"""Minimising movements: trainings one after the other, their laws as particles.


    log rho_(k+1)(T_k x) = log rho_k(x) - log |det DT_k(x)|,      F_k = E[ log rho_k - log pi ]

T_k the map of step k, which is trained on the particles of the law before: a chain of trainings,
each a run of `Gradient` with checkpoints of its own, so that a chain that was stopped goes on where
it was. Log-densities are carried along with the particles. A first law that is known by samples
alone counts as log rho_0 = 0: the divergences are then those up to its entropy.

Reference: R. Jordan, D. Kinderlehrer, F. Otto (1998), SIAM J. Math. Anal. 29.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen._types import Batch, Key
from mfgen.densities._base import AbstractDensity, AbstractEvaluable
from mfgen.densities._empirical import Empirical
from mfgen.dynamics._dynamics import positive
from mfgen.games._game import MFG
from mfgen.math._count import count
from mfgen.models._base import AbstractModel
from mfgen.solvers._particle import Energy, mean_energy
from mfgen.trainers._gradient import Gradient
from mfgen.trainers._history import Progress
from mfgen.trainers._state import Checkpoints
from mfgen.trainers._trainer import Problem, run


class Law(NamedTuple):
    """A law on the way: particles, their log-densities, and its divergence from the target."""

    points: Batch
    log_densities: Float[Array, "n"]
    divergence: Energy


class Laws(NamedTuple):
    """All laws: points `[laws, n, dim]`, log-densities `[laws, n]`, divergences and errors."""

    points: Float[Array, "laws n dim"]
    log_densities: Float[Array, "laws n"]
    divergences: Float[Array, "laws"]
    standard_errors: Float[Array, "laws"]


class Settings(NamedTuple):
    """How a chain is run; as in `jko_chain`, which explains them."""

    step: float
    steps: int
    particles: int
    iterations: int
    key: Key
    callback: Callable[[int, float], Any] | None = None
    record: Callable[[int, Progress], Any] | None = None
    every: int | None = None
    checkpoints: Checkpoints | None = None
    resume: bool = False

    def check(self, owner: str) -> None:
        """Refuses sizes below one and a step that is not positive."""
        positive(owner, "step", self.step)
        for name in ("steps", "particles", "iterations"):
            count(owner, name, getattr(self, name))


def move(
    game: MFG,
    target: AbstractEvaluable,
    law: Law,
    block: Callable[[AbstractModel | None, Batch, Key], tuple[Gradient, Key]],
    carried: Callable[[MFG, Any, Batch], tuple[Batch, Float[Array, "n"]]],
    settings: Settings,
) -> tuple[tuple[Any, ...], Laws]:
    """Trains all steps, each from the particles of the one before.

    Arguments:
        game: of a step; its initial density is replaced by the particles.
        target: pi.
        law: the first one.
        block: (model of the step before or `None`, particles, key) -> the training of a step,
            and the key of its run.
        carried: (game, model, particles) -> where the step ends, and log |det| of the way.
        settings: sizes, key, callbacks and checkpoints.

    Returns:
        The models of the steps, and all laws.
    """
    models: list[Any] = []
    laws, model, saved = [law], None, settings.checkpoints
    for index in range(settings.steps):
        points, key = laws[-1].points, jax.random.fold_in(settings.key, index)
        at = eqx.tree_at(lambda game: game.initial, game, Empirical(points))
        own = None if saved is None else saved.branch(f"block-{index}")
        trainer, key = block(model, points, key)
        model = run(
            trainer,
            Problem(at, points),
            steps=settings.iterations,
            key=key,
            every=settings.every or settings.iterations,
            callback=settings.record and functools.partial(settings.record, index),
            checkpoints=own,
            resume=settings.resume,
        ).solution
        laws.append(_next_law(target, laws[-1], *carried(at, model, points)))
        models.append(model)
        if settings.callback is not None:
            settings.callback(index + 1, float(laws[-1].divergence.value))
    return tuple(models), _all_laws(laws)


def first_law(
    target: AbstractEvaluable, start: AbstractDensity, particles: int, *, key: Key
) -> Law:
    """So many particles of a law with a log-density, or all there are of a sample."""
    if isinstance(start, AbstractEvaluable):
        points = start.sample(particles, key=key)
        return _law(target, points, jax.vmap(start.log_density)(points))
    points = start.particles()[0]
    return _law(target, points, jnp.zeros(points.shape[0], points.dtype))


def _next_law(target: AbstractEvaluable, law: Law, points: Batch, growth: Float[Array, "n"]) -> Law:
    """The law after a step to `points` with the log-determinants `growth`."""
    return _law(target, points, law.log_densities - growth)


def _all_laws(laws: list[Law]) -> Laws:
    """The laws of all steps in one."""
    points, densities, divergences = zip(*laws, strict=True)
    values, errors = (jnp.stack(part) for part in zip(*divergences, strict=True))
    return Laws(jnp.stack(points), jnp.stack(densities), values, errors)


@eqx.filter_jit
def _law(target: AbstractEvaluable, points: Batch, densities: Float[Array, "n"]) -> Law:
    return Law(points, densities, mean_energy(densities - jax.vmap(target.log_density)(points)))
