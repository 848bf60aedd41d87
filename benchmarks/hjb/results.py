"""Results of rows, read from their run folders: values by seed, means, and paired ratios."""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.hjb.rows import Row
from mfgen.lab import RunFolder


class Values(NamedTuple):
    """A measure of one method on one setting, by seed."""

    by_seed: dict[int, float]

    @property
    def mean(self) -> float:
        return float(np.mean(list(self.by_seed.values())))

    @property
    def spread(self) -> float:
        """Standard deviation over seeds; 0 for one seed."""
        values = list(self.by_seed.values())
        return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


class Ratio(NamedTuple):
    """One method over another, seed by seed: geometric mean and geometric deviation."""

    mean: float
    factor: float
    seeds: int


class Results:
    """The finished runs of a study.

    Arguments:
        rows: all rows.
        root: where the runs are kept.
    """

    def __init__(self, rows: list[Row], root: Path):
        self._rows = {(row.study, row.setting, row.method): row for row in rows}
        self._root = root
        self._kept: dict[Path, dict] = {}

    def settings(self, study: str) -> list[str]:
        """The settings of a study, in order."""
        return list(dict.fromkeys(s for named, s, _ in self._rows if named == study))

    def methods(self, study: str) -> list[str]:
        """The methods of a study, in order."""
        return list(dict.fromkeys(m for named, _, m in self._rows if named == study))

    def row(self, study: str, setting: str, method: str) -> Row | None:
        return self._rows.get((study, setting, method))

    def finished(self, row: Row) -> int:
        """How many seeds of a row have a finished run."""
        return sum(row.folder(self._root, seed).is_finished for seed in row.seeds)

    def values(self, study: str, setting: str, method: str, measure: str) -> Values | None:
        """A measure by seed; `None` if no finished run has it."""
        row = self.row(study, setting, method)
        if row is None:
            return None
        found = {}
        for seed in row.seeds:
            folder = row.folder(self._root, seed)
            if not folder.is_finished:
                continue
            kept = self._summary(folder)["metrics"].get(measure)
            if kept is not None:
                found[seed] = float(kept["value"])
        return Values(found) if found else None

    def ratio(
        self, study: str, setting: str, method: str, other: str, measure: str = "kl"
    ) -> Ratio | None:
        """One method over another by a positive measure."""
        first = self.values(study, setting, method, measure)
        second = self.values(study, setting, other, measure)
        if first is None or second is None:
            return None
        return ratio(first, second)

    def _summary(self, folder: RunFolder) -> dict:
        if folder.path not in self._kept:
            self._kept[folder.path] = folder.summary()
        return self._kept[folder.path]


def ratio(first: Values, second: Values) -> Ratio | None:
    """The geometric mean over common seeds; of the means, where a value is not positive."""
    seeds = sorted(first.by_seed.keys() & second.by_seed.keys())
    if not seeds:
        return None
    pairs = [(first.by_seed[seed], second.by_seed[seed]) for seed in seeds]
    if min(min(pair) for pair in pairs) <= 0:
        above, below = (float(np.mean(side)) for side in zip(*pairs, strict=True))
        return Ratio(above / below, math.nan, len(seeds)) if below > 0 else None
    logs = np.log([a / b for a, b in pairs])
    deviation = float(logs.std(ddof=1)) if len(logs) > 1 else 0.0
    return Ratio(float(np.exp(logs.mean())), float(np.exp(deviation)), len(seeds))


def geometric(ratios: list[float]) -> float:
    """The geometric mean; nan of none."""
    return float(np.exp(np.mean(np.log(ratios)))) if ratios else math.nan
