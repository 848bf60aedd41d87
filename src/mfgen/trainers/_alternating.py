"""A flow and critics trained in turn: games whose terminal cost is a supremum over critics.

    min over controls of J(v),      M = ... + weight * sup over g of { E_rho(T) g - E*_pi[g] } + ...
    E*_pi[g] = inf_nu { nu + E_pi f*(g - nu) },  E_pi g for W1      (`mfgen.functionals._lipschitz`)

In each step the critics take some steps of ascent, on fresh ends of the particles' paths and fresh
points of their targets, then the flow a step of its own against critics that are held still: at a
given critic the cost is linear in the density, `Held`, and by the envelope theorem its derivative
is that of the supremum. So the flow is trained by whatever trains a game without critics, with
noise, interactions and any Lagrangian. Several critics in one cost rise together, each on its own
value: their weights in the game do not change where they are largest.

References: H. Gu, M. A. Katsoulakis, L. Rey-Bellet, B. J. Zhang, "Combining Wasserstein-1 and
Wasserstein-2 proximals: robust manifold learning via well-posed generative flows" (2024), arXiv
2407.11901; A. T. Lin, S. Wu Fung, W. Li, L. Nurbekyan, S. Osher, "APAC-Net" (2021), arXiv
2002.10113.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from mfgen import _check
from mfgen._types import Key, Scalar, State
from mfgen.densities._empirical import Empirical
from mfgen.dynamics._dynamics import positive
from mfgen.functionals._functional import Linear
from mfgen.functionals._lipschitz import AbstractDual, duals
from mfgen.games._game import MFG
from mfgen.losses._game_cost import default_method
from mfgen.losses._payment import name_of
from mfgen.math._count import count
from mfgen.models._critic import LipschitzCritic
from mfgen.simulate._ends import initial_density
from mfgen.simulate._trajectory import Method, check_method, trajectories
from mfgen.trainers._adversarial import GradientPenalty, ascended
from mfgen.trainers._failure import NonFiniteError
from mfgen.trainers._trainer import AbstractTrainer, Measures, Problem, Terms


class Ascent(eqx.Module):
    """Training of critics: steps of ascent before each step of the flow.

    Arguments:
        steps: of ascent.
        learning_rate: the peak of a cosine decay to zero, for the default optimiser (Adam).
        optimiser: any optax transformation in place of it.
        batch_size: points of each law in a step.
        penalty: on slopes, for critics whose slope is not bounded by construction.
    """

    by_run: ClassVar[tuple[str, ...]] = ("horizon",)

    steps: int = eqx.field(static=True, default=2)
    learning_rate: Scalar | float = 2e-3
    optimiser: optax.GradientTransformation | None = eqx.field(static=True, default=None)
    batch_size: int = eqx.field(static=True, default=256)
    penalty: GradientPenalty | None = None
    horizon: Scalar | float = 1.0

    def __check_init__(self):
        _check.declared(self)
        for name in ("steps", "batch_size"):
            count("Ascent", name, getattr(self, name), advice=f"pass {name}=2")

    def prepared(self, steps: int) -> "Ascent":
        """The ascent beside so many steps of the flow, its numbers as arrays."""
        if self.optimiser is None:
            positive("Ascent", "learning_rate", float(self.learning_rate))
        horizon = jnp.asarray(float(max(steps * self.steps, 1)))
        rate = jnp.asarray(self.learning_rate)
        return dataclasses.replace(self, learning_rate=rate, horizon=horizon)

    @property
    def method(self) -> optax.GradientTransformation:
        """The optimiser."""
        return self.optimiser or _adam(self.learning_rate, self.horizon)


@functools.lru_cache(maxsize=64)
def adversarial_optimiser(learning_rate: float, steps: int) -> optax.GradientTransformation:
    """Adam with little momentum, for what moves while it is answered, and a decay to zero.

    The same settings give the same object, by which compiled steps are known again.
    """
    return _adam(learning_rate, float(steps))


def _adam(rate: Scalar | float, steps: Scalar | float) -> optax.GradientTransformation:
    schedule = lambda done: 0.5 * rate * (1 + jnp.cos(jnp.pi * jnp.minimum(done / steps, 1)))
    return optax.chain(optax.clip_by_global_norm(10.0), optax.adam(schedule, b1=0.5, b2=0.9))


class AlternatingState(eqx.Module):
    """The flow's state, and the critics' parameters and optimiser."""

    flow: PyTree
    critics: PyTree
    optimiser: PyTree


class Alternating(AbstractTrainer):
    """Trains a game whose terminal cost holds critics: these by ascent, the flow by descent.

    Arguments:
        critic: how the critics are trained.
        flow: what trains the game with critics held still: `Gradient(model, GameCost())`.
        method: how particles are followed to where critics see them; `StochasticHeun(32)` with
            noise, `RungeKutta4(16)` without.

    Raises (before training):
        ValueError, TypeError: for a game without a critic, with one in its interaction, with
            critics that have nothing to train, and what the flow's trainer refuses.

    Example:

        goal = Empirical(points)
        cost = 20.0 * Wasserstein1(lipschitz_critic(2, around=goal, key=key), goal)
        game = MFG(Integrator(sigma=0.3), Relativistic(4.0), cost, initial=start)
        model, problem = ot_flow_potential(game, key=key), Problem(game)
        trainer = Alternating(Ascent(), Gradient(model, GameCost()))
        found = run(trainer, problem, steps=2000, key=key)
        game = trainer.game(problem, found.state)       # with the trained critic in its cost
    """

    watched: ClassVar[tuple[str, ...]] = ("gradient",)
    owner: ClassVar[str] = "Alternating"

    critic: Ascent
    flow: AbstractTrainer
    method: Method | None = None

    def __check_init__(self):
        _check.of_kinds(
            self,
            critic=(Ascent, "pass `Ascent()`"),
            flow=(AbstractTrainer, "pass `Gradient(model)`"),
        )

    def prepared(self, problem: Problem, steps: int, *, key: Key) -> "Alternating":
        game = _game(problem)
        check_method("Alternating", game, default_method(game, self.method), False)
        held = self._held(problem, _moving(game), key)
        flow = self.flow.prepared(held, steps, key=key)
        return Alternating(self.critic.prepared(steps), flow, self.method)

    def init(self, problem: Problem, *, key: Key) -> AlternatingState:
        critics = _moving(_game(problem))
        flow = self.flow.init(self._held(problem, critics, key), key=key)
        return AlternatingState(flow, critics, [self.critic.method.init(one) for one in critics])

    def step(
        self, problem: Problem, state: AlternatingState, *, key: Key
    ) -> tuple[AlternatingState, Terms]:
        flow_key, held_key, *keys = jax.random.split(key, 2 + self.critic.steps)
        critics, optimiser, value = state.critics, state.optimiser, jnp.zeros(())
        model = self.flow.solution(problem, state.flow)
        for key in keys:
            critics, optimiser, value = self._ascended(problem, model, critics, optimiser, key)
        held = self._held(problem, critics, held_key)
        flow, terms = self.flow.step(held, state.flow, key=flow_key)
        return AlternatingState(flow, critics, optimiser), {"Critic": value} | terms

    def solution(self, problem: Problem, state: AlternatingState) -> Any:
        trained = dataclasses.replace(problem, game=self.game(problem, state))
        return self.flow.solution(trained, state.flow)

    def game(self, problem: Problem, state: AlternatingState) -> MFG:
        """The game with the trained critics in its terminal cost."""
        return _with_critics(_game(problem), state.critics)

    def settings(self) -> dict[str, Any]:
        return {"critic": self.critic, "method": self.method} | self.flow.settings()

    def restarted(self, state: AlternatingState) -> AlternatingState:
        optimiser = [self.critic.method.init(one) for one in state.critics]
        return AlternatingState(self.flow.restarted(state.flow), state.critics, optimiser)

    def measured(
        self, problem: Problem, state: AlternatingState
    ) -> tuple[AlternatingState, Measures]:
        held = self._held(problem, state.critics, jax.random.key(0))
        flow, found = self.flow.measured(held, state.flow)
        return AlternatingState(flow, state.critics, state.optimiser), found

    def not_finite(
        self, problem: Problem, step: int, term: str, checkpoint: str | None
    ) -> NonFiniteError:
        advice = "bound the slope of the critic, `lipschitz_critic(...)`, and pay for the transport"
        return NonFiniteError(step, term, checkpoint, advice=advice, owner=self.owner)

    def _ascended(
        self, problem: Problem, model: Any, critics: PyTree, optimiser: PyTree, key: Key
    ) -> tuple[PyTree, PyTree, Scalar]:
        """The critics after a step of ascent, and the sum of their values before it."""
        game, size = _game(problem), self.critic.batch_size
        start_key, path_key, goal_key, penalty_key = jax.random.split(key, 4)
        starts = initial_density("Alternating", game).sample(size, key=start_key)
        method = default_method(game, self.method)
        ends = trajectories(game, model, starts, key=path_key, method=method).points[-1]

        risen = []
        for index, dual in enumerate(duals(_with_critics(game, critics).terminal)):
            own_key = jax.random.fold_in(goal_key, index)
            seen, before = _drawn(dual, size, own_key), optimiser[index]
            risen.append(
                ascended(
                    seen, Empirical(ends), self.critic.method, before, self.critic.penalty,
                    key=jax.random.fold_in(penalty_key, index),
                )
            )  # fmt: skip
        after, optimiser, values = map(list, zip(*risen, strict=True))
        return eqx.filter(after, eqx.is_inexact_array), optimiser, jnp.sum(jnp.stack(values))

    def _held(self, problem: Problem, critics: PyTree, key: Key) -> Problem:
        """The problem in which each dual is the linear cost of its critic."""
        game = _with_critics(_game(problem), critics)
        still = []
        for index, dual in enumerate(duals(game.terminal)):
            seen = _drawn(dual, self.critic.batch_size, jax.random.fold_in(key, index))
            points, weights = seen.target.particles()
            critic = seen.critic
            if isinstance(critic, LipschitzCritic):  # its weights are divided once for all points
                critic = critic.frozen()
            level = seen.expected(jax.vmap(critic)(points), weights)
            still.append(Linear(Held(critic, level)))
        game = eqx.tree_at(lambda game: duals(game.terminal), game, still)
        return dataclasses.replace(problem, game=game)


class Held(eqx.Module):
    """g(x) - E*_pi[g]: a dual's integrand at a critic that is held still."""

    critic: Callable[[State], Scalar]
    level: Scalar

    def __call__(self, x: State) -> Scalar:
        return self.critic(x) - self.level


def _game(problem: Problem) -> MFG:
    """The game, with critics that can be trained.

    Raises:
        ValueError, TypeError: if it has none, or has them where a critic for each time is needed.
    """
    game = problem.started("Alternating")
    if duals(game.interaction):
        raise TypeError(
            f"`Alternating` got the interaction `{name_of(game.interaction)}`, which would need a "
            "critic for each time, expected critics in the terminal cost alone: take `MMD` or "
            "`SinkhornDivergence` on the way."
        )
    if not jax.tree.leaves(_moving(game)):
        raise ValueError(
            f"`Alternating` got the terminal cost `{name_of(game.terminal)}` without a critic to "
            "train, expected one: declare `Wasserstein1(lipschitz_critic(dim, key=key), data)`, or "
            "train by `Gradient(model, GameCost())`."
        )
    return game


def _moving(game: MFG) -> PyTree:
    """The parameters of the critics."""
    return eqx.filter([dual.critic for dual in duals(game.terminal)], eqx.is_inexact_array)


def _with_critics(game: MFG, critics: PyTree) -> MFG:
    held = [dual.critic for dual in duals(game.terminal)]
    whole = eqx.combine(critics, held)
    return eqx.tree_at(lambda game: [dual.critic for dual in duals(game.terminal)], game, whole)


def _drawn(dual: AbstractDual, size: int, key: Key) -> AbstractDual:
    """The dual with so many points of its target."""
    drawn = Empirical(dual.target.sample(size, key=key))
    return eqx.tree_at(lambda dual: dual.target, dual, drawn)
