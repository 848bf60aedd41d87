"""Prescribed ends: a divergence to them whose weight rises until it is below a tolerance.

    min J(v)  subject to  rho(T) = pi        as        min J(v) + w D(rho(T), pi),   w rising

At weight w the minimiser has the costate w grad dD/drho where the constraint has its multiplier's:
what the end misses is of the order 1 / w, and D of the order 1 / w^2. The weight rises while the
running mean of D, over looks at fresh particles, is above the tolerance,

    w <- w * rise^(share of half the run) to the power min(1, max(0, (D - error) / tolerance - 1))

and then rests. D is taken of n particles and n points of pi and freed of the bias of both
(`mfgen.trainers._mismatch`). Where no divergence is given it is half the energy distance times the
deviation of pi, in the units of |x|^2. Without a tolerance, it is a part of what two samples of pi
of n points show of D by chance.

References: D. P. Bertsekas, "Constrained optimization and Lagrange multiplier methods" (1982),
chapter 2 (penalties); B. J. Zhang, M. A. Katsoulakis (2023), arXiv 2304.13534, section 5.
"""

import dataclasses
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from mfgen import _check
from mfgen._types import Key, Scalar
from mfgen.densities._base import AbstractDensity
from mfgen.densities._empirical import Empirical
from mfgen.dynamics._dynamics import positive
from mfgen.functionals._functional import AbstractFunctional, Sum
from mfgen.functionals._kernel import DistanceKernel
from mfgen.functionals._kernel_energy import MMD
from mfgen.games._game import MFG
from mfgen.losses._game_cost import default_method
from mfgen.losses._payment import name_of
from mfgen.math._count import count
from mfgen.models._base import AbstractModel
from mfgen.simulate._ends import initial_density
from mfgen.simulate._trajectory import Method, check_method, trajectories
from mfgen.trainers._failure import NonFiniteError
from mfgen.trainers._mismatch import Ended, aimed, check_sampled, unbiased
from mfgen.trainers._trainer import AbstractTrainer, Measures, Problem, Terms

_PART = 0.25  # of what two samples of the end differ by, which the mismatch is to be below
_LOOK = 10  # steps from one look at the end to the next
_MEMORY = 20  # looks that the running mean goes over
_TRIALS = 64  # samples by which the mismatch is told with its error


class AugmentedState(eqx.Module):
    """The flow's state, weight, tolerance, and the mismatch: running means of it and its square.

    `looks` counts those that they go over, `step` the steps, by which looks are due.
    """

    flow: PyTree
    weight: Scalar
    tolerance: Scalar
    mean: Scalar
    square: Scalar
    looks: Int[Array, ""]
    step: Int[Array, ""]

    @property
    def error(self) -> Scalar:
        """The standard error of the running mean."""
        looks = jnp.clip(self.looks, 2, _MEMORY)
        return jnp.sqrt(jnp.maximum(self.square - self.mean**2, 0.0) / (looks - 1))


class Augmented(AbstractTrainer):
    """Trains a game whose end is prescribed, by a divergence whose weight rises.

    Arguments:
        flow: what trains the game with the divergence in place of the prescribed end, such as
            `Gradient(model, GameCost())`.
        divergence: to the end, such as `SinkhornDivergence(samples)`; half the energy distance
            times the deviation of the end if absent. Its target is the prescribed one.
        tolerance: of the divergence; a quarter of what two samples of the end of `particles` points
            differ by if absent.
        weight: of the divergence at the start.
        rise: the factor by which it may rise in half of the run.
        particles: by which the mismatch is told while training.
        method: how they are followed; `StochasticHeun(32)` with noise, `RungeKutta4(16)` without.

    Raises (before training):
        ValueError, TypeError: for a game without a prescribed end, one that cannot be sampled, a
            divergence that cannot be had of samples, settings out of range.

    Example:

        game = MFG(Integrator(sigma=0.5), Kinetic(), Prescribed(Empirical(points)), initial=start)
        trainer = Augmented(Gradient(model, GameCost()))
        found = run(trainer, Problem(game), steps=2000, key=key)
        print(trainer.ended(Problem(game), found.state))
    """

    watched: ClassVar[tuple[str, ...]] = ("gradient", "mean mismatch")
    by_run: ClassVar[tuple[str, ...]] = ("growth",)
    owner: ClassVar[str] = "Augmented"

    flow: AbstractTrainer
    divergence: AbstractFunctional | None = None
    tolerance: Scalar | float | None = None
    weight: Scalar | float = 10.0
    rise: float = 20.0
    particles: int = eqx.field(static=True, default=1024)
    method: Method | None = None
    growth: Scalar | float = 0.0

    def __check_init__(self):
        fix = "pass `Gradient(model, GameCost())`"
        _check.of_kind("Augmented", "flow", self.flow, AbstractTrainer, fix)
        if self.divergence is not None:
            fix = "pass `SinkhornDivergence(samples)` or `MMD(samples, kernel)`"
            _check.of_kind("Augmented", "divergence", self.divergence, AbstractFunctional, fix)
        for name in ("weight", "tolerance"):
            if getattr(self, name) is not None:
                positive("Augmented", name, float(getattr(self, name)))
        _check.a_finite_number("Augmented", "rise", self.rise)
        if self.rise < 1:
            raise ValueError(
                f"`Augmented` got rise = {self.rise}, expected at least 1: pass rise=20.0, or "
                "1.0 for a weight that rests."
            )
        count("Augmented", "particles", self.particles, least=4, advice="pass particles=1024")

    def prepared(self, problem: Problem, steps: int, *, key: Key) -> "Augmented":
        goal = self._goal(problem)
        if self.divergence is not None:
            check_sampled(self.divergence, goal)
        divergence = self._divergence(goal)
        game = problem.started("Augmented")
        check_method("Augmented", game, default_method(game, self.method), False)
        growth = 2 * _LOOK * jnp.log(jnp.asarray(float(self.rise))) / max(steps, 1)
        weight = jnp.asarray(float(self.weight))
        tolerance = None if self.tolerance is None else jnp.asarray(float(self.tolerance))
        own = dataclasses.replace(
            self, divergence=divergence, tolerance=tolerance, weight=weight, rise=1.0, growth=growth
        )
        priced = own._priced(problem, weight, goal)
        return dataclasses.replace(own, flow=self.flow.prepared(priced, steps, key=key))

    def init(self, problem: Problem, *, key: Key) -> AugmentedState:
        goal, weight = self._goal(problem), jnp.asarray(self.weight)
        tolerance = self.tolerance
        if tolerance is None:
            tolerance = _PART * self._by_chance(goal, key)
        flow = self.flow.init(self._priced(problem, weight, goal), key=key)
        tolerance, zero = jnp.asarray(tolerance, weight.dtype), jnp.zeros_like(weight)
        none = jnp.asarray(0, jnp.int32)
        return AugmentedState(flow, weight, tolerance, zero, zero, none, none)

    def step(
        self, problem: Problem, state: AugmentedState, *, key: Key
    ) -> tuple[AugmentedState, Terms]:
        flow_key, goal_key, look_key = jax.random.split(key, 3)
        drawn = Empirical(self._goal(problem).sample(self.particles, key=goal_key))
        priced = self._priced(problem, state.weight, drawn)
        flow, terms = self.flow.step(priced, state.flow, key=flow_key)
        state = dataclasses.replace(state, flow=flow, step=state.step + 1)
        look = lambda state: self._looked(problem, state, look_key)
        state = jax.lax.cond(state.step % _LOOK == 0, look, lambda state: state, state)
        return state, terms | {"mean mismatch": state.mean}

    def solution(self, problem: Problem, state: AugmentedState) -> Any:
        return self.flow.solution(problem, state.flow)

    def summary(self, problem: Problem, state: AugmentedState) -> str:
        said = str(self.ended(problem, state))
        return said[0].upper() + said[1:] + "."

    def settings(self) -> dict[str, Any]:
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "flow"}
        return own | self.flow.settings()

    def restarted(self, state: AugmentedState) -> AugmentedState:
        anew = jnp.asarray(0, jnp.int32)
        return dataclasses.replace(state, flow=self.flow.restarted(state.flow), looks=anew)

    def not_finite(
        self, problem: Problem, step: int, term: str, checkpoint: str | None
    ) -> FloatingPointError:
        if term not in ("mean mismatch", "weight"):
            return self.flow.not_finite(problem, step, term, checkpoint)
        advice = "paths leave the finite: follow them by more steps, `GameCost(method)`, `method`"
        return NonFiniteError(step, term, checkpoint, advice=advice, owner=self.owner)

    def measured(self, problem: Problem, state: AugmentedState) -> tuple[AugmentedState, Measures]:
        flow, found = self.flow.measured(problem, state.flow)
        terms = dict(found.terms) | {"mismatch": float(state.mean), "weight": float(state.weight)}
        errors = dict(found.errors) | {"mismatch": float(state.error)}
        found = found._replace(terms=terms, errors=errors)
        return dataclasses.replace(state, flow=flow), found

    def ended(self, problem: Problem, state: AugmentedState) -> Ended:
        """The mismatch of the particles at the end, with its error, tolerance and weight."""
        divergence = self._divergence(self._goal(problem))
        game, model = problem.started("Augmented"), self.solution(problem, state)
        found = _mismatches(self, game, divergence, model, jax.random.key(0))
        error = jnp.std(found, ddof=1) / _TRIALS**0.5
        mismatch, tolerance, weight = map(float, (jnp.mean(found), state.tolerance, state.weight))
        return Ended(mismatch, float(error), tolerance, weight, name_of(divergence))

    def _looked(self, problem: Problem, state: AugmentedState, key: Key) -> AugmentedState:
        divergence = self._divergence(self._goal(problem))
        model = self.solution(problem, state)
        found = self.mismatch(problem.started("Augmented"), divergence, model, key)
        found, looks = found.astype(state.mean.dtype), state.looks + 1
        share = 1 / jnp.minimum(looks, _MEMORY)
        means = {
            "mean": state.mean + share * (found - state.mean),
            "square": state.square + share * (found**2 - state.square),
        }
        state = dataclasses.replace(state, looks=looks, **means)
        excess = jnp.clip((state.mean - state.error) / state.tolerance - 1, 0.0, 1.0)
        return dataclasses.replace(state, weight=state.weight * jnp.exp(self.growth * excess))

    def mismatch(
        self, game: MFG, divergence: AbstractFunctional, model: AbstractModel, key: Key
    ) -> Scalar:
        """The divergence of particles that have arrived and as many points of the end."""
        start_key, path_key, goal_key = jax.random.split(key, 3)
        starts = initial_density("Augmented", game).sample(self.particles, key=start_key)
        method = default_method(game, self.method)
        paths = trajectories(game, model, starts, key=path_key, method=method)
        goal = divergence.goal
        assert goal is not None
        return unbiased(divergence, paths.points[-1], goal.sample(self.particles, key=goal_key))

    def _by_chance(self, goal: AbstractDensity, key: Key) -> Scalar:
        """The mean divergence of two samples of the end, the bias left in."""
        divergence = self._divergence(goal)

        def one(key: Key) -> Scalar:
            both = goal.sample(2 * self.particles, key=key)
            first, second = jnp.split(both, 2)
            return aimed(divergence, Empirical(second)).value(Empirical(first))

        return jnp.mean(jax.lax.map(one, jax.random.split(key, _TRIALS)))

    def _goal(self, problem: Problem) -> AbstractDensity:
        """The end that is prescribed.

        Raises:
            ValueError, TypeError: if there is none, or several.
        """
        game = problem.started("Augmented")
        _, goals = game.terminal.separated()
        if len(goals) != 1:
            raise ValueError(
                f"`Augmented` got the terminal cost `{name_of(game.terminal)}` with {len(goals)} "
                "prescribed ends, expected one: declare `terminal=Prescribed(law)`, or train a "
                "finite cost by `Gradient(model, GameCost())`."
            )
        try:
            jax.eval_shape(lambda: goals[0].sample(2, key=jax.random.key(0)))
        except TypeError:
            raise TypeError(
                f"`Augmented` got the prescribed end `{type(goals[0]).__name__}`, which cannot be "
                "sampled, expected samples or a law that can: pass `Prescribed(Empirical(points))`,"
                " or declare `weight * KL(law)` and train by `GameCost()`."
            ) from None
        return goals[0]

    def _divergence(self, goal: AbstractDensity) -> AbstractFunctional:
        if self.divergence is not None:
            return aimed(self.divergence, goal)
        spread = jnp.sqrt(jnp.trace(goal.moments()[1]))
        return spread * MMD(goal, DistanceKernel())

    def _priced(self, problem: Problem, weight: Scalar, goal: AbstractDensity) -> Problem:
        """The problem with the weighted divergence in the place of the end."""
        game = problem.started("Augmented")
        cost, _ = game.terminal.separated()
        price = weight * self._divergence(goal)
        terminal = price if cost.vanishes else Sum((cost, price))
        priced = eqx.tree_at(lambda game: game.terminal, game, terminal)
        return dataclasses.replace(problem, game=priced)


@eqx.filter_jit
def _mismatches(
    trainer: Augmented,
    game: MFG,
    divergence: AbstractFunctional,
    model: AbstractModel,
    key: Key,
) -> Float[Array, "trials"]:
    told = lambda key: trainer.mismatch(game, divergence, model, key)
    return jax.lax.map(told, jax.random.split(key, _TRIALS))
