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

from mfgen import _check
from mfgen._types import Batch, Key
from mfgen.costs._cost import Kinetic
from mfgen.densities._base import AbstractDensity, AbstractEvaluable
from mfgen.densities._empirical import Empirical
from mfgen.dynamics._dynamics import Integrator, positive
from mfgen.games._game import MFG
from mfgen.math._count import count
from mfgen.models._base import AbstractModel, AbstractPotential
from mfgen.models._blocks import Blocks, blocks
from mfgen.solvers._particle import Energy, mean_energy
from mfgen.trainers._gradient import Gradient
from mfgen.trainers._history import Progress
from mfgen.trainers._run import run
from mfgen.trainers._state import Checkpoints
from mfgen.trainers._trainer import Problem
from mfgen.zoo._flows import flow_game


class Law(NamedTuple):
    """A law on the way: particles, their log-densities, and its divergence from the target."""

    points: Batch
    log_densities: Float[Array, "n"]
    divergence: Energy


class Chain(NamedTuple):
    """A gradient flow by trained steps.

    Attributes:
        game: of one step; its data are those of the first.
        step: h.
        models: of each step: its potential, on [0, 1], or its transport.
        points: particles after each step, the first ones included, `[steps + 1, n, dim]`.
        log_densities: at these particles, `[steps + 1, n]`, less those at the first ones where the
            law they are drawn of is known by samples alone.
        divergences: KL(rho_k || pi) up to the constant of pi, and of rho_0 if it is known by
            samples alone, `[steps + 1]`.
        standard_errors: of the divergences, from the spread over the particles.
    """

    game: MFG
    step: float
    models: tuple[Any, ...]
    points: Float[Array, "laws n dim"]
    log_densities: Float[Array, "laws n"]
    divergences: Float[Array, "laws"]
    standard_errors: Float[Array, "laws"]

    def flow(self) -> tuple[MFG, Blocks]:
        """All steps as one flow from rho_0 to pi, of unit kinetic cost, and its potential."""
        _check.of_kind("Chain", "a step", self.models[0], AbstractPotential, "take `jko_chain`")
        assert isinstance(self.game.terminal.goal, AbstractEvaluable)
        count = len(self.models)
        game = jko_game(self.game.initial, self.step, count, self.game.terminal.goal)
        return game, blocks(self.models, self.step)


def jko_game(
    start: AbstractDensity | None,
    step: float,
    steps: int,
    target: AbstractEvaluable | None = None,
) -> MFG:
    """The game that steps of KL(. || target) solve one after the other, on [0, steps * step].

    Arguments:
        start: rho_0.
        step: h.
        steps: how many there are.
        target: pi, N(0, I) if absent.
    """
    assert start is not None
    game = flow_game(start, Kinetic(), reference=target)
    return eqx.tree_at(lambda game: game.dynamics, game, Integrator(horizon=step * steps))


class Settings(NamedTuple):
    """Settings of a chain, as in `jko_chain`, which explains them."""

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


def move(
    owner: str,
    target: AbstractEvaluable,
    start: AbstractDensity,
    block: Callable[[MFG, AbstractModel | None, Batch, Key], tuple[Gradient, Key]],
    carried: Callable[[MFG, Any, Batch], tuple[Batch, Float[Array, "n"]]],
    settings: Settings,
    *,
    key: Key,
) -> Chain:
    """Trains all steps, each from the particles of the one before.

    Arguments:
        owner: the public name that errors speak of.
        target: pi.
        start: rho_0.
        block: (game, model of the step before or `None`, particles, key) -> the training of a step,
            and the key of its run.
        carried: (game, model, particles) -> where the step ends, and log |det| of the way.
        settings: sizes, key, callbacks and checkpoints.
        key: of the first particles.
    """
    positive(owner, "step", settings.step)
    for name in ("steps", "particles", "iterations"):
        count(owner, name, getattr(settings, name))
    models: list[Any] = []
    laws = [_first_law(target, start, settings.particles, key)]
    first, cost = Empirical(laws[0].points), Kinetic(1 / settings.step)
    game = flow_game(first, cost, reference=target)
    model, saved = None, settings.checkpoints
    for index in range(settings.steps):
        points, key = laws[-1].points, jax.random.fold_in(settings.key, index)
        at = eqx.tree_at(lambda game: game.initial, game, Empirical(points))
        own = None if saved is None else saved.branch(f"block-{index}")
        trainer, key = block(at, model, points, key)
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
        points, growth = carried(at, model, points)
        laws.append(_law(target, points, laws[-1].log_densities - growth))
        models.append(model)
        if settings.callback is not None:
            settings.callback(index + 1, float(laws[-1].divergence.value))
    points, densities, divergences = zip(*laws, strict=True)
    values, errors = (jnp.stack(part) for part in zip(*divergences, strict=True))
    last = (jnp.stack(points), jnp.stack(densities), values, errors)
    return Chain(game, settings.step, tuple(models), *last)


def _first_law(target: AbstractEvaluable, start: AbstractDensity, particles: int, key: Key) -> Law:
    """So many particles of a law with a log-density, or all there are of a sample."""
    if isinstance(start, AbstractEvaluable):
        points = start.sample(particles, key=key)
        return _law(target, points, jax.vmap(start.log_density)(points))
    points = start.particles()[0]
    return _law(target, points, jnp.zeros(points.shape[0], points.dtype))


@eqx.filter_jit
def _law(target: AbstractEvaluable, points: Batch, densities: Float[Array, "n"]) -> Law:
    return Law(points, densities, mean_energy(densities - jax.vmap(target.log_density)(points)))
