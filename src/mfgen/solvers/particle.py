"""Gradient flows by particles: clouds of points that go down a functional of their law.

    dX_i = v(X_i; rho_n) dt + sigma dW_i,     rho_n = (1/n) sum_i delta(X_i)
    X_i <- X_i + h v_i + sqrt(h) sigma xi_i

In the limit of many particles and small steps the law solves d rho/dt = div(rho grad dF/drho) in
W2, where v - (sigma^2/2) grad log rho = -grad dF/drho, and F does not increase:

    dF/dt = -E |grad dF/drho|^2 <= 0

`descend` watches F, as each flow estimates it from its particles; what it should never do is rise
by more than its standard error.

Reference: R. Jordan, D. Kinderlehrer, F. Otto (1998), "The variational formulation of the
Fokker-Planck equation".
"""

import time
from abc import abstractmethod
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfgen._types import Batch, Count, Given, Key, Scalar
from mfgen.data.validate import check_points
from mfgen.problem.dynamics import positive
from mfgen.simulate.integrator import positive_count

State = TypeVar("State")


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

    To add one, give `velocity(points, key=key)` and `energy(points)`, and `sigma` for noise.
    """

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

    Raises:
        ValueError: for points that are not finite, or where the target's log-density is not, or
            settings out of range.
        FloatingPointError: if particles or F are not finite any more, with the steps taken.

    Example:

        found = descend(LangevinFlow(target), start, steps=500, step=0.01, key=key)
        found.points, found.energies
    """
    points = jnp.asarray(check_points(start, name="start"))
    steps, every = (
        positive_count("descend", name, value)
        for name, value in (("steps", steps), ("every", every))
    )
    positive("descend", "step", step)
    flow.check(points)
    h = jnp.asarray(step, points.dtype)

    def advance(points: Batch, done: Array, count: int) -> Batch:
        return _advance(flow, points, h, key, done, count)

    measured = lambda points, done: _measured(flow, points, done)
    return followed(points, advance, measured, lambda points: points, steps, step, every, callback)


def followed(
    state: State,
    advance: Callable[[State, Array, int], State],
    measured: Callable[[State, int], Energy],
    points: Callable[[State], Batch],
    steps: int,
    step: float,
    every: int,
    callback: Callable[[int, Energy], None] | None,
) -> Descent:
    """Advances a state of particles from record to record and measures F at each.

    Arguments:
        state: the particles, and what else moves with them.
        advance: (state, steps taken, how many more) -> state.
        measured: (state, steps taken) -> F; raises if it is not finite.
        points: the particles of a state.
        steps, step, every, callback: as in `descend`.
    """
    began, done = time.perf_counter(), 0
    records, times = [measured(state, done)], [0.0]
    while done < steps:
        count = min(every, steps - done)
        state = advance(state, jnp.asarray(done), count)
        done += count
        records.append(measured(state, done))
        times.append(done * step)
        if callback is not None:
            callback(done, records[-1])
    values, errors = np.asarray(records, float).T
    seconds = time.perf_counter() - began
    return Descent(points(state), np.asarray(times), values, errors, seconds)


@eqx.filter_jit
def _advance(
    flow: AbstractParticleFlow, points: Batch, step: Scalar, key: Key, done: Array, count: int
) -> Batch:
    def move(points: Batch, index: Array) -> tuple[Batch, None]:
        flow_key, noise_key = jax.random.split(jax.random.fold_in(key, index))
        moved = points + step * flow.velocity(points, key=flow_key)
        if flow.sigma:
            kick = jax.random.normal(noise_key, points.shape, points.dtype)
            moved = moved + flow.sigma * jnp.sqrt(step) * kick
        return moved, None

    return jax.lax.scan(move, points, done + jnp.arange(count))[0]


@eqx.filter_jit
def _energy(flow: AbstractParticleFlow, points: Batch) -> Energy:
    return flow.energy(points)


def _measured(flow: AbstractParticleFlow, points: Batch, done: int) -> Energy:
    found = _energy(flow, points)
    if not (bool(jnp.all(jnp.isfinite(points))) and np.isfinite(float(found.value))):
        raise FloatingPointError(
            f"`descend` got particles or an energy of `{type(flow).__name__}` that are not finite "
            f"after {done} steps, expected finite ones: take a smaller step, or start nearer."
        )
    return found


def mean_energy(values: Float[Array, "n"]) -> Energy:
    """F = the mean of a value at each particle, with its standard error."""
    return Energy(jnp.mean(values), jnp.sqrt(variance_of_mean(values)))


def variance_of_mean(values: Float[Array, "n"]) -> Scalar:
    """The variance of a mean over particles; infinite for one particle."""
    if values.size == 1:
        return jnp.full((), jnp.inf, values.dtype)
    return jnp.var(values, ddof=1) / values.size
