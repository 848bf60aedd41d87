"""The weight of a regulariser, chosen by validation.

    weight* = argmin_w  V(theta_w),   theta_w trained with weight w

V is the fit to held-out data (`mfgen.trainers._validation`), in which no regulariser counts, at the
best step of each training. All trainings start from the same model with the same key, so they see
the same batches, noises and validation draws and differ by the weight alone. A weight of zero
leaves the term out: that training is the unregularised one, and the choice is never worse than it
on the validation data.

Reference: M. Stone (1974), "Cross-validatory choice and assessment of statistical predictions".
"""

import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from mfgen.losses._objective import Combination
from mfgen.models._base import AbstractModel
from mfgen.trainers._failure import NonFiniteError
from mfgen.trainers._history import Callback, Candidate, History, Progress, Trial
from mfgen.trainers._state import CheckpointError, Checkpoints

Train = Callable[[Combination, Callback | None, Checkpoints | None], tuple[AbstractModel, History]]


class Choice(NamedTuple):
    """The weights to choose from: name and place of the term, and the weights."""

    term: str
    place: int
    weights: tuple[float, ...]

    @property
    def trials(self) -> tuple[Trial, ...]:
        """The trainings to be done, in order."""
        count = len(self.weights)
        return tuple(Trial(self.term, w, i, count) for i, w in enumerate(self.weights))


def candidates(objective: Combination, choice: Choice | None) -> tuple[Combination, ...]:
    """The objectives that are trained on: one for each weight if there is a choice."""
    if choice is None:
        return (objective,)
    return tuple(_weighted(objective, choice.place, weight) for weight in choice.weights)


def choice(objective: Combination, select: Mapping[str, Sequence[float]] | None) -> Choice | None:
    """The choice that `select` asks for, as in `fit`; `None` if it asks for nothing.

    Raises:
        ValueError: unless it names one regulariser among other terms, and weights that are
            different, finite and not negative.
    """
    if select is None:
        return None
    if len(select) != 1:
        raise ValueError(
            f"`fit` got select for {len(select)} terms ({', '.join(select) or 'none'}), expected "
            'one: pass select={"HJB": (0.0, 0.1, 0.3, 1.0)}.'
        )
    ((term, weights),) = select.items()
    if term not in objective.names:
        raise ValueError(
            f"`fit` got select for {term!r}, expected a term of the objective, one of "
            f"{', '.join(objective.names)}: correct the name, or add the term to the objective."
        )
    place = objective.names.index(term)
    regularises = [part.regularises for _, part in objective.parts]
    if not regularises[place] or all(regularises):
        raise ValueError(
            f"`fit` got select for {term!r}, expected a regulariser beside a term that fits the "
            "data: otherwise its weight changes the validation loss itself."
        )
    return Choice(term, place, _checked(term, weights))


def select(
    train: Train,
    objective: Combination,
    choice: Choice,
    callback: Callback | None,
    checkpoints: Checkpoints | None,
) -> tuple[AbstractModel, History]:
    """Trains with each weight; the model of the smallest validation loss, and its history.

    Arguments:
        train: trains on an objective, with a callback and checkpoints.
        objective: the weighted terms.
        choice: the term whose weight is replaced, and by what.
        callback: told of the records of all trainings, each with its `trial`.
        checkpoints: of the whole; each training has a folder of its own inside.

    Raises:
        CheckpointError: if `checkpoints` hold a run that is no selection.
        NonFiniteError: if every training met a value that is not finite.
    """
    if checkpoints is not None and checkpoints.latest is not None:
        raise CheckpointError(
            f"`fit` got a folder that holds a run without selection ({checkpoints.directory}), "
            "expected an empty one or one of a selection: choose another folder."
        )
    candidates: list[Candidate] = []
    best: tuple[int, AbstractModel, History] | None = None
    failure: NonFiniteError | None = None
    for trial in choice.trials:
        reporter = _Reporter(trial, callback)
        part = None if checkpoints is None else checkpoints.branch(f"{trial.term}-{trial.weight}")
        try:
            model, history = train(_weighted(objective, choice.place, trial.weight), reporter, part)
        except NonFiniteError as error:
            failure = error
            candidates.append(Candidate(trial.term, trial.weight, math.inf, None, reporter.seconds))
            continue
        loss = min((r.validation for r in history.records if r.validation is not None), default=0.0)
        seconds = history.records[-1].seconds if history.records else 0.0
        candidates.append(Candidate(trial.term, trial.weight, loss, history.best_step, seconds))
        if best is None or loss < candidates[best[0]].loss:
            best = trial.index, model, history
    if best is None:
        assert failure is not None
        tried = f" and so for every weight of {choice.term} ({', '.join(map(str, choice.weights))})"
        raise NonFiniteError(
            failure.step, failure.term, failure.checkpoint, tried, failure.advice
        ) from failure
    chosen, model, history = best
    candidates[chosen] = replace(candidates[chosen], chosen=True)
    return model, replace(history, selection=tuple(candidates))


class _Reporter:
    """Hands the records of one training on, and remembers how long it took."""

    def __init__(self, trial: Trial, callback: Callback | None):
        self._trial, self._callback, self.seconds = trial, callback, 0.0

    def __call__(self, progress: Progress) -> None:
        self.seconds = progress.seconds
        if self._callback is not None:
            self._callback(replace(progress, trial=self._trial))


def _weighted(objective: Combination, place: int, weight: float) -> Combination:
    """The objective with the weight of one term replaced; without the term if it is zero."""
    parts = list(objective.parts)
    parts[place : place + 1] = [(weight, parts[place][1])] if weight else []
    return Combination(tuple(parts))


def _checked(term: str, weights: Sequence[float]) -> tuple[float, ...]:
    good = [
        isinstance(weight, numbers.Real)
        and not isinstance(weight, bool)
        and math.isfinite(weight)
        and weight >= 0
        for weight in weights
    ]
    if not good or not all(good) or len(set(weights)) < len(weights):
        raise ValueError(
            f"`fit` got select = {list(weights)} for {term!r}, expected weights that are finite, "
            'not negative and all different: pass select={"HJB": (0.0, 0.1, 0.3, 1.0)}.'
        )
    return tuple(abs(float(weight)) for weight in weights)  # -0.0 is 0.0
