"""Generative particles: a cloud that goes down a divergence to data, as a critic sees it.

    dX/dt = -grad g(X),      g the critic of  D(rho || pi) = sup over Lip(g) <= L of { ... }

The best g is the first variation of the Lipschitz-regularised divergence (`problem.lipschitz`), so
this is its Wasserstein gradient flow: no particle is faster than L, and D is finite even where the
cloud and the data do not meet. No density of either is needed. In each step the critic takes some
steps of ascent from where it was, then the particles one step along its slope; so D is known from
below, by the critic's value, and the more steps it takes the closer. The first records are of a
critic that has been trained for a while before any particle moves.

Reference: H. Gu, P. Birmpa, Y. Pantazis, L. Rey-Bellet, M. A. Katsoulakis, "Lipschitz-regularized
gradient flows and generative particle algorithms for high-dimensional scarce data" (2022), arXiv
2210.17230.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, PyTree

from mfgen._types import Batch, Given, Key, Scalar
from mfgen.data.validate import check_points, check_samples
from mfgen.density.empirical import Empirical
from mfgen.math.count import count
from mfgen.models.critic import lipschitz_critic
from mfgen.problem.dynamics import positive
from mfgen.problem.generator import AbstractGenerator, Alpha
from mfgen.problem.lipschitz import LipschitzDivergence
from mfgen.solvers.particle import Descent, Energy, followed, variance_of_mean
from mfgen.train.adversarial import fit_critic

_KL = Alpha(1.0)


def generative_particles(
    data: Given,
    start: Given,
    *,
    steps: int,
    step: float,
    key: Key,
    critic_steps: int = 5,
    first_steps: int = 200,
    lipschitz: float = 1.0,
    generator: AbstractGenerator = _KL,
    critic: dict[str, Any] | None = None,
    learning_rate: float = 2e-3,
    batch_size: int | None = None,
    every: int = 50,
    callback: Callable[[int, Energy], None] | None = None,
) -> Descent:
    """Moves particles to data by the slope of a critic that is trained on the way.

    Arguments:
        data: a sample of pi, `[m, dim]`.
        start: first points, `[n, dim]`.
        steps: of the particles.
        step: h, in units of the flow's time; no particle moves farther than h L in one.
        key: random key of the critic's first weights and of the batches.
        critic_steps, first_steps: of the critic before each step, and before the first one.
        lipschitz: L, the largest slope of the critic.
        generator: f of the divergence; `Alpha(1.0)` for KL.
        critic: options of `lipschitz_critic`.
        learning_rate: of the critic (Adam).
        batch_size: points of each law in a step of the critic; all of them if not given.
        every: steps from record to record.
        callback: called with the steps taken and the dual's value at each record.

    Returns:
        The `Descent`. Its energies are the dual at the critic of the time, on all points: lower
        bounds of D up to their standard errors.

    Raises:
        ValueError: for points that are not finite or of different dimensions, or settings out of
            range.
        FloatingPointError: if particles or the dual are not finite any more, with the steps taken.

    Example:

        found = generative_particles(data, start, steps=300, step=0.1, key=key)
        found.points, found.rise
    """
    data = jnp.asarray(check_samples(data, name="data"))
    points = jnp.asarray(check_points(start, name="start"), data.dtype)
    if points.shape[1] != data.shape[1]:
        raise ValueError(
            f"`generative_particles` got start of dimension {points.shape[1]} for data of "
            f"dimension {data.shape[1]}, expected the same: start where the data live."
        )
    counts = {"steps": steps, "critic_steps": critic_steps, "every": every}
    for name, number in counts.items():
        count("generative_particles", name, number)
    if batch_size is not None:
        count("generative_particles", "batch_size", batch_size)
    advice = "pass 0 for a critic that starts with the particles"
    count("generative_particles", "first_steps", first_steps, least=0, advice=advice)
    positive("generative_particles", "step", step)
    positive("generative_particles", "learning_rate", learning_rate)
    critic_key, first_key, key = jax.random.split(key, 3)
    options = {"lipschitz": lipschitz, "around": Empirical(data)} | (critic or {})
    made = lipschitz_critic(data.shape[1], key=critic_key, **options)
    plan = _Plan(_adam(float(learning_rate)), critic_steps, batch_size)
    dual = LipschitzDivergence(made, Empirical(data), generator)
    state = plan.optimiser.init(eqx.filter(made, eqx.is_inexact_array))
    if first_steps:
        fit = plan.fit(dual, points, state, first_steps, first_key)
        dual, state = _with(dual, fit.dual.critic), fit.state
    h = jnp.asarray(step, points.dtype)

    def advance(state: _State, done: Array, count: int) -> _State:
        return _advance(plan, state, h, key, done, count)

    measured = lambda state, done: _measured(state.dual, state.points, done)
    return followed(
        _State(points, dual, state),
        advance,
        measured,
        lambda state: state.points,
        steps,
        step,
        every,
        callback,
    )


@functools.cache  # the same one for the same rate, so that steps are not compiled again
def _adam(rate: float) -> optax.GradientTransformation:
    return optax.adam(rate)


class _State(NamedTuple):
    """The particles, the divergence with its critic, and the critic's optimiser."""

    points: Batch
    dual: LipschitzDivergence
    optimiser: PyTree


class _Plan(eqx.Module):
    """How the critic is trained."""

    optimiser: optax.GradientTransformation = eqx.field(static=True)
    steps: int = eqx.field(static=True)
    batch_size: int | None = eqx.field(static=True)

    def fit(self, dual: LipschitzDivergence, points: Batch, state: PyTree, steps: int, key: Key):
        return fit_critic(
            dual,
            Empirical(points),
            steps=steps,
            key=key,
            optimiser=self.optimiser,
            batch_size=self.batch_size,
            state=state,
        )


def _with(dual: LipschitzDivergence, critic: Callable) -> LipschitzDivergence:
    return eqx.tree_at(lambda dual: dual.critic, dual, critic)


@eqx.filter_jit
def _advance(plan: _Plan, state: _State, step: Scalar, key: Key, done: Array, count: int) -> _State:
    moving, fixed = eqx.partition(state.dual.critic, eqx.is_inexact_array)

    def move(carry, index: Array):
        points, moving, optimiser = carry
        seen = _with(state.dual, eqx.combine(moving, fixed))
        fit = plan.fit(seen, points, optimiser, plan.steps, jax.random.fold_in(key, index))
        critic = fit.dual.critic
        points = points - step * jax.vmap(jax.grad(critic))(points)
        return (points, eqx.filter(critic, eqx.is_inexact_array), fit.state), None

    carry = state.points, moving, state.optimiser
    (points, moving, optimiser), _ = jax.lax.scan(move, carry, done + jnp.arange(count))
    return _State(points, _with(state.dual, eqx.combine(moving, fixed)), optimiser)


@eqx.filter_jit
def _energy(dual: LipschitzDivergence, points: Batch) -> Energy:
    here = jax.vmap(dual.critic)(points)
    data, weights = dual.target.particles()
    there = jax.vmap(dual.critic)(data)
    expected, influence = jax.value_and_grad(dual.expected, argnums=1)(there, weights)
    # By the delta method: g is the influence of a particle, f*(g - nu) that of a data point.
    spread = variance_of_mean(here) + jnp.var(influence, ddof=1) / there.size
    return Energy(jnp.mean(here) - expected, jnp.sqrt(spread))


def _measured(dual: LipschitzDivergence, points: Batch, done: int) -> Energy:
    found = Energy(jnp.asarray(jnp.nan), jnp.asarray(jnp.nan))
    if bool(jnp.all(jnp.isfinite(points))):
        found = _energy(dual, points)
    if not np.isfinite(float(found.value)):
        raise FloatingPointError(
            f"`generative_particles` got particles or a dual that are not finite after {done} "
            "steps, expected finite ones: lower the learning rate of the critic."
        )
    return found
