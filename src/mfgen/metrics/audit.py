"""The checks of a certificate, one group after the other.

Each writes its numbers into the ledger with their units and the scale that makes them fractions,
or the reason why there is none. The theory is in `mfgen.metrics.certificate`.
"""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp

from mfgen._types import Key, Scalar
from mfgen.density.base import AbstractDensity, expectation
from mfgen.derive import action
from mfgen.math.quadrature import Rule
from mfgen.metrics.domain import mass
from mfgen.metrics.estimate import Estimate
from mfgen.metrics.exploitability import exploitability
from mfgen.metrics.ledger import Ledger
from mfgen.metrics.strong import (
    Places,
    fokker_planck_residual,
    hjb_residual,
    terminal_mismatch,
)
from mfgen.metrics.weak import law_mismatch, weak_residual
from mfgen.models.base import AbstractPotential
from mfgen.problem.constraint import Prescribed
from mfgen.solvers.base import Solution


class Gains(NamedTuple):
    """How the exploitability is found: by paths, or from the exact best response.

    Attributes:
        points: paths from each time.
        steps: of each path.
        best: the value function of the best response, if it is known.
    """

    points: int
    steps: int
    best: AbstractPotential | None


def equations(ledger: Ledger, solution: Solution, places: Places, rule: Rule) -> None:
    """HJB and Fokker-Planck equation, point by point and in the mean."""
    density = lambda: action.path("certify", solution)
    found = {
        "HJB": lambda key: hjb_residual(solution, rule, places, key=key),
        "Fokker-Planck, strong": lambda key: fokker_planck_residual(
            solution, density(), rule, places, key=key
        ),
        "Fokker-Planck, weak": lambda key: weak_residual(solution, density(), key=key),
    }
    units = ("cost per time", "per time", "probability")
    for (name, compute), unit in zip(found.items(), units, strict=True):
        residual = ledger.tried(name, compute)
        if residual is not None:
            ledger.add(name, residual.overall, unit, residual.scale)
            ledger.profiles[name] = residual.profile


def ends(ledger: Ledger, solution: Solution, places: Places) -> None:
    """The density at the start, and what holds at the end."""
    game = solution.game
    if game.initial is None:
        ledger.missing["initial"] = "the game declares no initial density"
    else:
        _law(ledger, solution, "initial", 0.0, game.initial)
    if isinstance(game.terminal, Prescribed):
        _law(ledger, solution, "terminal", game.dynamics.horizon, game.terminal.target)
        return
    found = ledger.tried("terminal", lambda key: terminal_mismatch(solution, places, key=key))
    if found is not None:
        ledger.add("terminal", found.overall, "cost")
        ledger.add("terminal, up to a constant", found.spread, "cost", found.scale)


def _law(
    ledger: Ledger, solution: Solution, name: str, t: float, prescribed: AbstractDensity
) -> None:
    def missed(key: Key) -> Estimate:
        return law_mismatch(action.path("certify", solution)(t), prescribed, key=key)

    found = ledger.tried(name, missed)
    if found is not None:
        ledger.add(name, found, "probability", 1.0)


def masses(ledger: Ledger, solution: Solution, rule: Rule, domain: Rule | None) -> None:
    """The mass furthest from one over the game."""

    def defect(_: Key) -> Estimate:
        density = action.path("certify", solution)
        found = [mass(density(t), domain) - 1 for t in rule.nodes.tolist()]
        return Estimate(max(found, key=abs), 0.0)

    found = ledger.tried("mass - 1", defect)
    if found is not None:
        ledger.add("mass - 1", found, "probability", 1.0)


def costs(
    ledger: Ledger, solution: Solution, rule: Rule, domain: Rule | None, gains: Gains
) -> None:
    """Exploitability and its bound, primal cost, dual value and their gap."""
    times = len(rule.nodes)
    population = ledger.tried("exploitability", lambda _: action.frozen(solution, times=times))
    gain = None
    if population is not None:
        ledger.add("defect", _exact(population.defect), "cost")
        gain = _gain(ledger, solution, population, times, gains)
    if population is not None and gain is not None:
        size = max(abs(float(population.cost)), _spread(solution))
        ledger.add("exploitability", gain, "cost", size)
    if gain is not None and domain is not None:
        points = jnp.asarray(domain.nodes, jnp.result_type(float))
        bound = action.exploitability_bound(solution, points, times=times)
        ledger.add("exploitability, at most", _exact(bound), "cost")
    primal = ledger.tried("primal cost", lambda _: action.cost(solution, times=times))
    if primal is not None:
        ledger.add("primal cost", _exact(primal.total), "cost")
    if primal is not None and population is not None and gain is not None:
        dual = action.dual(primal, population, gain.value)
        ledger.add("dual value", Estimate(dual, gain.standard_error), "cost")
        ledger.add("gap", Estimate(primal.total - dual, gain.standard_error), "cost")


def _exact(number: Scalar) -> Estimate:
    return Estimate(number, 0.0)


def _gain(
    ledger: Ledger, solution: Solution, population: action.Frozen, times: int, gains: Gains
) -> Estimate | None:
    if gains.best is not None:
        return _exact(population.policy - _mean_start(solution, gains.best))
    found = ledger.tried(
        "exploitability",
        lambda key: exploitability(
            solution, times=times, points=gains.points, steps=gains.steps, key=key
        ),
    )
    if found is None:
        return None
    ledger.profiles["exploitability"] = found[1]
    return found[0]


@eqx.filter_jit
def _mean_start(solution: Solution, u: AbstractPotential) -> Scalar:
    return expectation(action.path("certify", solution)(0.0), lambda x: u(0.0, x))


def _spread(solution: Solution) -> float:
    """The standard deviation of U(0): a size of cost that adding a constant does not change."""
    return float(_start_deviation(solution, _mean_start(solution, solution.value)))


@eqx.filter_jit
def _start_deviation(solution: Solution, mean: Scalar) -> Scalar:
    centred = lambda x: jnp.square(solution.value(0.0, x) - mean)
    return jnp.sqrt(expectation(action.path("certify", solution)(0.0), centred))
