"""The costs in a certificate: what the candidate pays, and how much less could be paid.

| row | what it is |
|---|---|
| primal cost | J of the candidate's U and rho |
| defect | J's law is not that of v*: the Fokker-Planck equation tested against U |
| exploitability, dual value, gap | exact up to quadrature, where the best response is given |
| ..., estimated | by one Newton step: right to third order in the residuals, bounds nothing |
| exploitability, at most; dual value, at least; gap, at most | bounds, from suprema over a box |

Weak duality (`mfgen.derive._action`). Let I and M be convex in rho, let rho be any path of laws
with the right start, and U any function. Tangents of I and M at rho lie below them, and along any
law with any control E U(0) - int sup r - sup m is at most what it pays, r the HJB residual of U and
m its terminal mismatch (U less the suprema is a subsolution). Hence, with the constant C of the
tangents,

    least cost  >=  C + E U(0) - int sup r dt - sup m,                  the dual value, at least.

Neither rho nor U has to solve anything, but I and M have to be convex: where either is seen not to
be, or cannot be tried, there is no bound and the reason is told. Suprema are taken at the nodes of
a box, in one and two dimensions: the bound speaks of particles that stay in it. For U = P x^2/2 +
c(t) with P too large r rises like x^2, and the bound with the box; with P too small it does not.

The estimate replaces E U^(0), U^ the best response, by what one Newton step tells. Where residuals
are large it may be off by a half and more, to either side: too low for feedback that is too strong,
and then the estimated dual value lies above the least cost. It is cut at the bound, and at zero.

Errors: of quadrature none; of particles by `mfgen.metrics._blocks`; of the estimate that of its
paths. None contains the order that the Newton step leaves out.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from mfgen._types import Scalar
from mfgen.densities._base import AbstractDensity, expectation
from mfgen.derive import _action
from mfgen.derive._monotonicity import monotone, pairs
from mfgen.derive._verdict import Verdict
from mfgen.functionals._constraint import Prescribed
from mfgen.functionals._functional import Zero, needs_population
from mfgen.math._quadrature import Rule
from mfgen.metrics import _blocks
from mfgen.metrics._audit import KERNELS, end_by_kernels
from mfgen.metrics._check_table import QUADRATURE, CheckTable
from mfgen.metrics._estimate import Estimate
from mfgen.metrics._exploitability import exploitability
from mfgen.models._base import AbstractPotential
from mfgen.simulate._solution import Solution

_OUTSIDE = 1e-2  # of the particles may be outside the box of a bound
_PARTICLES = "error of the particles"
_NEWTON = "estimate, no bound: one Newton step; error of its paths"
_NAMED = ", estimated"
_BOUND = "bound, for particles in the box"
_GIVEN = "by the best response given"

Row = Float[np.ndarray, "k"]


class Gains(NamedTuple):
    """The method for the exploitability: by paths, or from the exact best response.

    Attributes:
        points: paths from each time.
        steps: of each path.
        best: the value function of the best response, if it is known.
    """

    points: int
    steps: int
    best: AbstractPotential | None


class _Figures(NamedTuple):
    # Numbers of a candidate, whose errors are known together.
    primal: float  # NaN for a game without potential
    cost: float
    start: float
    residual: float
    mismatch: float
    price: float
    best: float  # E U^(0), zero where it is not given


def _row(**factors: int) -> Row:
    return np.array([float(factors.get(name, 0)) for name in _Figures._fields])


# Sums of the figures, see `mfgen.derive._action`.
_PRIMAL = _row(primal=1)
_DEFECT = _row(cost=1, start=-1, residual=1, mismatch=1)
_APART = _DEFECT + _row(price=1)  # what a gap has besides the gain
_POLICY = _row(start=1, residual=-1, mismatch=-1, best=-1)  # a gain: less E U^(0)
_SPENT = _row(cost=1, best=-1)  # the same of a control without a value function
_MEANS = _row(residual=-1, mismatch=-1)  # a gain, at most: added to the suprema


class _Sheet(NamedTuple):
    # The figures and the covariance of their errors; `None` by quadrature.
    figures: _Figures
    covariance: Float[np.ndarray, "k k"] | None

    @property
    def basis(self) -> str:
        return QUADRATURE if self.covariance is None else _PARTICLES

    def total(self, factors: Row, more: float = 0.0, wide: float = 0.0) -> Estimate:
        """The sum of factors times figures, and `more`, whose own error is `wide`."""
        chosen = np.flatnonzero(factors)
        value = more + float(factors[chosen] @ np.asarray(self.figures)[chosen])
        if self.covariance is None:
            return Estimate(value, wide)
        among = self.covariance[np.ix_(chosen, chosen)]
        variance = float(factors[chosen] @ among @ factors[chosen])
        return Estimate(value, float(np.hypot(np.sqrt(np.maximum(variance, 0.0)), wide)))


class _Way(NamedTuple):
    # A way to know the gain: by factors of the figures and a number with an error of its own.
    below: str  # suffix of the dual value
    above: str  # of the gap and of the exploitability
    basis: str
    factors: Row
    more: float = 0.0
    wide: float = 0.0


def costs(
    table: CheckTable, solution: Solution, rule: Rule, domain: Rule | None, gains: Gains
) -> None:
    """Exploitability, primal cost, dual value and their gap: estimates and bounds."""
    times = len(rule.nodes)
    primal = table.tried("primal cost", lambda _: _action.cost(solution, times=times))
    each = lambda part: _figures(part, times, gains.best, primal is not None)
    sheet = table.tried("exploitability", lambda _: _sheet(solution, each))
    if sheet is None:
        return
    valued = isinstance(solution.model, AbstractPotential)
    ways, limit = [], np.inf
    if domain is not None:
        highest = table.tried(
            "exploitability, at most", lambda _: _highest(solution, domain, rule, times)
        )
        if highest is not None:
            ways.append(_Way(", at least", ", at most", _BOUND, _MEANS, highest))
            limit = max(float(sheet.total(_MEANS, highest).value), 0.0)
    if gains.best is not None:
        ways.append(_Way("", "", _GIVEN, _POLICY if valued else _SPENT))
    else:
        gain = _newton(table, solution, times, gains, limit)
        if gain is not None:
            value, error = float(gain.value), float(gain.standard_error)
            ways.append(_Way(_NAMED, _NAMED, _NEWTON, 0 * _POLICY, value, error))
    size = max(abs(sheet.figures.cost), _spread(solution) if valued else 0.0)
    estimated = end_by_kernels(solution)
    for way in ways:
        gain = sheet.total(way.factors, way.more, way.wide)
        scale = None if way.basis == _BOUND or estimated else size
        basis = f"{way.basis}; {KERNELS}" if estimated else way.basis
        table.add("exploitability" + way.above, gain, "cost", scale, basis=basis)
    if valued:
        table.add("defect", sheet.total(_DEFECT), "cost", basis=sheet.basis)
    if primal is not None:
        table.add("primal cost", sheet.total(_PRIMAL), "cost", basis=sheet.basis)
        _enclose(table, solution, sheet, ways, _APART if valued else 0 * _APART)


def _enclose(
    table: CheckTable, solution: Solution, sheet: _Sheet, ways: list[_Way], apart: Row
) -> None:
    """Dual values and gaps, or why there are none."""
    unbounded = _unbounded(solution) if ways else None
    for way in ways:
        gap, names = apart + way.factors, ("dual value" + way.below, "gap" + way.above)
        if unbounded is not None:
            table.missing.update(dict.fromkeys(names, unbounded))
            continue
        dual = sheet.total(_PRIMAL - gap, -way.more, way.wide)
        for name, found in zip(names, (dual, sheet.total(gap, way.more, way.wide)), strict=True):
            table.add(name, found, "cost", basis=way.basis)


def _sheet(solution: Solution, each: Callable[[Solution], _Figures]) -> _Sheet:
    found = each(solution)  # refuses a solution without density
    rows = _blocks.of_blocks(solution, each)
    return _Sheet(found, None if rows is None else _blocks.covariance(rows))


def _figures(
    solution: Solution, times: int, best: AbstractPotential | None, potential: bool
) -> _Figures:
    primal = _action.cost(solution, times=times).total if potential else np.nan
    if isinstance(solution.model, AbstractPotential):
        found = _action.frozen(solution, times=times)
    else:
        found = (_action.frozen_cost(solution, times=times), *[np.nan] * 3, 0.0)
    start = 0.0 if best is None else _start(_action.path("certify", solution)(0.0), best)[0]
    return _Figures(*map(float, (primal, *found, start)))


def _newton(
    table: CheckTable, solution: Solution, times: int, gains: Gains, limit: float
) -> Estimate | None:
    found = table.tried(
        "exploitability",
        lambda key: exploitability(
            solution, times=times, points=gains.points, steps=gains.steps, key=key
        ),
    )
    if found is None:
        return None
    gain, table.profiles["exploitability"] = found
    value = float(gain.value)
    # Not a number stays so; what is cut lies in the same interval as the truth.
    return Estimate(value if np.isnan(value) else float(np.clip(value, 0.0, limit)), gain[1])


def _highest(solution: Solution, domain: Rule, rule: Rule, times: int) -> float:
    """int sup r dt + sup m over the nodes of a box that holds the particles.

    Raises:
        ValueError: a box of more than two dimensions, or one that leaves out part of them.
    """
    density = _action.path("certify", solution)
    nodes = np.asarray(domain.nodes)
    if nodes.shape[1] > 2:
        raise ValueError(f"random points in a box of {nodes.shape[1]} dimensions bound no supremum")
    low, high = nodes.min(axis=0), nodes.max(axis=0)
    for t in (0.0, *rule.nodes.tolist(), solution.game.dynamics.horizon):
        points, weights = (np.asarray(part) for part in density(t).particles())
        outside = float(weights @ ((points < low) | (points > high)).any(axis=1))
        if outside > _OUTSIDE:
            raise ValueError(
                f"{100 * outside:.2g} % of the particles are outside the box at t = {t:.3g}, so "
                "that suprema over it bound nothing: pass a larger `box`"
            )
    points = jnp.asarray(nodes, jnp.result_type(float))
    return float(_action.suprema(solution, points, times=times))


def _unbounded(solution: Solution) -> str | None:
    """The reason why the dual value is no lower bound, or `None`: I and M must be convex."""
    game, law = solution.game, _action.path("certify", solution)(0.0)
    point = law.moments()[0]
    costs = {"I": game.interaction, "M": game.terminal}
    curved = {
        name: cost
        for name, cost in costs.items()
        if not isinstance(cost, Zero | Prescribed) and needs_population(cost, point)
    }
    if not curved:
        return None
    with jax.enable_x64(True):
        at = pairs(law, law.dim, jax.random.key(0))
        for name, cost in curved.items():
            item = monotone(name, cost, at)
            if item.status is not Verdict.HOLDS:
                return f"{name} is not known to be convex in rho: {item.evidence}"
    return None


def _spread(solution: Solution) -> float:
    """The standard deviation of U(0): a size of cost that adding a constant does not change."""
    return float(_start(_action.path("certify", solution)(0.0), solution.value)[1])


@eqx.filter_jit
def _start(law: AbstractDensity, u: AbstractPotential) -> tuple[Scalar, Scalar]:
    """Mean and standard deviation of U(0)."""
    mean = expectation(law, lambda x: u(0.0, x))
    return mean, jnp.sqrt(expectation(law, lambda x: jnp.square(u(0.0, x) - mean)))
