"""Times of several contenders taken in turn, and ratios of them.

A round takes one sample of each contender, A B C, and rounds follow each other, so that whatever
else the machine does falls on all of them alike. A sample is the processor time and the wall time
of one step, averaged over as many steps as fill a given time. Processor time leaves out the waits
for other processes; ratios are of processor time, and taken in two ways, since the first is what
the times in a table give and the second is blind to drifts of the machine:

    of medians      median over rounds of A / median over rounds of B
    within rounds   median over rounds of A / B, with quartiles
"""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple


class Sample(NamedTuple):
    """Seconds of one step: of the processor, and on the clock."""

    cpu: float
    wall: float


class Ratio(NamedTuple):
    """A ratio of medians, and the quartiles of the ratios within rounds."""

    of_medians: float
    low: float
    middle: float
    high: float


Measure = Callable[[], Sample]
Steps = Callable[[int], None]


def timed(steps: Steps, *, seconds: float) -> Measure:
    """A measure of steps that run in this process, warm and long enough to be timed.

    Arguments:
        steps: takes the number of steps to run, and returns when they are done.
        seconds: the processor time that one sample should take.
    """
    steps(1)
    first = _sample(steps, 1)
    count = math.ceil(min(seconds, 0.1) / first.cpu)
    count = math.ceil(seconds / _sample(steps, count).cpu)
    return lambda: _sample(steps, count)


def _sample(steps: Steps, count: int) -> Sample:
    cpu, wall = time.process_time(), time.perf_counter()
    steps(count)
    return Sample((time.process_time() - cpu) / count, (time.perf_counter() - wall) / count)


def take_turns(measures: Mapping[str, Measure], *, rounds: int) -> dict[str, list[Sample]]:
    """Samples of every contender, one in each round."""
    samples: dict[str, list[Sample]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            samples[name].append(measure())
    return samples


def median(samples: Sequence[Sample]) -> Sample:
    """The median processor time and the median wall time."""
    return Sample(*map(statistics.median, zip(*samples, strict=True)))


def ratio(above: Sequence[Sample], below: Sequence[Sample]) -> Ratio:
    """The processor time of one contender in units of that of another."""
    within = [a.cpu / b.cpu for a, b in zip(above, below, strict=True)]
    quartiles = statistics.quantiles(within, n=4, method="inclusive")
    return Ratio(median(above).cpu / median(below).cpu, *quartiles)
