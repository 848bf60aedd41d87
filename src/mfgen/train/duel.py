"""A flow and a critic trained in turn: games whose terminal cost is a supremum over critics.

    min over U of   E int L(t, x, v) dt + M(rho(T)),      v = v*(t, x, grad U)
    M = weight * sup over g with Lip(g) <= L of { E_rho(T) g - inf_nu { nu + E_pi f*(g - nu) } }

At a given critic M is linear in rho(T) up to a constant, with first variation dM/drho = weight g,
and by the envelope theorem its gradient in the flow is that of `PathCost` (`mfgen.train.flow`).
In each round the critic takes some steps of ascent on fresh points of both laws, then the flow one
step of descent. All rounds between two records run in one compiled scan.

References: H. Gu, M. A. Katsoulakis, L. Rey-Bellet, B. J. Zhang, "Combining Wasserstein-1 and
Wasserstein-2 proximals: robust manifold learning via well-posed generative flows" (2024), arXiv
2407.11901; A. T. Lin, S. Wu Fung, W. Li, L. Nurbekyan, S. Osher, "APAC-Net" (2021), arXiv
2002.10113.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PyTree

from mfgen._types import Batch, Key, Scalar, State
from mfgen.density.empirical import Empirical
from mfgen.models.base import AbstractModel, velocity
from mfgen.problem.dynamics import positive
from mfgen.problem.game import MFG
from mfgen.problem.lipschitz import AbstractDual
from mfgen.simulate.integrator import AbstractIntegrator, RungeKutta4, positive_count
from mfgen.train.adversarial import fit_critic
from mfgen.train.failure import NonFiniteError
from mfgen.train.objective import AbstractObjective, Combination

_EIGHT = RungeKutta4(8)


class Duel(NamedTuple):
    """A flow and a critic, trained in turn.

    Attributes:
        model: the flow.
        dual: the divergence with its critic.
        steps: of the flow at the records, `[records]`.
        divergences: the dual before the critic's last step of a record, `[records]`.
        terms: the flow's terms at the records by name, `[records]` each.
    """

    model: AbstractModel
    dual: AbstractDual
    steps: np.ndarray
    divergences: np.ndarray
    terms: dict[str, np.ndarray]


class _State(NamedTuple):
    flow: PyTree
    flow_optimiser: PyTree
    critic: PyTree
    critic_optimiser: PyTree


class _Plan(eqx.Module):
    """What the compiled rounds need besides the state."""

    game_of: Callable[[AbstractDual], MFG]
    dual: AbstractDual
    flow_rest: PyTree
    critic_rest: PyTree
    objective: Combination
    flow_optimiser: optax.GradientTransformation = eqx.field(static=True)
    critic_optimiser: optax.GradientTransformation = eqx.field(static=True)
    integrator: AbstractIntegrator
    batch_size: int = eqx.field(static=True)
    critic_steps: int = eqx.field(static=True)

    def with_critic(self, critic: PyTree) -> AbstractDual:
        whole = eqx.combine(critic, self.critic_rest)
        return eqx.tree_at(lambda dual: dual.critic, self.dual, whole)


def fit_duel(
    game_of: Callable[[AbstractDual], MFG],
    dual: AbstractDual,
    model: AbstractModel,
    objective: AbstractObjective,
    *,
    steps: int,
    key: Key,
    critic_steps: int = 2,
    batch_size: int = 256,
    learning_rate: float = 5e-3,
    critic_rate: float = 2e-3,
    integrator: AbstractIntegrator = _EIGHT,
    every: int = 100,
    callback: Callable[[int, dict[str, float]], Any] | None = None,
) -> Duel:
    """Trains a flow against a critic.

    Arguments:
        game_of: the game for a divergence with its critic, as its terminal cost.
        dual: the divergence with an untrained critic; its target is the data.
        model: the flow's potential.
        objective: of the flow, terms along fresh paths: `PathCost() + TransportCost(fresh) + ...`.
        steps: of the flow.
        key: random key.
        critic_steps: of the critic before each step of the flow.
        batch_size: points of each law in a step.
        learning_rate, critic_rate: peaks of the cosine decay of both (Adam).
        integrator: by which points are carried to where the critic sees them.
        every: steps from record to record.
        callback: called with the steps taken and the terms at each record.

    Raises:
        ValueError: for settings out of range.
        NonFiniteError: if a term is not finite; the error names it and the step.
    """
    counts = {"steps": steps, "critic_steps": critic_steps, "batch_size": batch_size}
    for name, count in counts.items():
        positive_count("fit_duel", name, count)
    for name, rate in (("learning_rate", learning_rate), ("critic_rate", critic_rate)):
        positive("fit_duel", name, rate)
    combined = objective if isinstance(objective, Combination) else 1.0 * objective
    flow, flow_rest = eqx.partition(model, eqx.is_inexact_array)
    critic, critic_rest = eqx.partition(dual.critic, eqx.is_inexact_array)
    optimisers = (
        _optimiser(float(learning_rate), steps),
        _optimiser(float(critic_rate), steps * critic_steps),
    )
    plan = _Plan(
        game_of,
        dual,
        flow_rest,
        critic_rest,
        combined,
        optimisers[0],
        optimisers[1],
        integrator,
        batch_size,
        critic_steps,
    )
    state = _State(flow, optimisers[0].init(flow), critic, optimisers[1].init(critic))
    names, done = combined.names, 0
    marks, divergences, kept = [], [], []
    while done < steps:
        count = min(every, steps - done)
        state, divergence, terms = _rounds(plan, state, key, jnp.asarray(done), count)
        _check_finite(("critic", *names), np.column_stack([divergence, terms]), done)
        done += count
        marks.append(done)
        divergences.append(float(divergence[-1]))
        kept.append(np.mean(np.asarray(terms), axis=0))
        if callback is not None:
            callback(done, dict(zip(names, map(float, kept[-1]), strict=True)))
    history = np.asarray(kept)
    return Duel(
        eqx.combine(state.flow, flow_rest),
        plan.with_critic(state.critic),
        np.asarray(marks),
        np.asarray(divergences),
        {name: history[:, i] for i, name in enumerate(names)},
    )


@functools.cache  # the same one for the same settings, so that rounds are not compiled again
def _optimiser(rate: float, steps: int) -> optax.GradientTransformation:
    schedule = optax.cosine_decay_schedule(rate, steps)
    return optax.chain(optax.clip_by_global_norm(10.0), optax.adam(schedule, b1=0.5, b2=0.9))


@eqx.filter_jit
def _rounds(
    plan: _Plan, state: _State, key: Key, done: Array, count: int
) -> tuple[_State, Float[Array, "count"], Float[Array, "count terms"]]:
    """So many rounds; the dual and the terms of each."""

    def critic_step(state: _State, key: Key, points: Batch) -> tuple[_State, Scalar]:
        data_key, fit_key = jax.random.split(key)
        target = Empirical(plan.dual.target.sample(plan.batch_size, key=data_key))
        seen = eqx.tree_at(lambda dual: dual.target, plan.with_critic(state.critic), target)
        fit = fit_critic(
            seen,
            Empirical(points),
            steps=1,
            key=fit_key,
            optimiser=plan.critic_optimiser,
            state=state.critic_optimiser,
        )
        critic = eqx.filter(fit.dual.critic, eqx.is_inexact_array)
        return state._replace(critic=critic, critic_optimiser=fit.state), fit.values[0]

    def flow_step(state: _State, key: Key) -> tuple[_State, Float[Array, "terms"]]:
        game = plan.game_of(plan.with_critic(state.critic))
        batch = _starts(game, plan.batch_size, key)

        def loss(flow: PyTree) -> tuple[Scalar, Float[Array, "terms"]]:
            model = eqx.combine(flow, plan.flow_rest)
            found = plan.objective.evaluate(game, model, batch, key=key)
            return found.total, jnp.stack(found.terms)

        gradient, terms = jax.grad(loss, has_aux=True)(state.flow)
        updates, optimiser = plan.flow_optimiser.update(gradient, state.flow_optimiser)
        flow = optax.apply_updates(state.flow, updates)
        return state._replace(flow=flow, flow_optimiser=optimiser), terms

    def one_round(state: _State, index: Array):
        keys = jax.random.split(jax.random.fold_in(key, index), 2 * plan.critic_steps + 1)
        game = plan.game_of(plan.dual)
        model = eqx.combine(state.flow, plan.flow_rest)
        value = jnp.zeros(())
        for step in range(plan.critic_steps):
            starts = _starts(game, plan.batch_size, keys[2 * step])
            points = _carried(plan.integrator, game, model, starts)
            state, value = critic_step(state, keys[2 * step + 1], points)
        state, terms = flow_step(state, keys[-1])
        return state, (value, terms)

    state, (values, terms) = jax.lax.scan(one_round, state, done + jnp.arange(count))
    return state, values, terms


def _carried(integrator: AbstractIntegrator, game: MFG, model: AbstractModel, x: Batch) -> Batch:
    span = jnp.asarray(game.dynamics.horizon, x.dtype)

    def end(x: State) -> State:
        along = lambda t, x: velocity(game, model, jnp.asarray(t, x.dtype), x)
        return integrator(along, x, span)[0]

    return jax.vmap(end)(x)


def _starts(game: MFG, count: int, key: Key) -> Batch:
    if game.initial is None:
        raise ValueError(
            "`fit_duel` got a game without an initial density, expected one to start from: declare "
            "`MFG(..., initial=density)`."
        )
    return game.initial.sample(count, key=key)


def _check_finite(names: tuple[str, ...], values: np.ndarray, done: int) -> None:
    """Raises for the first step with a value that is not finite."""
    bad = np.argwhere(~np.isfinite(values))
    if bad.size:
        row, column = (int(index) for index in bad[0])
        raise NonFiniteError(
            done + row,
            names[column],
            None,
            advice="bound the slope of the critic and pay for the transport",
        )
