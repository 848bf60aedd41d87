"""The cost of a candidate solution, and its distance from the least possible cost.

A candidate is a value function U, the control v* it implies, and a density path rho. Its cost is

    J = int E_rho L(t, X, v*) dt + int I(rho(t)) dt + M(rho(T)).

Freeze the couplings f = dI/drho(rho(t)), g = dM/drho(rho(T)) and let one particle optimise alone.
It pays E[ int (L + f) dt + g(X_T) ], at least E U^(0, X_0) with U^ the value function of that
control problem. With the constant C = int (I - E_rho f) dt + M - E_rho(T) g,

    J = C + (frozen cost under rho),         D = C + E_rho_0 U^(0, X).

If I and M are convex, every admissible pair costs at least D (tangents lie below), so J - D bounds
the distance to the optimum from above. In any game the difference, what v* pays minus E U^(0), is
what one particle gains by deviating: the exploitability, zero at an equilibrium and only there.

U^ need not be known. Let r be the HJB residual of U with the frozen couplings, and m = U(T) - g,

    r = -dt U + H(t, x, grad U) - (sigma^2/2) lap U - f.

By Ito's formula, for the law of ANY control v that starts from rho_0,

    E[ int (L + f) dt + g(X_T) ] = E U(0, X_0) + E int B_v dt - E int r dt - E m(X_T),
    B_v = L(t, x, v) + p.(a + g v) + H(t, x, p) >= 0,     = 0 at v = v*.

1. At v = v* this is the cost of the policy: `policy` = E U(0) - E int r dt - E m. Computed with the
   expectations of rho it differs from the frozen cost under rho by the `defect`, which is the
   Fokker-Planck equation tested against U itself: zero if rho is the law that v* generates.
2. With B_v >= 0,  E U^(0) >= E U(0) - int sup r dt - sup m, so

       exploitability <= int sup r dt + sup m - E int r dt - E m          (`exploitability_bound`).

   With U less these suprema in place of U^, D is a lower bound whatever U and rho are.

3. The same formula for U^ in place of U gives the exploitability itself, with q = grad U^ - grad U,

       E_rho int [ H(t, x, p + q) - H(t, x, p) + q.(a + g v*) ] dt,

   which is of second order in q: expectations of r and m alone cannot see it. An estimate is
   `mfgen.metrics._exploitability`.

If the end is prescribed, rho(T) = pi, the price g is the multiplier of that constraint, which a
candidate gives by its own U(T); then m = 0, and D lies lower by E_pi g - E_rho(T) g, the `price` of
a density that misses pi.

With a discount d everything that is paid at time t counts e^{-d t}, and U is the current value: all
integrals over time above, of L, I, f, B_v and r, have that weight, all that stands at the end, M, g
and m, the weight e^{-d T}, and r has the term d U. E U(0) stays as it is, for U(0) is the present
value. The rules in time are those of Gauss for the weight (`gauss_exponential`).

Policy, defect, exploitability and bound do not change if a function of time is added to U.

References:
    J.-M. Lasry, P.-L. Lions, "Mean field games" (2007), for the convex structure.
    J.-D. Benamou, G. Carlier, F. Santambrogio, "Variational mean field games" (2017), for duality.
    B. J. Zhang, M. A. Katsoulakis (2023), arXiv 2304.13534, for the game.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen._types import Batch, Control, Scalar, State, Time
from mfgen.densities._base import AbstractDensity
from mfgen.derive._residual import hjb, terminal
from mfgen.functionals._constraint import Prescribed
from mfgen.games._game import MFG
from mfgen.math._quadrature import Rule, gauss_exponential

# Points at once: second derivatives hold dim directions of every layer.
_CHUNK = 256


@runtime_checkable
class Controlled(Protocol):
    """A control v(t, x) in a game, with its value function U if it has one."""

    def control(self, game: MFG, t: Time, x: State) -> Control: ...

    def valued(self) -> Callable[[Time, State], Scalar]: ...


@runtime_checkable
class CandidateSolution(Protocol):
    """A candidate solution: a game, its control, and a density path t -> rho(t)."""

    @property
    def game(self) -> MFG: ...

    @property
    def model(self) -> Controlled: ...

    @property
    def density(self) -> Callable[[Time], AbstractDensity] | None: ...


class Action(NamedTuple):
    """The cost of a candidate, by its parts.

    Attributes:
        running: int E_rho L(t, X, v*) dt.
        interaction: int I(rho(t)) dt.
        terminal: M(rho(T)); each part is discounted to time 0, if the game has a discount.
    """

    running: Scalar
    interaction: Scalar
    terminal: Scalar

    @property
    def total(self) -> Scalar:
        return self.running + self.interaction + self.terminal


class Frozen(NamedTuple):
    """A single particle against the frozen population.

    Attributes:
        cost: E_rho int (L + f) dt + E_rho(T) g, by the candidate's density.
        start: E_rho_0 U(0, X).
        residual: int E_rho r dt, the mean HJB residual.
        mismatch: E_rho(T) m, the mean of U(T, x) - g(x).
        price: E_pi g - E_rho(T) g if the end is prescribed to be pi, else zero.
    """

    cost: Scalar
    start: Scalar
    residual: Scalar
    mismatch: Scalar
    price: Scalar

    @property
    def policy(self) -> Scalar:
        """The cost of the policy v* by Ito's formula: start - residual - mismatch."""
        return self.start - self.residual - self.mismatch

    @property
    def defect(self) -> Scalar:
        """cost - policy, zero if rho is the law that v* generates; in units of cost."""
        return self.cost - self.policy


def cost(solution: CandidateSolution, *, times: int = 16) -> Action:
    """The cost J of a candidate: running, interaction and terminal part.

    Arguments:
        solution: game, value and density, such as a `Solution`.
        times: nodes of the Gauss rule in time; in space the density's `particles()`.

    Raises:
        TypeError: no density; or a functional of the game that this density has no value of.
    """
    game, rho = solution.game, path("cost", solution)
    running, interaction = jnp.asarray(0.0), jnp.asarray(0.0)
    rule, last = times_of(game, times)
    for t, weight in zip(rule.nodes.tolist(), rule.weights.tolist(), strict=True):
        law = rho(t)
        running += weight * _mean(_running, game, solution.model, law, t)
        interaction += weight * _value(game.interaction, law)
    return Action(running, interaction, last * _value(game.terminal, rho(game.dynamics.horizon)))


def frozen(solution: CandidateSolution, *, times: int = 16) -> Frozen:
    """The cost of one particle that plays v* against the frozen population, in two ways.

    Arguments, errors: as for `cost`; games without values of I and M (no potential) are welcome,
    controls without a value function are not.
    """
    game, u, rho = solution.game, solution.model.valued(), path("frozen", solution)
    horizon = game.dynamics.horizon
    last = rho(horizon)
    rule, end = times_of(game, times)
    total, residual = end * _mean(_final, game, u, last, horizon), jnp.asarray(0.0)
    price = jnp.zeros_like(total)
    if isinstance(game.terminal, Prescribed):
        price = end * _mean(_final, game, u, game.terminal.target, horizon) - total
    for t, weight in zip(rule.nodes.tolist(), rule.weights.tolist(), strict=True):
        law = rho(t)
        paid, missed = _mean(_frozen_rate, game, u, law, t)
        total, residual = total + weight * paid, residual + weight * missed
    start = _mean(_start, game, u, rho(0.0), 0.0)
    return Frozen(total, start, residual, end * _mean(_mismatch, game, u, last, horizon), price)


def frozen_cost(solution: CandidateSolution, *, times: int = 16) -> Scalar:
    """The first number of `frozen`, E_rho int (L + f) dt + E_rho(T) g, for any control.

    Arguments, errors: as for `cost`; a prescribed end has no price without a value function.
    """
    game, model, rho = solution.game, solution.model, path("frozen_cost", solution)
    rule, end = times_of(game, times)
    total = end * _mean(_price, game, model, rho(game.dynamics.horizon), game.dynamics.horizon)
    for t, weight in zip(rule.nodes.tolist(), rule.weights.tolist(), strict=True):
        total += weight * _mean(_paid_rate, game, model, rho(t), t)
    return total


def exploitability_bound(solution: CandidateSolution, points: Batch, *, times: int = 16) -> Scalar:
    """int sup r dt + sup m - E int r dt - E m, suprema over the given points.

    It bounds the exploitability as far as the points stand for all places a particle may visit.

    Arguments:
        solution, times: as for `cost`.
        points: a cover of the domain, such as the nodes of a lattice, `[n, dim]`.
    """
    highest = suprema(solution, points, times=times)
    means = frozen(solution, times=times)
    return highest - means.residual - means.mismatch


def suprema(solution: CandidateSolution, points: Batch, *, times: int = 16) -> Scalar:
    """int sup r dt + sup m over the given points; U less these is a subsolution there.

    Arguments, errors: as for `exploitability_bound`.
    """
    game, u, rho = solution.game, solution.model.valued(), path("exploitability_bound", solution)
    horizon = game.dynamics.horizon
    rule, end = times_of(game, times)
    highest = end * jnp.max(_at(_mismatch, game, u, rho(horizon), horizon, points))
    for t, weight in zip(rule.nodes.tolist(), rule.weights.tolist(), strict=True):
        highest += weight * jnp.max(_at(_residual, game, u, rho(t), t, points))
    return highest


def dual(action: Action, population: Frozen, exploitability: Scalar | float) -> Scalar:
    """D = J - price - defect - exploitability.

    It is a lower bound of the cost if I and M are convex and the exploitability is exact, or a
    bound from above; with an estimate of it, D is an estimate and may lie above the least cost.

    Arguments:
        action: the parts of J.
        population: the frozen cost of the same candidate.
        exploitability: policy - E U^(0): exact, a bound (`exploitability_bound`), or estimated.
    """
    return action.total - population.price - population.defect - exploitability


def final_mismatch(game: MFG, u: Callable, law: AbstractDensity | None, x: State) -> Scalar:
    """U(T, x) - g(x), zero where the end is prescribed and U(T) itself is the price g.

    Arguments:
        game, u: the game and the value function.
        law: the density at the end.
        x: a point of shape `[dim]`.
    """
    if isinstance(game.terminal, Prescribed):
        return jnp.zeros((), x.dtype)
    return terminal(game, u, None if law is None else lambda _: law, x)


def times_of(game: MFG, count: int) -> tuple[Rule, float]:
    """The rule of a game in time, and what a cost at its end counts: 1 without a discount."""
    horizon = game.dynamics.horizon
    return gauss_exponential(count, horizon, game.discount), math.exp(-game.discount * horizon)


def path(owner: str, solution: CandidateSolution) -> Callable[[Time], AbstractDensity]:
    """The density path of a candidate, or a `TypeError` in the name of `owner`."""
    if solution.density is None:
        raise TypeError(
            f"`{owner}` got a solution without density, expected a path t -> rho(t): simulate the "
            "particles of its control, or solve by a method that keeps the density."
        )
    return solution.density


def _running(game, u, law, t, x):
    return game.lagrangian(t, x, u.control(game, t, x))


def _residual(game, u, law, t, x):
    return hjb(game, u, lambda _: law, t, x)


def _paid_rate(game, model, law, t, x):
    return _running(game, model, law, t, x) + game.interaction.variation(law, x)


def _frozen_rate(game, u, law, t, x):
    return _paid_rate(game, u, law, t, x), _residual(game, u, law, t, x)


def _price(game, model, law, t, x):
    return game.terminal.variation(law, x)


def _final(game, u, law, t, x):
    if isinstance(game.terminal, Prescribed):
        return u(t, x)
    return game.terminal.variation(law, x)


def _mismatch(game, u, law, t, x):
    return final_mismatch(game, u, law, x)


def _start(game, u, law, t, x):
    return u(t, x)


def _mean(f: Callable, game: MFG, u, law: AbstractDensity, t: float):
    points, weights = law.particles()
    values = _at(f, game, u, law, t, points)
    return jax.tree.map(lambda value: jnp.vdot(weights, value), values)


@eqx.filter_jit
def _compiled(f: Callable, game: MFG, u, law: AbstractDensity, t: Array, points: Batch):
    single = lambda x: f(game, u, law, t, x)
    return jax.lax.map(single, points, batch_size=min(_CHUNK, points.shape[0]))


def _at(f: Callable, game: MFG, u, law: AbstractDensity, t: float, points: Batch):
    time: Float[Array, ""] = jnp.asarray(t, points.dtype)
    return _compiled(f, game, u, law, time, points)


@eqx.filter_jit
def _value(functional, law: AbstractDensity) -> Scalar:
    return functional.value(law)
