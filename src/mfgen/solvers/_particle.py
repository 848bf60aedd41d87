"""Gradient flows by particles: clouds of points that go down a functional of their law.

    dX_i = v(X_i; rho_n) dt + sigma dW_i,     rho_n = (1/n) sum_i delta(X_i)
    X_i <- X_i + h v_i + sqrt(h) sigma xi_i

In the limit of many particles and small steps the law solves d rho/dt = div(rho grad dF/drho) in
W2, where v - (sigma^2/2) grad log rho = -grad dF/drho, and F does not increase:

    dF/dt = -E |grad dF/drho|^2 <= 0

`Particles` is the trainer that moves them, so that they are recorded, saved and resumed as any
training is; `descend` is a run of it. It watches F, as each flow estimates it from its particles;
what it should never do is rise by more than its standard error.

Reference: R. Jordan, D. Kinderlehrer, F. Otto (1998), "The variational formulation of the
Fokker-Planck equation".
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from mfgen import _check
from mfgen._types import Batch, Count, Given, Key, Scalar
from mfgen.data._validate import check_points
from mfgen.dynamics._dynamics import positive
from mfgen.math import _memory
from mfgen.math._count import count
from mfgen.trainers._history import History, Progress
from mfgen.trainers._run import run
from mfgen.trainers._state import Checkpoints
from mfgen.trainers._trainer import AbstractTrainer, Measures, Problem, Terms

FIRST = 2**32 - 3  # the keys of what is drawn before the first step


class Energy(NamedTuple):
    """F at the law of some particles, estimated.

    Attributes:
        value: the estimate.
        standard_error: of the estimate, from the spread over the particles; infinite for one, whose
            spread is not known.
    """

    value: Scalar
    standard_error: Scalar


class AbstractParticleFlow(eqx.Module):
    """A velocity of particles by which a functional of their law decreases.

    To add one, give `velocity(points, key=key)` and `energy(points)`, and `sigma` for noise. One
    that learns on the way has a memory besides: `first_memory`, `learn` and `at`.
    """

    owner: ClassVar[str] = "descend"  # the public name that errors speak of
    advice: ClassVar[str] = "take a smaller step, or start nearer"

    def check(self, points: Batch) -> None:
        """Raises a `ValueError` for points from which it cannot go down."""

    @property
    def sigma(self) -> float:
        """The coefficient of the noise."""
        return 0.0

    @abstractmethod
    def velocity(self, points: Batch, *, key: Key) -> Batch:
        """v of all particles, `[n, dim]`."""

    @abstractmethod
    def energy(self, points: Batch) -> Energy:
        """F at the law of the particles."""

    def first_memory(self, points: Batch, *, key: Key) -> PyTree:
        """Its memory before the first step: arrays, as a rule none."""
        return ()

    def learn(self, points: Batch, memory: PyTree, *, key: Key) -> PyTree:
        """Its memory after the particles of a step are seen, before they move."""
        return memory

    def at(self, memory: PyTree) -> "AbstractParticleFlow":
        """The flow with that knowledge."""
        return self


class Cloud(NamedTuple):
    """The state of `Particles`: where they are, and what their flow has learnt."""

    points: Batch
    memory: PyTree


class Particles(AbstractTrainer):
    """Moves particles by a flow, a trainer for `run`.

    Arguments:
        flow: such as `LangevinFlow(target)`, `SteinFlow(target)` or `MMDFlow(data)`.
        start: first points, `[n, dim]`, or how many to draw of the game's initial density.
        step: h, in units of the flow's time.

    Raises (on `run`):
        ValueError: for points that are not finite, or where the target's log-density is not.
        FloatingPointError: if particles or F are not finite any more, with the steps taken.

    Example:

        moved = run(Particles(LangevinFlow(target), 500, step=0.01), Problem(game), steps=500,
                    key=key)
        moved.solution          # the particles
    """

    watched: ClassVar[tuple[str, ...]] = ("particles",)
    measures_start: ClassVar[bool] = True

    flow: AbstractParticleFlow
    start: Batch | int
    step_size: Scalar | float

    def __init__(self, flow: AbstractParticleFlow, start: Given | int, step: Scalar | float):
        fix = "pass one such as `LangevinFlow(target)`"
        _check.of_kind("Particles", "flow", flow, AbstractParticleFlow, fix)
        self.flow, self.step_size = flow, step
        many = np.ndim(start) == 0
        self.start = (
            count(flow.owner, "start", start, advice="pass start=1000, or points [n, dim]")
            if many
            else jnp.asarray(check_points(start, name="start"))
        )
        positive(flow.owner, "step", cast(float, step))

    @property
    def owner(self) -> str:
        return self.flow.owner

    def prepared(self, problem: Problem, steps: int, *, key: Key) -> "Particles":
        initial = None if problem.game is None else problem.game.initial
        if isinstance(self.start, int) and initial is not None:
            _memory.refuse_numbers(self.owner, self.start * initial.dim, start=self.start)
        return eqx.tree_at(lambda self: self.step_size, self, jnp.asarray(self.step_size))

    def init(self, problem: Problem, *, key: Key) -> Cloud:
        points = self.start
        if isinstance(points, int):
            if problem.game is None or problem.game.initial is None:
                raise ValueError(
                    f"`Particles` got start = {points} and a problem without an initial density, "
                    "expected one to draw them of: pass points [n, dim], or a game with one."
                )
            points = problem.game.initial.sample(points, key=jax.random.fold_in(key, FIRST))
        self.flow.check(points)
        memory = self.flow.first_memory(points, key=jax.random.fold_in(key, FIRST + 1))
        return Cloud(points, memory)

    def step(self, problem: Problem, state: Cloud, *, key: Key) -> tuple[Cloud, Terms]:
        flow_key, noise_key, learn_key = jax.random.split(key, 3)
        points = state.points
        memory = self.flow.learn(points, state.memory, key=learn_key)
        flow, h = self.flow.at(memory), jnp.asarray(self.step_size, points.dtype)
        moved = points + h * flow.velocity(points, key=flow_key)
        if flow.sigma:
            kick = jax.random.normal(noise_key, points.shape, points.dtype)
            moved = moved + flow.sigma * jnp.sqrt(h) * kick
        return Cloud(moved, memory), {
            "particles": jnp.sum(jnp.where(jnp.isfinite(moved), 0, moved))
        }

    def measured(self, problem: Problem, state: Cloud) -> tuple[Cloud, Measures]:
        value, error = map(float, _energy(self.flow, state))
        return state, Measures({"Energy": value}, {"Energy": error})

    def solution(self, problem: Problem, state: Cloud) -> Batch:
        return state.points

    def not_finite(
        self, problem: Problem, step: int, term: str, checkpoint: str | None
    ) -> FloatingPointError:
        step += term == "particles"  # a step that is not taken since it would end so
        kept = f" (the last good checkpoint is {checkpoint})" if checkpoint else ""
        return FloatingPointError(
            f"`{self.owner}` got particles or an energy of `{type(self.flow).__name__}` that are "
            f"not finite after {step} steps{kept}, expected finite ones: {self.flow.advice}."
        )


class Descent(NamedTuple):
    """Particles on their way down.

    Attributes:
        points: where they are at last, `[n, dim]`.
        times: of the records, `[records]`; the first is 0.
        energies, standard_errors: of F at these times, `[records]`.
        seconds: of the whole.
    """

    points: Batch
    times: np.ndarray
    energies: np.ndarray
    standard_errors: np.ndarray
    seconds: float

    @property
    def rise(self) -> float:
        """The largest increase of F from a record to the next, in standard errors of both."""
        error = np.hypot(self.standard_errors[1:], self.standard_errors[:-1])
        change = np.diff(self.energies)
        return float(np.max(np.where(change > 0, change / np.maximum(error, 1e-12), 0.0)))


def descend(
    flow: AbstractParticleFlow,
    start: Given,
    *,
    steps: Count,
    step: float,
    key: Key,
    every: Count = 50,
    callback: Callable[[int, Energy], None] | None = None,
    checkpoints: Checkpoints | None = None,
    resume: bool = False,
) -> Descent:
    """Moves particles by a flow.

    Arguments:
        flow: such as `LangevinFlow(target)`, `SteinFlow(target)` or `MMDFlow(data)`.
        start: first points, `[n, dim]`; one alone, or all at one place, will do.
        steps: the number of steps.
        step: h, in units of the flow's time.
        key: random key.
        every: steps from record to record.
        callback: called with the steps taken and F at each record.
        checkpoints, resume: as in `run`.

    Raises:
        ValueError: for points that are not finite, or where the target's log-density is not, or
            settings out of range.
        FloatingPointError: if particles or F are not finite any more, with the steps taken.

    Example:

        found = descend(LangevinFlow(target), start, steps=500, step=0.01, key=key)
        found.points, found.energies
    """
    count("descend", "steps", steps)
    settings = {"key": key, "every": every, "checkpoints": checkpoints, "resume": resume}
    return descent(Particles(flow, start, step), steps=steps, callback=callback, **settings)


def descent(
    particles: Particles,
    *,
    steps: Count,
    key: Key,
    every: Count,
    callback: Callable[[int, Energy], None] | None = None,
    **settings: Any,
) -> Descent:
    """A run of particles that bring their first points, as a `Descent`; settings as in `run`."""

    def reported(progress: Progress) -> None:
        assert callback is not None
        energy = Energy(
            jnp.asarray(progress.terms["Energy"]), jnp.asarray(progress.errors["Energy"])
        )
        callback(progress.step, energy)

    reporter = None if callback is None else reported
    done = run(
        particles, Problem(), steps=steps, key=key, every=every, callback=reporter, **settings
    )
    return descended(done.solution, done.history, float(particles.step_size))


def descended(points: Batch, history: History, step: float) -> Descent:
    """The `Descent` of particles from the records of their run."""
    records = history.records
    times = step * np.asarray([record.step for record in records], float)
    energies = np.asarray([record.terms["Energy"] for record in records])
    errors = np.asarray([record.errors["Energy"] for record in records])
    return Descent(points, times, energies, errors, records[-1].seconds)


@eqx.filter_jit
def _energy(flow: AbstractParticleFlow, cloud: Cloud) -> Energy:
    return flow.at(cloud.memory).energy(cloud.points)


def mean_energy(values: Float[Array, "n"]) -> Energy:
    """F = the mean of a value at each particle, with its standard error."""
    return Energy(jnp.mean(values), jnp.sqrt(variance_of_mean(values)))


def variance_of_mean(values: Float[Array, "n"]) -> Scalar:
    """The variance of a mean over particles; infinite for one particle."""
    if values.size == 1:
        return jnp.full((), jnp.inf, values.dtype)
    return jnp.var(values, ddof=1) / values.size
