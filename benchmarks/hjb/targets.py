"""What was aimed at, what was measured, and whether it was met: one line for each aim."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.harness.tables import table
from benchmarks.hjb.cost import Costs
from benchmarks.hjb.results import Results
from benchmarks.hjb.tables import mean_ratio, number

_BARE = ("plain", "field", "corrected", "corrected-field")
_ESTIMATES = ("mixture", "kernel", "trained")


class Aim(NamedTuple):
    """A bound on a number; `least` if it is a lower one."""

    what: str
    value: float | None
    bound: float
    least: bool = False

    @property
    def line(self) -> list[str]:
        sign = "at least" if self.least else "at most"
        if self.value is None or not np.isfinite(self.value):
            return [self.what, f"{sign} {self.bound:g}", "-", "not measured"]
        met = self.value >= self.bound if self.least else self.value <= self.bound
        return [
            self.what,
            f"{sign} {self.bound:g}",
            number(self.value),
            "met" if met else "**missed**",
        ]


def judged(results: Results, costs: Costs, first: Sequence[Aim] = ()) -> str:
    """All aims as a table, those of other studies first."""
    aims = [*first, *_plane(results), *_scarce(results), *_one_evaluation(results, costs)]
    aims += [*_space(results), *_real(results), *_cost(costs)]
    return table(["aim", "bound", "measured", ""], [aim.line for aim in aims])


def _plane(results: Results) -> list[Aim]:
    study, settings = "plane", results.settings("plane")
    worst = [results.ratio(study, s, "hjb", "plain") for s in settings]
    largest = max((ratio.mean for ratio in worst if ratio is not None), default=None)
    return [
        Aim("d = 2, KL, hjb / plain, equal steps", mean_ratio(results, study, "hjb", "plain"), 0.5),
        Aim(
            "d = 2, KL, hjb / plain, equal time, 3,000 steps",
            mean_ratio(results, study, "hjb", "plain="),
            0.5,
        ),
        Aim(
            "d = 2, KL, hjb / field, equal time, 3,000 steps",
            mean_ratio(results, study, "hjb", "field="),
            0.7,
        ),
        Aim(
            "d = 2, KL, hjb / plain, equal time, 10,000 steps",
            mean_ratio(results, "long", "hjb=", "plain="),
            0.5,
        ),
        Aim(
            "d = 2, KL, hjb / field, equal time, 10,000 steps",
            mean_ratio(results, "long", "hjb=", "field="),
            0.7,
        ),
        Aim("d = 2, KL, hjb / plain, the worst target", largest, 1.05),
    ]


def _scarce(results: Results) -> list[Aim]:
    aims = []
    for setting in results.settings("samples"):
        for other in ("plain", "field"):
            found = results.ratio("samples", setting, "hjb", other)
            aims.append(Aim(f"{setting}, KL, hjb / {other}", found and found.mean, 0.5))
    for setting, bound in (("5 levels", 0.5), ("below 0.5", 0.1)):
        found = results.ratio("levels", setting, "hjb", "plain")
        aims.append(Aim(f"{setting}, KL, hjb / plain", found and found.mean, bound))
    return aims


def _one_evaluation(results: Results, costs: Costs) -> list[Aim]:
    def error(study: str, setting: str, methods: tuple[str, ...]) -> float | None:
        found = [results.values(study, setting, name, "one_shot_error") for name in methods]
        return min((values.mean for values in found if values is not None), default=None)

    plane = [error("plane", setting, ("hjb",)) for setting in results.settings("plane")]
    known = [value for value in plane if value is not None]
    aims = [
        Aim("one-evaluation error, nats, d = 2", float(np.mean(known)) if known else None, 0.12)
    ]
    for dim, bound in ((8, 0.2), (20, 0.6)):
        for name in ("hjb=", "corrected-hjb="):
            value = error("space", f"mixture, d = {dim}", (name,))
            aims.append(Aim(f"one-evaluation error, nats, d = {dim}, {name}", value, bound))
    ratio = costs.likelihood.get("2")
    return [*aims, Aim("likelihood by 10 RK4 steps / by one evaluation", ratio, 300, True)]


def _space(results: Results) -> list[Aim]:
    aims = []
    for setting, bound in (
        ("mixture, d = 8", 0.8),
        ("product, d = 8", 0.8),
        ("mixture, d = 20", 0.8),
        ("mixture, d = 50", 1.0),
    ):
        for name in ("hjb=", "corrected-hjb="):
            found = results.ratio("space", setting, name, "field=")
            aims.append(Aim(f"{setting}, KL, {name} / field=", found and found.mean, bound))
    return aims


def _real(results: Results) -> list[Aim]:
    def likelihood(study: str, setting: str, name: str) -> float:
        values = results.values(study, setting, name, "log_likelihood")
        return -np.inf if values is None else values.mean

    aims = []
    for name in ("corrected-hjb", "corrected-select") if results.settings("real") else ():
        best = [
            likelihood("real", setting, name)
            > max(likelihood("real", setting, other) for other in (*_BARE, *_ESTIMATES))
            for setting in results.settings("real")
        ]
        aims.append(Aim(f"small real sets on which {name} is best of all", sum(best), 3, True))
    for setting in results.settings("large"):
        for name in ("hjb", "corrected-hjb"):
            others = max(likelihood("large", setting, other) for other in ("plain", "field"))
            gain = likelihood("large", setting, name) - others
            aims.append(
                Aim(f"{setting}: nats of {name} over both networks without", gain, 0.0, True)
            )
    return aims


def _cost(costs: Costs) -> list[Aim]:
    return [
        Aim(f"step, hjb / plain, d = {dim}", costs.ratio(dim, "hjb", "plain"), bound)
        for dim, bound in ((2, 1.35), (20, 1.3))
        if str(dim) in costs.step
    ]
