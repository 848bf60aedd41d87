"""Stochastic gradient descent on an objective, as a trainer.

    theta <- theta - optimiser( grad J(theta; batch_k, key_k) ),   average <- EMA of theta
    J(theta) = sum_k weight_k objective_k(theta)

Batch and key of step k are functions of the run's key and k alone. A step whose loss or gradient is
not finite is not taken. With held-out samples the average that fits them best, of all records, is
the solution. Rate, clipping and decays are arrays of the program: runs that differ in them, in
data, parameters or key share it.

References: D. Kingma, J. Ba (2015), arXiv 1412.6980 (Adam); B. Polyak, A. Juditsky (1992)
(averaging); Y. Song et al. (2021), arXiv 2011.13456, appendix G (averages in score models);
L. Prechelt (1998), "Early stopping, but when?".
"""

import dataclasses
import math
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from mfgen._types import Batch, Count, Key, Scalar
from mfgen.dynamics._dynamics import positive
from mfgen.losses._coverage import check_coverage
from mfgen.losses._objective import AbstractObjective, Combination
from mfgen.math import _memory
from mfgen.math._count import count, plain
from mfgen.models._base import AbstractModel
from mfgen.simulate._ends import initial_density
from mfgen.trainers._failure import NonFiniteError
from mfgen.trainers._state import TrainState
from mfgen.trainers._trainer import AbstractTrainer, Measures, Problem, Terms
from mfgen.trainers._validation import Validation

_NUMBERS = ("learning_rate", "average", "clip")  # in which runs of one program may differ


class Gradient(AbstractTrainer):
    """Trains a model on an objective; `fit` is a run of it.

    Arguments:
        model, objective: what is trained on what.
        learning_rate: the peak of a cosine decay to zero, for the default optimiser (Adam).
        optimiser: any optax transformation; replaces the default one and its clipping.
        batch_size: samples in a step, drawn with replacement.
        average: decay of the running average of the parameters; 0 switches averaging off.
        clip: largest norm of the gradient, for the default optimiser.

    A run that goes on from the state of another keeps parameters, average and moments; the decay of
    the rate begins anew.

    Raises (on `run`):
        ValueError, TypeError: for data or an energy that cannot be trained on, settings out of
            range, or an objective that is not the game's.

    Example:

        run(Gradient(model, DenoisingScoreMatching()), Problem(game, data), steps=1000, key=key)
    """

    watched: ClassVar[tuple[str, ...]] = ("gradient",)
    by_run: ClassVar[tuple[str, ...]] = ("horizon", "judge")
    owner: ClassVar[str] = "fit"

    model: AbstractModel
    objective: AbstractObjective
    learning_rate: Scalar | float = 5e-3
    optimiser: optax.GradientTransformation | None = eqx.field(static=True, default=None)
    batch_size: Count = eqx.field(static=True, default=256, converter=plain)
    average: Scalar | float = 0.999
    clip: Scalar | float = 10.0
    # Of a run, by `prepared`: its length, and how its records are validated.
    horizon: Scalar | float = 1.0
    judge: Validation | None = None

    def prepared(self, problem: Problem, steps: int, *, key: Key) -> "Gradient":
        """The trainer for so many steps, without parameters, its numbers as arrays.

        Raises:
            ValueError, TypeError: as the class says.
        """
        game, weighted = problem.declared("fit"), 1.0 * self.objective
        self._check(problem)
        check_objective(problem, weighted)
        _, static = eqx.partition(self.model, eqx.is_inexact_array)
        judge = None
        if problem.held_out is not None:
            judge = Validation(game, weighted, static, problem.held_out, key=key)
        numbers = {name: jnp.asarray(getattr(self, name)) for name in _NUMBERS}
        horizon = jnp.asarray(float(max(steps, 1)))
        return dataclasses.replace(
            self, objective=weighted, horizon=horizon, judge=judge, **numbers
        )

    def settings(self) -> dict[str, Any]:
        parameters, static = eqx.partition(self.model, eqx.is_inexact_array)
        shapes = jax.eval_shape(lambda arrays: arrays, parameters)
        own = self.optimiser is not None
        return {
            "objective": 1.0 * self.objective,
            "model": eqx.combine(shapes, static),
            "learning_rate": None if own else self.learning_rate,
            "clip": None if own else self.clip,
            "optimiser": self.optimiser,
            "batch_size": self.batch_size,
            "average": self.average,
        }

    def init(self, problem: Problem, *, key: Key) -> TrainState:
        parameters = eqx.filter(self.model, eqx.is_inexact_array)
        first, best = self._optimiser.init(parameters), jnp.asarray(jnp.inf)
        return TrainState(
            parameters, parameters, parameters, best, first, jnp.asarray(0, jnp.int32)
        )

    def restarted(self, state: TrainState) -> TrainState:
        scheduled = lambda part: isinstance(part, optax.ScaleByScheduleState)
        anew = lambda part: optax.ScaleByScheduleState(jnp.asarray(0, jnp.int32))
        optimiser = jax.tree.map(
            lambda part: anew(part) if scheduled(part) else part, state.optimiser, is_leaf=scheduled
        )
        best, step = jnp.asarray(jnp.inf), jnp.asarray(0, jnp.int32)
        return dataclasses.replace(
            state, best=state.average, best_loss=best, optimiser=optimiser, step=step
        )

    def step(self, problem: Problem, state: TrainState, *, key: Key) -> tuple[TrainState, Terms]:
        game = problem.declared("fit")
        batch_key, loss_key = jax.random.split(key)
        batch = self._batch(problem, batch_key)
        objective = self._weighted.during(state.step / self.horizon)

        def loss(parameters: PyTree) -> tuple[Scalar, Terms]:
            model = eqx.combine(parameters, self.model)
            found = objective.evaluate(game, model, batch, key=loss_key)
            return found.total, dict(zip(objective.names, found.terms, strict=True))

        gradient, terms = jax.grad(loss, has_aux=True)(state.parameters)
        parameters, optimiser = descended(
            self._optimiser, gradient, state.parameters, state.optimiser
        )
        # The average starts short and lengthens, so that it forgets the initial parameters.
        decay = jnp.minimum(self.average, (1.0 + state.step) / (10.0 + state.step))
        average = optax.incremental_update(parameters, state.average, 1 - decay)
        terms["gradient"] = optax.tree.norm(gradient)
        changed = {"parameters": parameters, "average": average, "optimiser": optimiser}
        return dataclasses.replace(state, **changed, step=state.step + 1), terms

    def measured(self, problem: Problem, state: TrainState) -> tuple[TrainState, Measures]:
        if self.judge is None:
            return state, Measures()
        loss = self.judge(state.average)
        if not (math.isfinite(loss) and loss < float(state.best_loss)):
            return state, Measures(validation=loss)
        best = (state.average, jnp.asarray(loss, state.best_loss.dtype))
        state = eqx.tree_at(lambda s: (s.best, s.best_loss), state, best)
        return state, Measures(validation=loss, best=True)

    def solution(self, problem: Problem, state: TrainState) -> AbstractModel:
        chosen = state.average if problem.held_out is None else state.best
        return eqx.combine(chosen, self.model)

    def not_finite(
        self, problem: Problem, step: int, term: str, checkpoint: str | None
    ) -> NonFiniteError:
        advice = self._weighted.advice_on(term, problem.declared("fit"))
        return NonFiniteError(step, term, checkpoint, advice=advice)

    @property
    def _weighted(self) -> Combination:
        return 1.0 * self.objective

    @property
    def _optimiser(self) -> optax.GradientTransformation:
        if self.optimiser is not None:
            return self.optimiser
        return default_optimiser(self.learning_rate, self.horizon, self.clip)

    def _batch(self, problem: Problem, key: Key) -> Batch:
        """Rows of the data; where none are needed, as many that nothing looks at."""
        if problem.data is None:
            return jnp.zeros((int(self.batch_size), dimension(problem)))
        data = problem.data
        return data[jax.random.randint(key, (int(self.batch_size),), 0, data.shape[0])]

    def _check(self, problem: Problem) -> None:
        if self.optimiser is None:
            for name in ("learning_rate", "clip"):
                positive("fit", name, getattr(self, name))
        if not 0 <= self.average < 1:
            raise ValueError(
                f"`fit` got average = {self.average}, expected a decay in [0, 1): pass "
                "average=0.999, or 0 for no averaging."
            )
        rows = count("fit", "batch_size", self.batch_size, advice="pass batch_size=100")
        _memory.refuse_numbers("fit", rows * dimension(problem), batch_size=rows)


def descended(
    optimiser: optax.GradientTransformation,
    gradient: PyTree,
    parameters: PyTree,
    state: optax.OptState,
) -> tuple[PyTree, optax.OptState]:
    """Parameters and the optimiser's state after a step down a gradient."""
    updates, state = optimiser.update(gradient, state, parameters)
    return optax.apply_updates(parameters, updates), state


def check_objective(problem: Problem, objective: Combination) -> None:
    """Refuses an objective that the problem has no data for, or that is not its game's."""
    game = problem.declared("fit")
    if problem.data is None and objective.needs_data(game):
        raise ValueError(
            "`fit` got no data for an objective that is evaluated on them, expected samples: pass "
            "data of shape [n, dim], or take losses of paths from the initial density, such as "
            "`GameCost()`."
        )
    objective.check(game)
    check_coverage(game, objective, dimension(problem))


def default_optimiser(
    learning_rate: Scalar | float, steps: Scalar | float | int, clip: Scalar | float
) -> optax.GradientTransformation:
    """Adam with a cosine decay to zero over `steps` and the gradient clipped in norm."""

    def schedule(count: Any) -> Any:
        last = jnp.maximum(steps, 1)
        # In the order in which a compiler evaluates it for constants.
        turn = jnp.minimum(count, last) * (jnp.pi * (1 / last))
        return learning_rate * (0.5 * (1 + jnp.cos(turn)))

    return optax.chain(optax.clip_by_global_norm(clip), optax.adam(schedule))


def dimension(problem: Problem) -> int:
    """Of the data, or of the initial density where there are none."""
    if problem.data is not None:
        return problem.data.shape[1]
    return initial_density("fit", problem.declared("fit")).dim
