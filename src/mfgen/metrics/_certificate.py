"""A certificate: how well a candidate solves its game, in numbers that do not depend on the solver.

| check | zero if | what it sees |
|---|---|---|
| HJB | -dt U + r U + H - (sigma^2/2) lap U = dI/drho | a wrong U, sigma, cost; a time term in U |
| HJB, up to a function of time | the same less its mean over rho(t) | a wrong gradient of U |
| Fokker-Planck, strong, weak | rho is the law of v* at grad U | a wrong drift, sigma, rho |
| initial | rho(0) is the game's | a path that starts elsewhere |
| terminal, up to a constant | U(T) = dM/drho + c, or rho(T) = pi | a wrong end |
| mass | rho(t) integrates to one | |
| exploitability | no particle gains by deviating | what the above cost: estimate, bound |

For a potential game with convex I and M there are lower bounds of the least cost, so that J less
such a bound is at least what the candidate loses. Names say what a number is:

    exploitability, at most   dual value, at least   gap, at most     bounds; they need a `box`
    exploitability            dual value             gap              exact; they need `best`
    exploitability, estimated, ...                                    estimates; they bound nothing

See `mfgen.metrics._duality`. J itself is the cost of the candidate's U under its rho: it is what
its control costs, and not below the least cost, if rho is the law of that control (the defect is
zero). Where I or M is not convex no dual value is given, and the exploitability measures the
distance to an equilibrium. The last column says what each number rests on, and what its error
holds.

Each check is also stated as a fraction, of the size of the terms that should cancel; the verdict
compares fractions, less two standard errors, with one tolerance. What cannot be computed is listed
with the reason, not passed over. So is the end of a flow from samples whose cost asks for log rho:
with a kernel estimate of it the exact solution fails as well; and what is known to twenty
tolerances only decides nothing. A control that has no value function U is judged by what one
particle gains against it, in the place of the HJB equation.

Reference: B. J. Zhang, M. A. Katsoulakis (2023), arXiv 2304.13534, section 2.
"""

import math
from typing import Any

import equinox as eqx

from mfgen._types import Key
from mfgen.math._quadrature import gauss_legendre
from mfgen.metrics import _audit, _duality
from mfgen.metrics._check_table import Check, CheckTable, found, percent, plain_profiles, text
from mfgen.metrics._domain import Box, check_solutions, cover, places
from mfgen.metrics._estimate import Estimate, Profile
from mfgen.models._base import AbstractPotential
from mfgen.simulate._solution import Solution

_FREE = (
    " U is right up to a function of time, which moves no particle: `mg.solution(game, model, "
    "key=key)` ties it."
)
_NO_VALUE = "No particle gains by another control than this one, and the density follows it,"


class Certificate(eqx.Module):
    """The certificate of a candidate: residuals, bounds and a verdict.

    Attributes:
        solution: the candidate.
        checks: by name; those with a fraction make the verdict.
        missing: why a check was not made, by name.
        profiles: root mean squares along the game, by the name of the check.
        tolerance: the largest fraction that passes.
    """

    solution: Solution
    checks: dict[str, Check]
    missing: dict[str, str]
    profiles: dict[str, Profile]
    tolerance: float = eqx.field(static=True)

    def __getitem__(self, name: str) -> Estimate:
        """The number of a check, or its estimate where there is nothing better.

        Raises:
            KeyError: with the reason if it was not made.
        """
        estimated = f"{name}, estimated"
        known = estimated if name not in self.checks and estimated in self.checks else name
        return found("Certificate", known, self.checks, self.missing)

    @property
    def failures(self) -> list[str]:
        """The checks that miss the tolerance, the worst first."""
        missed = [name for name, check in self.checks.items() if check.misses(self.tolerance)]
        return sorted(missed, key=self._fraction, reverse=True)

    @property
    def holds(self) -> bool:
        """Whether both equations were checked (of a control, its gain), and every check passes."""
        return not self.failures and not self._undecided()

    @property
    def verdict(self) -> str:
        """The certificate in a sentence."""
        if self.failures:
            said = ", ".join(f"{name} {self._left(name)}" for name in self.failures)
            said = f"Not a solution within {percent(self.tolerance)}; left over: {said}."
            free = "HJB" in self.failures and _audit.UP_TO_TIME not in self.failures
            return f"{said}{_FREE}" if free else said
        if self._undecided():
            why = "; ".join(f"{name}: {reason}" for name, reason in self._undecided().items())
            return f"Not decided: what could be checked holds, but {why}"
        judged = [name for name, check in self.checks.items() if check.fraction is not None]
        worst = max(judged, key=self._fraction)
        holds = "The equations hold" if "HJB" in self.checks else _NO_VALUE
        return (
            f"{holds} within {percent(self.tolerance)}: the largest of "
            f"{len(judged)} parts left over is that of {worst}, {percent(self._fraction(worst))}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and sentences, for JSON."""
        return {
            "holds": self.holds,
            "verdict": self.verdict,
            "tolerance": self.tolerance,
            "checks": {name: check.to_dict() for name, check in self.checks.items()},
            "missing": dict(self.missing),
            "profiles": plain_profiles(self.profiles),
        }

    def __str__(self) -> str:
        return text("value", "part", self.checks, self.missing, self.verdict)

    def _left(self, name: str) -> str:
        """The fraction in words: a Newton step tells nothing of a gain beyond the cost itself."""
        fraction = self._fraction(name)
        return "over 100 %" if name.endswith("estimated") and fraction > 1 else percent(fraction)

    def _fraction(self, name: str) -> float:
        fraction = self.checks[name].fraction
        return -math.inf if fraction is None else float(fraction.value)

    def _undecided(self) -> dict[str, str]:
        """Checks that are missing or too uncertain, with the reason.

        A control has no HJB equation of its own.
        """
        sides = [("HJB",), ("Fokker-Planck, weak", "Fokker-Planck, strong")]
        if not isinstance(self.solution.model, AbstractPotential):
            sides[0] = ("exploitability", "exploitability, estimated")
        unseen = [side[0] for side in sides if not any(name in self.checks for name in side)]
        if _audit.END in self.missing:
            unseen.append(_audit.END)
        blurred = {
            name: f"known to ± {percent(2 * float(check.fraction.standard_error))} only, as its "
            "crowd is a sample; `mg.solution(game, model, key=key, particles=n)` with more "
            "particles tells more"
            for name, check in self.checks.items()
            if check.fraction is not None and check.blurs(self.tolerance)
        }
        return {name: self.missing[name] for name in unseen} | blurred


def certify(
    solution: Solution,
    *,
    key: Key | None = None,
    times: int = 8,
    points: int = 512,
    steps: int = 16,
    box: Box | None = None,
    best: AbstractPotential | None = None,
    tolerance: float = 0.01,
) -> Certificate:
    """Measures how well a candidate solves its game.

    Arguments:
        solution: the candidate, of any solver.
        key: for samples and test functions; the same key gives the same certificate.
        times: nodes in time.
        points: samples at each of them.
        steps: steps of the paths from which the exploitability is estimated.
        box: one interval (low, high) for each axis: the domain of the suprema in the bounds, and of
            the mass, in one and two dimensions; the places of the HJB check without a density.
            Without it there are no bounds. The game's domain if absent, where that has ends.
        best: the exact value function of one particle against the frozen population, if known:
            then the exploitability is not estimated, and the dual value is a lower bound.
        tolerance: the largest fraction that passes.

    Raises:
        ValueError: times or points too few, or a box of the wrong shape.

    Example:

        parabola = Linear(lambda x: 0.5 * x @ x)
        game = MFG(Integrator(0.5), Kinetic(), parabola, initial=Gaussian([1.0], 0.2))
        found = certify(solve(game, Riccati()))
        print(found)
        found.holds
    """
    check_solutions("certify", key, solution=solution)
    if times < 2 or points < 8 or steps < 1:
        raise ValueError(
            f"`certify` got times = {times}, points = {points}, steps = {steps}, expected at least "
            "2, 8 and 1: leave them out for the defaults."
        )
    table = CheckTable(key)
    box = solution.game.domain.sides if box is None else box
    domain = None if box is None else cover(solution, box)
    rule = gauss_legendre(times, 0.0, solution.game.dynamics.horizon)
    drawn = places(solution.density, domain, points)
    _audit.equations(table, solution, drawn, rule)
    _audit.ends(table, solution, drawn)
    _audit.masses(table, solution, rule, domain)
    gains = _duality.Gains(max(2, points // 4), steps, best)
    _duality.costs(table, solution, rule, domain, gains)
    return Certificate(solution, table.checks, table.missing, table.profiles, tolerance)
