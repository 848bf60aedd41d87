"""Tables of the page, in Markdown: one line for each setting, one column for each method."""

import math
from collections.abc import Sequence

from benchmarks.harness.tables import table
from benchmarks.hjb.results import Ratio, Results, Values, geometric

NONE = "-"


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    if not math.isfinite(value):
        return NONE
    if value == 0:
        return "0"
    places = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(places, 5)}f}"


def cell(values: Values | None) -> str:
    """Mean and standard deviation over seeds."""
    if values is None:
        return NONE
    if len(values.by_seed) == 1:
        return number(values.mean)
    return f"{number(values.mean)} ± {_like(values.spread, number(values.mean))}"


def times(ratio: Ratio | None) -> str:
    """A ratio, and the geometric deviation of one seed's."""
    if ratio is None:
        return NONE
    spread = f" x/ {ratio.factor:.2f}" if math.isfinite(ratio.factor) and ratio.seeds > 1 else ""
    return f"**{ratio.mean:.2f}**{spread}"


def measures(
    results: Results,
    study: str,
    measure: str,
    methods: Sequence[str],
    ratios: Sequence[tuple[str, str]] = (),
    *,
    total: bool = False,
) -> str:
    """A measure of the methods on every setting, and paired ratios of some.

    Arguments:
        ratios: pairs (method, other) for columns `method / other`.
        total: whether a last line gives geometric means of the ratios.
    """
    shown = [name for name in methods if name in results.methods(study)]
    pairs = [(a, b) for a, b in ratios if {a, b} <= set(results.methods(study))]
    head = ["", *shown, *[f"{a} / {b}" for a, b in pairs]]
    lines = []
    for setting in results.settings(study):
        cells = [cell(results.values(study, setting, name, measure)) for name in shown]
        found = [times(results.ratio(study, setting, a, b, measure)) for a, b in pairs]
        if any(text != NONE for text in cells):
            lines.append([setting, *cells, *found])
    if total and lines:
        means = [f"**{mean_ratio(results, study, a, b, measure):.2f}**" for a, b in pairs]
        lines.append(["geometric mean", *[""] * len(shown), *means])
    return table(head, lines)


def mean_ratio(results: Results, study: str, method: str, other: str, measure: str = "kl") -> float:
    """The geometric mean over settings of the paired ratios of two methods."""
    found = [
        results.ratio(study, setting, method, other, measure) for setting in results.settings(study)
    ]
    return geometric([ratio.mean for ratio in found if ratio is not None])


def _like(value: float, model: str) -> str:
    """A number with as many places as another has."""
    places = len(model.partition(".")[2])
    return f"{value:.{places}f}"
