"""Numbers in words: tables and a plain-English reading of a comparison.

The reading says what was measured and no more: ratios over common seeds, whether a difference
exceeds two standard errors, in how many seeds it points the same way, and what a step cost.
"""

import math
from typing import Any, NamedTuple

from mfgen.lab._comparison import Cell, Column, Contrast, Group, Pair
from mfgen.lab._measures import Measure, measure_of
from mfgen.metrics._estimate import Estimate

_COSTS = {
    "steps": ("training steps", ""),
    "ms_per_step": ("time of a step", "ms"),
    "wall_seconds": ("training time", "s"),
    "parameters": ("parameters", ""),
}
# Measures that make a sentence; the others are in the table.
_TOLD = (
    *("kl", "log_likelihood", "one_evaluation_kl", "one_evaluation_likelihood", "one_shot_error"),
    *("one_shot_gap", "hjb_residual", "energy_distance", "c2st"),
)


class Row(NamedTuple):
    """A line of a table: title, unit, what it says, one text for each method and each pair.

    `best` says of each method whether it is better than all others.
    """

    name: str
    title: str
    unit: str
    note: str
    cells: tuple[str, ...]
    contrasts: tuple[str, ...]
    best: tuple[bool, ...]


class Reading(NamedTuple):
    """What a comparison says: an opening and a sentence for each finding."""

    opening: str
    sentences: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([self.opening, *(f"  {sentence}" for sentence in self.sentences)])


def rows(group: Group) -> list[Row]:
    """The table of a group: a row for each measure, and for what the training cost."""
    measures = [_measured(name, group) for name in group.metrics]
    return measures + [_cost(name, *words, group) for name, words in _COSTS.items()]


def _measured(name: str, group: Group) -> Row:
    info = measure_of(name)
    cells = [column.cell(name) for column in group.columns]
    return Row(
        name,
        info.title,
        info.unit,
        info.summary,
        tuple(cell_text(cell) for cell in cells),
        tuple(contrast_text(pair.contrast(name)) for pair in group.pairs),
        _best(cells, info),
    )


def _cost(name: str, title: str, unit: str, group: Group) -> Row:
    cells = [_number(column.mean(name)) for column in group.columns]
    ratios = [pair.ratio(name) for pair in group.pairs]
    texts = [f"{ratio:.2f}" if math.isfinite(ratio) else "" for ratio in ratios]
    return Row(name, title, unit, "", tuple(cells), tuple(texts), (False,) * len(cells))


def _number(value: float) -> str:
    if not math.isfinite(value):  # a run of no steps has no time of a step
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def cell_text(cell: Cell | None) -> str:
    """A measure as `mean ± error` (one seed) or `mean ± spread (n seeds)`."""
    if cell is None:
        return "-"
    spread = cell.error if cell.spread is None else cell.spread
    return str(Estimate(cell.mean, spread))


def contrast_text(contrast: Contrast | None) -> str:
    """A pair as a ratio, or as a difference where there is no ratio."""
    if contrast is None:
        return "-"
    if contrast.ratio is None:
        return f"{contrast.difference:+.3g}"
    factor = f" (x/ {contrast.factor:.2f})" if contrast.factor is not None else ""
    return f"{contrast.ratio:.3g}{factor}"


def weights(kept: dict[str, Any]) -> str:
    """Which weight was chosen by validation from which, in one line."""
    tried = [f"{candidate['weight']:g}" for candidate in kept["candidates"]]
    failed = sum(candidate["step"] is None for candidate in kept["candidates"])
    line = f"weight of {kept['term']}: {kept['chosen']:g}, chosen by validation from {_join(tried)}"
    return f"{line}; {failed} of these trainings failed" if failed else line


def descent(kept: dict[str, Any]) -> str:
    """What particles went down and how far, in one line."""
    rise = float(kept["rise"])
    never = f"its largest rise from a record to the next was {rise:.2g} standard errors"
    return (
        f"{kept['functional']} went from {float(kept['first']):.3g} to "
        f"{Estimate(float(kept['last']), float(kept['standard_error']))} in a time of "
        f"{kept['time']:g}; {never if rise else 'it never rose from a record to the next'}"
    )


def notes(summary: dict[str, Any]) -> list[str]:
    """What was chosen in a run, and what its particles went down, a line each."""
    words = {"weights": weights, "descent": descent}
    return [said(summary[name]) for name, said in words.items() if summary.get(name)]


def title(groups: list[Group]) -> str:
    """What was compared, in one line."""
    names = list(dict.fromkeys(column.label for group in groups for column in group.columns))
    data = _join([group.label for group in groups])
    pairs = [pair for group in groups for pair in group.pairs]
    if pairs and len(names) == 2:
        return f"{pairs[0].plain.label} with and without the HJB regulariser, on {data}"
    if len(names) > 4:
        return f"{len(names)} methods on {data}"
    return f"{_join(names)} on {data}"


def reading(group: Group) -> list[Reading]:
    """What a group says in words, generated from its numbers."""
    if group.pairs:
        return [_pair(pair, group) for pair in group.pairs]
    return [_alone(column, group) for column in group.columns]


def _pair(pair: Pair, group: Group) -> Reading:
    told = {name: pair.contrast(name) for name in group.metrics if name in _TOLD}
    lines = [_contrast(name, contrast) for name, contrast in told.items() if contrast is not None]
    step = pair.ratio("ms_per_step")
    if math.isfinite(step):
        lines.append(f"A training step took {step:.2f} times as long, at equal numbers of steps.")
    seeds = len(set(pair.regularised.seeds) & set(pair.plain.seeds))
    opening = f"{pair.regularised.label} against {pair.plain.label}, {_seeds(seeds)}:"
    return Reading(opening, tuple(lines))


def _contrast(name: str, contrast: Contrast) -> str:
    info = measure_of(name)
    unit = f" {info.unit}" if info.unit else ""
    values = f"{contrast.first:.4g} against {contrast.second:.4g}{unit}"
    values += " by the ODE of the other" if info.rival else ""
    if not contrast.is_told_apart:
        return f"{info.title}: {values}, a difference within two standard errors."
    better = info.badness(contrast.first) < info.badness(contrast.second)
    amount = "" if contrast.ratio is None else f", {contrast.ratio:.2g} times"
    verdict = f", {'better' if better else 'worse'}"
    if contrast.seeds > 1:
        verdict += f"; better in {contrast.wins} of {contrast.seeds} seeds"
    return f"{info.title}: {values}{amount}{verdict}."


def _alone(column: Column, group: Group) -> Reading:
    found = {measure_of(n): column.cell(n) for n in group.metrics if n in _TOLD}
    lines = [
        f"{info.title}: {cell_text(cell)} {info.unit}".rstrip() + "."
        for info, cell in found.items()
        if cell is not None
    ]
    return Reading(f"{column.label}, {_seeds(len(column.entries))}:", tuple(lines))


def _seeds(count: int) -> str:
    return "one seed" if count == 1 else f"{count} seeds"


def _best(cells: list[Cell | None], info: Measure) -> tuple[bool, ...]:
    """Which mean is better than all others, if any is."""
    means = [info.badness(math.nan if cell is None else cell.mean) for cell in cells]
    known = sorted(mean for mean in means if not math.isnan(mean))
    alone = len(known) > 1 and known[0] < known[1]
    return tuple(alone and mean == known[0] for mean in means)


def _join(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
