"""Minimising movements as one training: a chain of flows, each trained after the one before.

    rho_(k+1) = argmin over rho of  F(rho) + W2^2(rho, rho_k) / (2 h),      F = KL(. || pi)

Each block is a potential flow on [0, 1] of kinetic cost |v|^2 / (2 h) from the particles of the
block before (`mfgen.zoo._jko`). The steps of the training are shared out evenly: at the end of a
block its particles move on, their log-densities with them, and the next block begins at its
network. All blocks together are one flow, `mfgen.models._blocks`.

Reference: C. Xu, X. Cheng, Y. Xie (2023), arXiv 2212.14424.
"""

import dataclasses
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from mfgen import _check
from mfgen._types import Batch, Key
from mfgen.costs._cost import Kinetic
from mfgen.densities._base import AbstractEvaluable
from mfgen.densities._empirical import Empirical
from mfgen.math._count import count, plain
from mfgen.models._base import AbstractModel
from mfgen.models._blocks import Blocks
from mfgen.solvers._particle import mean_energy
from mfgen.trainers._gradient import Gradient
from mfgen.trainers._state import TrainState
from mfgen.trainers._trainer import AbstractTrainer, Measures, Problem, Terms
from mfgen.zoo._flows import flow_game
from mfgen.zoo._jko import carried


class MovementState(eqx.Module):
    """The state of a chain: the block in training, those trained before, and the particles.

    Attributes:
        flow: of the block in training.
        index: how many blocks are done.
        blocks: parameters of all blocks, those to come as they begin.
        points, log_densities: particles where the block begins, `[n, dim]` and `[n]`, the
            log-densities less those at the first ones.
        divergences, errors: of the laws from the target, up to a constant, `[blocks + 1]`.
    """

    flow: TrainState
    index: Int[Array, ""]
    blocks: PyTree
    points: Batch
    log_densities: Float[Array, "n"]
    divergences: Float[Array, "laws"]
    errors: Float[Array, "laws"]


class MinimisingMovement(AbstractTrainer):
    """Trains the steps of JKO from data to a density, one after the other.

    Arguments:
        flow: the training of a step, `Gradient(potential, objective)`.
        blocks: how many steps there are; each takes horizon / blocks of the game's time.

    Raises (before training):
        ValueError, TypeError: for a game that does not begin at data or whose end is no divergence
            from a density, or steps that cannot be shared out evenly.

    Example:

        game = jko_game(Empirical(points), 0.5, 6)
        flow = Gradient(ot_flow_potential(game, key=key), PathLikelihood() + TransportCost())
        found = run(MinimisingMovement(flow, 6), Problem(game, points), steps=2400, key=key)
    """

    watched: ClassVar[tuple[str, ...]] = ("gradient",)
    owner: ClassVar[str] = "MinimisingMovement"

    flow: Gradient
    blocks: int = eqx.field(static=True, default=6, converter=plain)
    each: int = eqx.field(static=True, default=0)

    def __check_init__(self):
        _check.of_kind("MinimisingMovement", "flow", self.flow, Gradient, "pass `Gradient(model)`")
        count("MinimisingMovement", "blocks", self.blocks, advice="pass blocks=6")

    @property
    def period(self) -> int | None:
        return self.each or None

    def prepared(self, problem: Problem, steps: int, *, key: Key) -> "MinimisingMovement":
        if steps % self.blocks:
            fewer = steps - steps % self.blocks
            raise ValueError(
                f"`MinimisingMovement` got steps = {steps} for {self.blocks} blocks, expected a "
                f"multiple: take {fewer + self.blocks} steps, or other blocks."
            )
        each, first = steps // self.blocks, self._block(problem, _data(problem))
        return dataclasses.replace(
            self, flow=self.flow.prepared(first, max(each, 1), key=key), each=each
        )

    def init(self, problem: Problem, *, key: Key) -> MovementState:
        points = _data(problem)
        densities = jnp.zeros(points.shape[0], points.dtype)
        value, error = self._divergence(problem, points, densities)
        empty = jnp.full(self.blocks + 1, jnp.nan, points.dtype)
        parameters = eqx.filter(self.flow.model, eqx.is_inexact_array)
        stacked = jax.tree.map(lambda leaf: jnp.stack([leaf] * self.blocks), parameters)
        return MovementState(
            self.flow.init(self._block(problem, points), key=key),
            jnp.asarray(0, jnp.int32),
            stacked,
            points,
            densities,
            empty.at[0].set(value),
            empty.at[0].set(error),
        )

    def step(
        self, problem: Problem, state: MovementState, *, key: Key
    ) -> tuple[MovementState, Terms]:
        block = self._block(problem, state.points)
        flow, terms = self.flow.step(block, state.flow, key=key)
        return dataclasses.replace(state, flow=flow), terms

    def turned(self, problem: Problem, state: MovementState, *, key: Key) -> MovementState:
        block = self._block(problem, state.points)
        model, index = self.flow.solution(block, state.flow), state.index
        points, growth = carried(block.declared("MinimisingMovement"), model, state.points)
        densities = state.log_densities - growth
        value, error = self._divergence(problem, points, densities)
        parameters = eqx.filter(model, eqx.is_inexact_array)
        return MovementState(
            dataclasses.replace(self.flow, model=model).init(block, key=key),
            index + 1,
            jax.tree.map(lambda all, one: all.at[index].set(one), state.blocks, parameters),
            points,
            densities,
            state.divergences.at[index + 1].set(value),
            state.errors.at[index + 1].set(error),
        )

    def measured(self, problem: Problem, state: MovementState) -> tuple[MovementState, Measures]:
        index = int(state.index)
        value, error = float(state.divergences[index]), float(state.errors[index])
        return state, Measures({"divergence": value}, {"divergence": error})

    def solution(self, problem: Problem, state: MovementState) -> AbstractModel:
        _, fixed = eqx.partition(self.flow.model, eqx.is_inexact_array)
        potential: Any = eqx.combine(state.blocks, fixed)
        return Blocks(potential, self._length(problem))

    def settings(self) -> dict[str, Any]:
        return {"blocks": self.blocks, **self.flow.settings()}

    def not_finite(
        self, problem: Problem, step: int, term: str, checkpoint: str | None
    ) -> FloatingPointError:
        return self.flow.not_finite(problem, step, term, checkpoint)

    def _length(self, problem: Problem) -> float:
        return float(problem.declared("MinimisingMovement").dynamics.horizon) / self.blocks

    def _block(self, problem: Problem, points: Batch) -> Problem:
        """The game of a block from particles, on [0, 1]."""
        goal = _goal(problem)
        game = flow_game(Empirical(points), Kinetic(1 / self._length(problem)), reference=goal)
        return Problem(game, points)

    def _divergence(self, problem: Problem, points: Batch, densities: Float[Array, "n"]):
        goal = _goal(problem)
        return mean_energy(densities - jax.vmap(goal.log_density)(points))


def _data(problem: Problem) -> Batch:
    game = problem.declared("MinimisingMovement")
    if problem.data is None or game.data_at != "start" or not game.dynamics.deterministic:
        raise ValueError(
            "`MinimisingMovement` got a game that does not begin at data without noise, expected "
            'one: declare it with `initial="data"`, `data_at="start"`.'
        )
    return problem.data


def _goal(problem: Problem) -> AbstractEvaluable:
    goal = problem.declared("MinimisingMovement").terminal.goal
    fix = "end the game with `KL(density)`"
    _check.of_kind("MinimisingMovement", "target", goal, AbstractEvaluable, fix)
    assert isinstance(goal, AbstractEvaluable)
    return goal
