"""The record of a training run: loss terms against steps.

A record is the mean of each term over the steps since the record before.
"""

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Progress:
    """One record of a run, handed to the callback of `fit`.

    Attributes:
        step, steps: steps done and steps in all.
        terms: mean of each weighted loss term since the last record.
        validation: the objective on the validation data, or `None`.
        seconds: wall-clock time since the run began (compilation included).
        milliseconds_per_step: of the steps since the last record (compilation excluded).
    """

    step: int
    steps: int
    terms: dict[str, float]
    validation: float | None
    seconds: float
    milliseconds_per_step: float

    @property
    def loss(self) -> float:
        """The sum of the terms."""
        return sum(self.terms.values())


Callback = Callable[[Progress], None]


@dataclass
class History:
    """The records of a run in order, and the step whose parameters were returned."""

    records: list[Progress] = field(default_factory=list)
    best_step: int | None = None

    def to_records(self) -> list[dict]:
        """The records as plain dictionaries."""
        return [asdict(record) for record in self.records]

    @staticmethod
    def of_records(records: list[dict], best_step: int | None = None) -> "History":
        """The history of the given plain dictionaries."""
        return History([Progress(**record) for record in records], best_step)

    @property
    def milliseconds_per_step(self) -> float | None:
        """The median over records; `None` if there are none."""
        rates = [record.milliseconds_per_step for record in self.records]
        return statistics.median(rates) if rates else None
