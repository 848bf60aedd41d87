"""Runs side by side: grouped by data, averaged over seeds, paired with and without HJB.

Runs are of one method if their specifications differ in nothing but the seed. A method with an HJB
term is paired with the method that differs in nothing but that term; the pair is compared seed by
seed, since with the same seed both see the same data, initial weights and batches. Positive
measures are compared by their ratio, measures of either sign by their difference.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mfgen.lab import _toml
from mfgen.lab._measures import METRICS, measure_of
from mfgen.lab._spec import Data, Experiment
from mfgen.lab._store import RunFolder
from mfgen.metrics._estimate import mean_number

# Names of residuals: of classes, and of format 1.
RESIDUALS = (
    *("HJB", "ScoreHJB", "PathHJB", "DissipationHJB", "Residual"),
    *("hjb", "score-hjb", "path-hjb", "dissipation-hjb"),
)


class Entry(NamedTuple):
    """A finished run: its folder, specification and summary."""

    folder: RunFolder
    experiment: Experiment
    summary: dict[str, Any]


class Cell(NamedTuple):
    """A measure of a method: mean over seeds, their standard deviation, and the error of the mean.

    For one seed `spread` is `None` and `error` is that of the measure itself.
    """

    mean: float
    spread: float | None
    error: float
    seeds: int


class Column(NamedTuple):
    """A method: its label and its runs, one for each seed."""

    label: str
    entries: tuple[Entry, ...]

    @property
    def seeds(self) -> list[int]:
        return [entry.experiment.seed for entry in self.entries]

    def values(self, metric: str) -> dict[int, tuple[float, float]]:
        """Value and standard error of a measure by seed."""
        return {
            entry.experiment.seed: (float(found["value"]), float(found["standard_error"]))
            for entry in self.entries
            if (found := entry.summary["metrics"].get(metric))
        }

    def cell(self, metric: str) -> Cell | None:
        """The measure over seeds; `None` if no run has it."""
        pairs = list(self.values(metric).values())
        if not pairs:
            return None
        if len(pairs) == 1:
            return Cell(pairs[0][0], None, pairs[0][1], 1)
        values = np.array([value for value, _ in pairs])
        spread = float(values.std(ddof=1))
        return Cell(float(values.mean()), spread, spread / math.sqrt(len(values)), len(values))

    def at_points(self, metric: str, seed: int) -> np.ndarray | None:
        """The measure of one seed at each point `[n]`; `None` if it was not kept."""
        (entry,) = (entry for entry in self.entries if entry.experiment.seed == seed)
        return entry.folder.arrays("points.npz").get(metric)

    def mean(self, name: str) -> float:
        """The mean over seeds of a number of the summary; nan where there is none."""
        numbers = [entry.summary[name] for entry in self.entries]
        return float(np.mean([np.nan if number is None else number for number in numbers]))


class Contrast(NamedTuple):
    """A measure with HJB against without, over common seeds.

    Attributes:
        first, second: mean with and without.
        ratio: geometric mean of with / without; `None` unless all values are positive.
        factor: its geometric standard deviation over seeds; `None` for one seed.
        difference: mean of with - without.
        error: standard error of the difference: over seeds; for one seed over the points at which
            both were judged, or that of the measures as if they were independent.
        wins: seeds in which the value with HJB is the better one.
        seeds: how many seeds they have in common.
    """

    first: float
    second: float
    ratio: float | None
    factor: float | None
    difference: float
    error: float
    wins: int
    seeds: int

    @property
    def is_told_apart(self) -> bool:
        """Whether the difference exceeds two of its standard errors."""
        return abs(self.difference) > 2 * self.error


class Pair(NamedTuple):
    """A method with HJB and the same without."""

    regularised: Column
    plain: Column

    def ratio(self, name: str) -> float:
        """With over without, of a number of the summary; nan where there is none."""
        plain = self.plain.mean(name)
        return self.regularised.mean(name) / plain if plain else math.nan

    def contrast(self, metric: str) -> Contrast | None:
        """The two compared in a measure; `None` if they have no common seed with it.

        The density in one evaluation is compared with that of the flow without the regulariser.
        """
        rival = measure_of(metric).rival or metric
        first, second = self.regularised.values(metric), self.plain.values(rival)
        seeds = sorted(first.keys() & second.keys())
        if not seeds:
            return None
        a, b = (np.array([side[seed][0] for seed in seeds]) for side in (first, second))
        badness, alone = measure_of(metric).badness, len(seeds) == 1
        error = self._paired_error(metric, seeds[0]) if alone else None
        if error is None:
            errors = first[seeds[0]][1], second[seeds[0]][1]
            error = math.hypot(*errors) if alone else float(mean_number(a - b).standard_error)
        logs = np.log(a / b) if min(a.min(), b.min()) > 0 else None
        return Contrast(
            first=float(a.mean()),
            second=float(b.mean()),
            ratio=None if logs is None else float(np.exp(logs.mean())),
            factor=None if logs is None or alone else float(np.exp(logs.std(ddof=1))),
            difference=float(a.mean() - b.mean()),
            error=error,
            wins=sum(badness(x) < badness(y) for x, y in zip(a.tolist(), b.tolist(), strict=True)),
            seeds=len(seeds),
        )

    def _paired_error(self, metric: str, seed: int) -> float | None:
        """The standard error of the difference over common points; `None` if there are none."""
        a, b = (column.at_points(metric, seed) for column in (self.regularised, self.plain))
        if a is None or b is None or a.shape != b.shape or not np.isfinite(a - b).all():
            return None
        return float(np.std(a - b, ddof=1) / math.sqrt(len(a)))


class Group(NamedTuple):
    """The runs on one data set: methods, pairs, and the measures that any of them has."""

    label: str
    data: Data
    columns: tuple[Column, ...]
    pairs: tuple[Pair, ...]
    metrics: tuple[str, ...]

    @property
    def entries(self) -> list[Entry]:
        return [entry for column in self.columns for entry in column.entries]

    @property
    def seeds(self) -> list[int]:
        return sorted({entry.experiment.seed for entry in self.entries})


def read(paths: Iterable[str | Path]) -> list[Entry]:
    """The finished runs in the given folders.

    Raises:
        ValueError: if there is no folder, one holds no finished run, or two hold the same.
    """
    entries: list[Entry] = []
    for path in paths:
        folder = RunFolder(path)
        entry = Entry(folder, folder.experiment(), folder.summary())
        for other in entries:
            if other.experiment.meaning == entry.experiment.meaning:
                raise ValueError(
                    f"`{other.folder.path}` and `{folder.path}` hold the same run, expected runs "
                    "that differ in method, data or seed: leave one out."
                )
        entries.append(entry)
    if not entries:
        raise ValueError("`compare` got no run, expected at least one folder: name some.")
    return entries


def group(entries: Sequence[Entry]) -> list[Group]:
    """The runs grouped by data, in the order in which they were given."""
    groups = []
    for data in _unique(entry.experiment.data for entry in entries):
        columns = _columns([entry for entry in entries if entry.experiment.data == data])
        kept = {name: None for entry in entries for name in entry.summary["metrics"]}
        names = dict.fromkeys([*METRICS, *kept])
        found = [name for name in names if any(column.values(name) for column in columns)]
        groups.append(Group(_data_label(data), data, columns, _pairs(columns), tuple(found)))
    return groups


def _columns(entries: Sequence[Entry]) -> tuple[Column, ...]:
    methods = _unique(_method(entry) for entry in entries)
    first = {method.name: method for method in reversed(methods)}
    columns = []
    for method in methods:
        changes = _toml.differences(method, first[method.name])
        label = method.name + (f" ({changes[0].path} = {changes[0].first})" if changes else "")
        members = [entry for entry in entries if _method(entry) == method]
        columns.append(Column(label, tuple(sorted(members, key=lambda e: e.experiment.seed))))
    return tuple(columns)


def _pairs(columns: Sequence[Column]) -> tuple[Pair, ...]:
    def core(column: Column) -> dict[str, Any]:
        return without_regulariser(_method(column.entries[0]))

    with_term = [c for c in columns if is_regularised(c.entries[0].experiment)]
    plain = [c for c in columns if c not in with_term]
    return tuple(Pair(a, b) for a in with_term for b in plain if core(a) == core(b))


def is_regularised(experiment: Experiment) -> bool:
    """Whether a term of the objective is a residual of the HJB equation."""
    return any(term.get("type") in RESIDUALS for term in experiment.terms)


def without_regulariser(experiment: Experiment) -> dict[str, Any]:
    """The meaning of an experiment without its HJB terms and its name: what pairs share."""
    plain = [term for term in experiment.terms if term.get("type") not in RESIDUALS]
    return {**experiment.meaning, "name": "pair", "objective": plain}


def _method(entry: Entry) -> Experiment:
    return Experiment({**entry.experiment.meaning, "seed": 0})


def _data_label(data: Data) -> str:
    names = ("samples", "dim", "variant", "path", "validation")
    details = {name: value for name in names if (value := getattr(data, name)) is not None}
    if "path" in details:
        details["path"] = Path(data.path or "").name
    given = [f"{name} = {value}" for name, value in details.items()]
    return data.name + (f" ({', '.join(given)})" if given else "")


def _unique(values: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found
