"""What a study consists of: rows, each one method on one setting over several seeds.

Rows that are the same experiment are run once, whatever studies they stand in: a run's folder is
named by a digest of its specification. A setting is what a table has lines for, a method what it
has columns for.
"""

import hashlib
from pathlib import Path
from typing import NamedTuple

from mfgen.lab import spec, toml
from mfgen.lab.store import RunFolder


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
    experiment: spec.Experiment
    seeds: tuple[int, ...]

    def seeded(self, seed: int) -> spec.Experiment:
        """The experiment for a seed; real data are split anew for each."""
        data = self.experiment.data
        if data.split is not None:
            data = spec.replace(data, split=seed)
        return spec.replace(self.experiment, seed=seed, data=data)

    def folder(self, root: Path, seed: int) -> RunFolder:
        """Where the run of a seed is kept."""
        name = f"{self.experiment.data.name}-{self.experiment.name}-{self.digest}"
        return RunFolder(root / name / f"seed-{seed}")

    @property
    def digest(self) -> str:
        """Eight characters that tell experiments apart, wherever a data file lies."""
        experiment, data = self.experiment, self.experiment.data
        if data.path is not None:
            data = spec.replace(data, path=Path(data.path).name)
            experiment = spec.replace(experiment, data=data)
        return hashlib.sha256(toml.write(experiment).encode()).hexdigest()[:8]


def unique(rows: list[Row]) -> list[Row]:
    """One row for each experiment, with the seeds of all its rows."""
    found: dict[str, Row] = {}
    for row in rows:
        known = found.get(row.digest)
        seeds = row.seeds if known is None else tuple(sorted({*row.seeds, *known.seeds}))
        found[row.digest] = row._replace(seeds=seeds)
    return list(found.values())
