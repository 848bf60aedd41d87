"""Measures the regulariser: runs what is outstanding, then writes the page and its figures.

    python -m benchmarks.hjb                      # whole; about three hours of two cores
    python -m benchmarks.hjb --only density       # one study: both densities of models
    python -m benchmarks.hjb --quick              # 5 minutes; few runs, in a folder of its own
    python -m benchmarks.hjb --page               # no runs: the page from the runs there are

Runs are kept in --runs, each in a folder as of `mfgen run`, and a stopped study goes on where it
was. --protein names the UCI protein table (csv); without it that line is left out.
"""

import argparse
import os
import sys
import time
from pathlib import Path

from benchmarks.harness.threads import one_thread
from benchmarks.hjb import page
from benchmarks.hjb.cost import measured
from benchmarks.hjb.rows import unique
from benchmarks.hjb.runner import Outcome, outstanding, run_all
from benchmarks.hjb.whole import design

ROOT = Path(__file__).parents[2]


def main() -> int:
    options = _options()
    one_thread()
    runs = Path(options.runs or ROOT / "runs" / ("hjb-quick" if options.quick else "hjb"))
    out = ROOT / "docs" / "results" if not options.quick else runs
    print("timing steps", flush=True)
    costs = measured(runs / "cost.json", quick=options.quick)
    rows = design(costs, quick=options.quick, protein=options.protein)
    failed = []
    if not options.page:
        asked = options.only
        distinct = unique([row for row in rows if not asked or row.study.split()[0] in asked])
        left = outstanding(distinct, runs)
        print(f"{len(left)} of {len(distinct)} rows to run on {options.workers} cores", flush=True)
        failed = run_all(distinct, runs, workers=options.workers, told=_Told(len(left)))
    print(page.write(rows, runs, out, costs=costs, quick=options.quick))
    for outcome in failed:
        print(f"failed: {outcome.row.folder(runs, 0).path.parent}\n{outcome.error}")
    return 1 if failed else 0


class _Told:
    """A line for each row that is done, with the time that is left."""

    def __init__(self, total: int):
        self._total, self._done, self._began = total, 0, time.monotonic()

    def __call__(self, outcome: Outcome) -> None:
        self._done += 1
        spent = time.monotonic() - self._began
        row = outcome.row
        said = "failed" if outcome.error else f"{outcome.ran} seeds in {outcome.seconds:.0f} s"
        print(
            f"[{self._done}/{self._total}, {spent / 60:.1f} min] {row.study}: {row.setting}, "
            f"{row.method}: {said}",
            flush=True,
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the HJB regulariser, write a report.")
    parser.add_argument("--quick", action="store_true", help="few short runs")
    parser.add_argument("--page", action="store_true", help="write the page from what is there")
    parser.add_argument("--only", nargs="*", help="names of studies to run")
    parser.add_argument("--runs", help="where runs are kept")
    parser.add_argument("--protein", help="the UCI protein table, csv or csv.gz")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
