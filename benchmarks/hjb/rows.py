"""What a study consists of: rows, each one method on one setting over several seeds.

Rows that are the same experiment are run once, whatever studies they stand in: a run's folder is
named by a digest of its specification. A setting is what a table has lines for, a method what it
has columns for.
"""

import functools
import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from mfgen.lab import Experiment, RunFolder, _toml

# Runs that were kept before specifications named classes, by study, setting and method.
_KEPT = Path(__file__).parents[2] / "docs" / "results" / "hjb" / "folders.json"


class Row(NamedTuple):
    """One method on one setting.

    Attributes:
        study: the study it stands in.
        setting: the line of the table.
        method: the column of the table.
        experiment: what is run, for seed 0.
        seeds: the seeds it is run with.
    """

    study: str
    setting: str
    method: str
    experiment: Experiment
    seeds: tuple[int, ...]

    def seeded(self, seed: int) -> Experiment:
        """The experiment for a seed; real data are split anew for each."""
        divided = self.experiment.data.split is not None
        return self.experiment.changed({"seed": seed} | ({"data.split": seed} if divided else {}))

    def folder(self, root: Path, seed: int) -> RunFolder:
        """Where the run of a seed is kept."""
        kept = _kept().get(f"{self.study}/{self.setting}/{self.method}")
        if kept is not None and (root / kept).is_dir():
            return RunFolder(root / kept / f"seed-{seed}")
        name = f"{self.experiment.data.name}-{self.experiment.name}-{self.digest}"
        return RunFolder(root / name / f"seed-{seed}")

    @property
    def digest(self) -> str:
        """Eight characters that tell experiments apart, wherever a data file lies."""
        experiment, path = self.experiment, self.experiment.data.path
        if path is not None:
            experiment = experiment.changed({"data.path": Path(path).name})
        return hashlib.sha256(_toml.write(experiment).encode()).hexdigest()[:8]


@functools.cache
def _kept() -> dict[str, str]:
    return json.loads(_KEPT.read_text("utf-8")) if _KEPT.is_file() else {}


def unique(rows: list[Row]) -> list[Row]:
    """One row for each experiment, with the seeds of all its rows."""
    found: dict[str, Row] = {}
    for row in rows:
        known = found.get(row.digest)
        seeds = row.seeds if known is None else tuple(sorted({*row.seeds, *known.seeds}))
        found[row.digest] = row._replace(seeds=seeds)
    return list(found.values())
