"""Runs the rows of a study, as many at a time as there are cores, and keeps every run.

A worker takes a row and runs its seeds one after the other, so that what the first has compiled
serves the others. A finished run is not run again; one that was stopped is continued from its last
checkpoint. A run that fails is told of and leaves the others alone.
"""

import multiprocessing
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from benchmarks.hjb.rows import Row

# A process is replaced after so many rows: what it has compiled is memory that it keeps.
_ROWS = 6


class Outcome(NamedTuple):
    """What became of a row: its seeds run now, the seconds, and the error if there was one."""

    row: Row
    ran: int
    seconds: float
    error: str | None


def outstanding(rows: Iterable[Row], root: Path) -> list[Row]:
    """The rows with a run that is not finished, the longest first."""
    left = [r for r in rows if not all(r.folder(root, seed).is_finished for seed in r.seeds)]
    return sorted(left, key=_work, reverse=True)


def run_all(
    rows: list[Row], root: Path, *, workers: int, told: Callable[[Outcome], None]
) -> list[Outcome]:
    """Runs what is outstanding; the rows that failed."""
    failed = []
    context = multiprocessing.get_context("spawn")
    jobs = [(row, root) for row in outstanding(rows, root)]
    with context.Pool(workers, maxtasksperchild=_ROWS) as pool:
        for outcome in pool.imap_unordered(_run, jobs, chunksize=1):
            told(outcome)
            if outcome.error is not None:
                failed.append(outcome)
    return failed


def _run(job: tuple[Row, Path]) -> Outcome:
    from mfgen.lab import run

    row, root = job
    began, ran = time.perf_counter(), 0
    for seed in row.seeds:
        folder = row.folder(root, seed)
        if folder.is_finished:
            continue
        try:
            run(row.seeded(seed), folder.path, resume=True)
        except Exception:  # a run of its own kind of failure must not end the study
            return Outcome(row, ran, time.perf_counter() - began, traceback.format_exc())
        ran += 1
    return Outcome(row, ran, time.perf_counter() - began, None)


def _work(row: Row) -> float:
    """A guess of how long a row takes, for the order alone."""
    training, data = row.experiment.training, row.experiment.data
    dim = data.dim or {"digits": 64, "breast-cancer": 30, "wine": 13, "diabetes": 10}.get(
        data.name, 2
    )
    return len(row.seeds) * (training.steps + 1000.0) * (1 + dim / 8)
