"""The record of a training run: loss terms against steps.

A record is the mean of each term over the steps since the record before.
"""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType


@dataclass(frozen=True)
class Trial:
    """One of the trainings of a selection.

    Attributes:
        term, weight: which term has which weight in it.
        index, count: its place among them, from zero, and how many there are.
    """

    term: str
    weight: float
    index: int
    count: int


@dataclass(frozen=True)
class Progress:
    """One record of a run, handed to the callback of `fit` or `run`.

    Attributes:
        step, steps: steps done and steps in all.
        terms: mean of each weighted loss term since the last record; of what is measured at
            records alone, as the energy of particles, the value.
        validation: the fit to the validation data, regularisers left out, or `None`.
        seconds: wall-clock time since the run began (compilation included).
        milliseconds_per_step: of the steps since the last record (compilation excluded).
        trial: which training of a selection this is, or `None` if there is one training alone.
        errors: standard errors of those terms that are estimates.
    """

    step: int
    steps: int
    terms: dict[str, float]
    validation: float | None
    seconds: float
    milliseconds_per_step: float
    trial: Trial | None = None
    errors: dict[str, float] = field(default_factory=dict)

    @property
    def loss(self) -> float:
        """The sum of the terms."""
        return sum(self.terms.values())

    @property
    def done(self) -> int:
        """Steps done, those of earlier trainings of a selection included."""
        return self.step + (self.trial.index * self.steps if self.trial else 0)

    @property
    def total(self) -> int:
        """Steps in all, over all trainings of a selection."""
        return self.steps * (self.trial.count if self.trial else 1)


Callback = Callable[[Progress], None]


@dataclass(frozen=True)
class Candidate:
    """A weight that was tried.

    Attributes:
        term, weight: of which term, and the weight.
        loss: the best validation loss; infinite if the training failed.
        step: the step of it; `None` if the training failed.
        seconds: wall-clock time of the training.
        chosen: whether this is the one whose model was returned.
    """

    term: str
    weight: float
    loss: float
    step: int | None
    seconds: float
    chosen: bool = False


@dataclass
class Sums:
    """Sums over the steps since the last record.

    Attributes:
        terms: sum of each weighted loss term over the steps.
        milliseconds: time of the steps.
    """

    terms: dict[str, float] = field(default_factory=dict)
    milliseconds: float = 0.0

    def add(self, terms: dict[str, float], milliseconds: float) -> None:
        """Adds some steps."""
        self.terms = {name: self.terms.get(name, 0.0) + value for name, value in terms.items()}
        self.milliseconds += milliseconds


@dataclass
class History:
    """The records of a run in order, and the step whose parameters were returned.

    Attributes:
        records: of the training; after a selection, of the training that was chosen.
        best_step: the step of the best validation, if there was one.
        selection: the weights tried, in order; empty if none were to choose from.
        pending: the steps since the last record.
    """

    records: list[Progress] = field(default_factory=list)
    best_step: int | None = None
    selection: tuple[Candidate, ...] = ()
    pending: Sums = field(default_factory=Sums)

    def record(
        self,
        step: int,
        steps: int,
        validation: float | None,
        seconds: float,
        measured: Mapping[str, float] = MappingProxyType({}),
        errors: Mapping[str, float] = MappingProxyType({}),
    ) -> Progress:
        """Ends the pending steps with a record, and returns it."""
        count = max(1, step - (self.records[-1].step if self.records else 0))
        terms = {name: value / count for name, value in self.pending.terms.items()} | dict(measured)
        rate = self.pending.milliseconds / count
        record = Progress(step, steps, terms, validation, seconds, rate, errors=dict(errors))
        self.records.append(record)
        self.pending = Sums()
        return record

    def to_document(self) -> dict:
        """The history of one training as plain dictionaries, lists and numbers."""
        return {
            "history": [asdict(record) for record in self.records],
            "best_step": self.best_step,
            "pending": asdict(self.pending),
        }

    @staticmethod
    def of_document(document: dict) -> "History":
        """The history of what `to_document` gave."""
        records = [Progress(**record) for record in document["history"]]
        # Checkpoints of earlier versions have a record at each.
        return History(records, document["best_step"], pending=Sums(**document.get("pending", {})))

    @property
    def seconds(self) -> float:
        """Wall-clock time of the training; of all of them after a selection."""
        if self.selection:
            return sum(candidate.seconds for candidate in self.selection)
        return self.records[-1].seconds if self.records else 0.0

    @property
    def milliseconds_per_step(self) -> float | None:
        """The median over records; `None` if there are none."""
        rates = [record.milliseconds_per_step for record in self.records]
        return statistics.median(rates) if rates else None
