"""The comparison of two solutions of one game: solver against solver, or against a formula.

With rho the density of the second solution, the reference, and || f ||^2 = (1/T) int E_rho f^2 dt,

| row | difference | relative to |
|---|---|---|
| value, up to a constant | || U_a - U_b - c ||, c = mean of U_a - U_b | spread of U_b |
| gradient | || grad U_a - grad U_b || | || grad U_b || |
| control | || v_a - v_b || | || v_b || |
| total variation | (1/2) int abs(rho_a - rho_b) dx, the largest over the times | 1 |
| density, L2 | the L2 distance at the time where it is largest | norm of rho_b there |
| W2, moments | of samples, and of Gaussians with the same moments; the largest | spread of rho_b |
| cost | J_a - J_b | J_b |

A value function is determined up to a constant where the end of the game is prescribed, and adding
one never changes a control; the constant is reported apart. W2 is exact on a line. Elsewhere it is
between samples drawn with the same key: zero for equal laws, and otherwise above W2 of the laws, as
the distance of moments is below it. That a time was chosen where a difference is largest is in no
error. The verdict counts differences less two standard errors; the last column says what an error
holds, or why there is none.

Reference: B. J. Zhang, M. A. Katsoulakis (2023), arXiv 2304.13534, section 2.
"""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mfgen._types import Key, Time
from mfgen.densities._base import AbstractDensity, AbstractEvaluable
from mfgen.derive import _action
from mfgen.math._quadrature import gauss_legendre
from mfgen.math._space import AbstractDomain
from mfgen.metrics import _blocks, _gaps, _same_game
from mfgen.metrics._check_table import Check, CheckTable, found, percent, plain_profiles, text
from mfgen.metrics._divergence import line_distance, moment_distance, overlap
from mfgen.metrics._domain import check_solutions, places
from mfgen.metrics._estimate import Estimate, Profile, mean_number
from mfgen.metrics._gaps import field_gap
from mfgen.metrics._transport import wasserstein2
from mfgen.simulate._solution import Solution

_MATCHED = "above W2 of the laws; error of the samples"
_CLOUDS = "between the clouds; no error is known"
_FIELDS = {
    "value, up to a constant": (_gaps.value, "cost"),
    "gradient": (_gaps.gradient, "cost per length"),
    "control": (_gaps.control, "control"),
}
_ASSIGNED = 256  # points of an exact assignment; on a line sorting takes them all


class Agreement(eqx.Module):
    """Differences of two solutions of one game.

    Attributes:
        first, second: the solutions; the second is the reference.
        rows: differences by name, with their units and relative sizes.
        missing: why a difference is not available, by name.
        profiles: differences along the game, by name.
    """

    first: Solution
    second: Solution
    rows: dict[str, Check]
    missing: dict[str, str]
    profiles: dict[str, Profile]

    def __getitem__(self, name: str) -> Estimate:
        """A difference; a `KeyError` with the reason if it is not available."""
        return found("Agreement", name, self.rows, self.missing)

    def relative(self, name: str) -> float:
        """A difference over the size of what it compares; a `KeyError` where that is zero."""
        fraction = self.rows[name].fraction
        if fraction is None:
            raise KeyError(
                f"`Agreement` has no relative {name!r}: there is nothing to relate it to."
            )
        return float(fraction.value)

    @property
    def verdict(self) -> str:
        """The comparison in a sentence."""
        judged = {
            name: float(row.fraction.value) - 2 * float(row.fraction.standard_error)
            for name, row in self.rows.items()
            if row.fraction is not None
        }
        if not judged:
            return "Nothing could be compared in relative terms."
        worst = max(judged, key=lambda name: judged[name])
        return f"The largest relative difference is {percent(self.relative(worst))}, in {worst}."

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and sentences, for JSON."""
        return {
            "verdict": self.verdict,
            "rows": {name: row.to_dict() for name, row in self.rows.items()},
            "missing": dict(self.missing),
            "profiles": plain_profiles(self.profiles),
        }

    def __str__(self) -> str:
        return text("difference", "relative", self.rows, self.missing, self.verdict)


def compare(
    a: Solution, b: Solution, *, key: Key | None = None, times: int = 8, points: int = 512
) -> Agreement:
    """Compares two solutions of one game; the second is the reference.

    Arguments:
        a, b: the solutions, of any solvers.
        key: for samples; the same key gives the same numbers.
        times: at which they are compared: Gauss-Legendre nodes for values and controls, equally
            spaced ones with both ends for densities.
        points: samples of the reference at each of them.

    Raises:
        ValueError: solutions of different games, or two solutions without density.

    Example:

        parabola = Linear(lambda x: 0.5 * x @ x)
        game = MFG(Integrator(0.5), Kinetic(), parabola, initial=Gaussian([1.0], 0.2))
        print(compare(solve(game, Grid(box=(-4, 4))), solve(game, Riccati()), points=64))
    """
    check_solutions("compare", key, a=a, b=b)
    if times < 2 or points < 8:
        raise ValueError(
            f"`compare` got times = {times}, points = {points}, expected at least 2 and 8."
        )
    reference = b.density if b.density is not None else a.density
    if reference is None:
        raise ValueError(
            "`compare` got two solutions without density, expected one with a path t -> rho(t): "
            "differences are weighted by the particles of the game."
        )
    _same_game.check(a, b, reference)
    table = CheckTable(key)
    rule = gauss_legendre(times, 0.0, b.game.dynamics.horizon)
    drawn = places(reference, None, points)
    for name, (field, unit) in _FIELDS.items():
        both = table.tried(name, lambda key: field_gap(field, a, b, rule, drawn, key=key))  # noqa: B023
        if both is not None:
            gap, offset = both
            table.add(name, gap.overall, unit, gap.scale or None)
            table.profiles[name] = gap.profile
            if field is _gaps.value:
                table.add("constant", offset, "cost")
    _densities(table, a, b, times, points)
    _costs(table, a, b, times)
    return Agreement(a, b, table.checks, table.missing, table.profiles)


def _densities(table: CheckTable, a: Solution, b: Solution, times: int, points: int) -> None:
    moments = np.linspace(0.0, b.game.dynamics.horizon, times)
    first = lambda t: _action.path("compare", a)(t)
    second = lambda t: _action.path("compare", b)(t)

    def spread(t: Time) -> float:
        return float(np.sqrt(np.trace(np.asarray(second(t).moments()[1]))))

    def overlaps(key: Key):
        return [overlap(first(t), second(t), points=points, key=key) for t in moments.tolist()]

    def transported(key: Key) -> list[Estimate]:
        domain = b.game.domain
        return [_w2(first(t), second(t), points, domain, key) for t in moments.tolist()]

    def moved(_: Key) -> list[Estimate]:
        return [Estimate(moment_distance(first(t), second(t)), 0.0) for t in moments.tolist()]

    overlapping = table.tried("total variation", overlaps)
    if overlapping is not None:
        variations = [each.total_variation for each in overlapping]
        _largest(table, "total variation", moments, variations, "probability", 1.0)
        if all(each.relative is not None for each in overlapping):
            norms = [Estimate(each.relative, 0.0) for each in overlapping]
            _largest(table, "density, L2", moments, norms, "of the norm", 1.0)
    for name, compute in (("W2", transported), ("moments", moved)):
        distances = table.tried(name, compute)
        if distances is not None:
            scale = max(map(spread, moments.tolist()))
            sampled = name == "W2" and any(float(each.standard_error) for each in distances)
            clouds = name == "moments" and not _evaluable(first(0.0), second(0.0))
            basis = _MATCHED if sampled else _CLOUDS if clouds else ""
            _largest(table, name, moments, distances, "length", scale or None, basis)


def _evaluable(*laws: AbstractDensity) -> bool:
    return all(isinstance(law, AbstractEvaluable) for law in laws)


def _w2(
    first: AbstractDensity,
    second: AbstractDensity,
    points: int,
    domain: AbstractDomain,
    key: Key,
) -> Estimate:
    # On circles by the chords: a place of theirs has two coordinates.
    line = first.dim == 1 and not any(domain.periodic)
    if line and isinstance(first, AbstractEvaluable) and isinstance(second, AbstractEvaluable):
        return Estimate(line_distance(first, second), 0.0)
    count = points if line else min(points, _ASSIGNED)
    clouds = [jax.vmap(domain.embed)(law.sample(count, key=key)) for law in (first, second)]
    return wasserstein2(*clouds)


def _largest(
    table: CheckTable,
    name: str,
    times: np.ndarray,
    estimates: list[Estimate],
    unit: str,
    scale: float | None,
    basis: str = "",
) -> None:
    table.add(name, max(estimates, key=lambda each: float(each.value)), unit, scale, basis)
    values, errors = (np.asarray(column, float) for column in zip(*estimates, strict=True))
    table.profiles[name] = Profile(*map(jnp.asarray, (times, values, errors)))


def _costs(table: CheckTable, a: Solution, b: Solution, times: int) -> None:
    paid = lambda part: [float(_action.cost(part, times=times).total)]
    both = table.tried(
        "cost", lambda _: [(*paid(each), _blocks.of_blocks(each, paid)) for each in (a, b)]
    )
    if both is None:
        return
    (first, first_rows), (second, second_rows) = both
    errors = [0.0 if rows is None else _error(rows) for rows in (first_rows, second_rows)]
    apart = math.hypot(*errors)
    if first_rows is not None and np.shape(first_rows) == np.shape(second_rows):
        apart = _error(first_rows - second_rows)  # particles may be common to both
    table.add("cost", Estimate(first - second, apart), "cost", abs(second) or None)
    table.add("cost of the first", Estimate(first, errors[0]), "cost")
    table.add("cost of the second", Estimate(second, errors[1]), "cost")


def _error(rows: np.ndarray) -> float:
    return float(mean_number(rows[:, 0]).standard_error)
