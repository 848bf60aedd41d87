"""A flow and a critic trained in turn: games whose terminal cost is a supremum over critics.

    min over U of   E int L(t, x, v) dt + M(rho(T)),      v = v*(t, x, grad U)
    M = weight * sup over g with Lip(g) <= L of { E_rho(T) g - inf_nu { nu + E_pi f*(g - nu) } }

At a given critic M is linear in rho(T) up to a constant, with first variation dM/drho = weight g.
By the envelope theorem its gradient in the flow is that of the mean of dM/drho where paths end,

    `PathCost`       E dM/drho(x(T))
    `PathCostate`    E |grad U(T, x(T)) - grad dM/drho(x(T))|^2

The first is the terminal cost itself; the second the gradient of the terminal condition, which ties
the potential to the critic, whose additive constant means nothing. In each round the critic takes
some steps of ascent on fresh points of both laws, then the flow one step of descent. All rounds
between two records run in one compiled scan.

References: H. Gu, M. A. Katsoulakis, L. Rey-Bellet, B. J. Zhang, "Combining Wasserstein-1 and
Wasserstein-2 proximals: robust manifold learning via well-posed generative flows" (2024), arXiv
2407.11901; A. T. Lin, S. Wu Fung, W. Li, L. Nurbekyan, S. Osher, "APAC-Net" (2021), arXiv
2002.10113.
"""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PyTree

from mfgen._types import Batch, Key, Scalar, State
from mfgen.density.empirical import Empirical
from mfgen.models.base import AbstractModel, AbstractPotential, velocity
from mfgen.problem.dynamics import positive
from mfgen.problem.game import MFG
from mfgen.problem.lipschitz import AbstractDual
from mfgen.simulate.integrator import AbstractIntegrator, RungeKutta4, positive_count
from mfgen.train.failure import NonFiniteError
from mfgen.train.objective import AbstractObjective, Combination
from mfgen.train.paths import AbstractPathTerm, Path, Paths

_FRESH = Paths(starts="initial")
_EIGHT = RungeKutta4(8)


class PathCost(AbstractPathTerm):
    """E dM/drho(x(T)), for a terminal cost that is linear in the density, such as one by a critic.

    Arguments:
        paths: how paths are followed; fresh starts of the initial density by default.
    """

    paths: Paths = _FRESH

    def admits(self, game: MFG, model: AbstractModel) -> None:
        _deterministic("PathCost", game)

    def final(self, game: MFG, model: AbstractModel, path: Path) -> Scalar:
        return game.terminal.variation(None, path.end)


class PathCostate(AbstractPathTerm):
    """E |grad U(T, x(T)) - grad dM/drho(x(T))|^2, for a terminal cost that is linear.

    The ends of the paths and the critic are taken as given: the potential alone is moved.

    Arguments:
        paths: how paths are followed; fresh starts of the initial density by default.

    Raises (when evaluated):
        TypeError: for a model without a value function.
    """

    regularises: ClassVar[bool] = True
    paths: Paths = _FRESH

    def admits(self, game: MFG, model: AbstractModel) -> None:
        _deterministic("PathCostate", game)
        if not isinstance(model, AbstractPotential):
            raise TypeError(
                f"`PathCostate` got a model `{type(model).__name__}` without a value function, "
                "expected a potential: use `ot_flow_potential(game, key=key)`."
            )

    def final(self, game: MFG, model: AbstractModel, path: Path) -> Scalar:
        end = jax.lax.stop_gradient(path.end)
        wanted = jax.grad(lambda x: game.terminal.variation(None, x))(end)
        found = model.costate(jnp.asarray(game.dynamics.horizon, end.dtype), end)
        return jnp.sum(jnp.square(found - wanted))


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
    optimisers = [
        optax.chain(optax.clip_by_global_norm(10.0), optax.adam(schedule, b1=0.5, b2=0.9))
        for schedule in (
            optax.cosine_decay_schedule(learning_rate, steps),
            optax.cosine_decay_schedule(critic_rate, steps * critic_steps),
        )
    ]
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


@eqx.filter_jit
def _rounds(
    plan: _Plan, state: _State, key: Key, done: Array, count: int
) -> tuple[_State, Float[Array, "count"], Float[Array, "count terms"]]:
    """So many rounds; the dual and the terms of each."""

    def critic_step(state: _State, key: Key, points: Batch) -> tuple[_State, Scalar]:
        target = plan.dual.target.sample(plan.batch_size, key=key)

        def loss(critic: PyTree) -> Scalar:
            dual = plan.with_critic(critic)
            seen = eqx.tree_at(lambda dual: dual.target, dual, Empirical(target))
            return -seen.value(Empirical(points))

        value, gradient = jax.value_and_grad(loss)(state.critic)
        updates, optimiser = plan.critic_optimiser.update(gradient, state.critic_optimiser)
        critic = optax.apply_updates(state.critic, updates)
        return state._replace(critic=critic, critic_optimiser=optimiser), -value

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


def _deterministic(owner: str, game: MFG) -> None:
    if not game.dynamics.deterministic:
        raise TypeError(
            f"`{owner}` got a game with noise, expected a deterministic one: its particles have "
            "no paths that could be differentiated; declare `Integrator()`."
        )
