"""What a training step of each method costs, measured side by side, for equal time on the clock.

Steps of the methods are timed in turn, alone on the machine, before any run.
The budget of a dimension is the time of 3,000 steps with the regulariser; every method gets the
number of steps that fit in it, less the time its estimate takes to be fitted.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

STEPS = 3000
_ROUND = 100  # numbers of steps are rounded to it, so that a small change of times changes no run


class Costs(NamedTuple):
    """What methods cost, by dimension.

    Attributes:
        step: milliseconds of a training step, by method.
        start: seconds to fit the estimate that a method corrects.
        likelihood: the time of a likelihood by 10 Runge-Kutta steps over that of one evaluation.
    """

    step: dict[str, dict[str, float]]
    start: dict[str, dict[str, float]]
    likelihood: dict[str, float]

    def ratio(self, dim: int, method: str, other: str) -> float:
        """The step of one method in units of another's."""
        return self.step[str(dim)][method] / self.step[str(dim)][other]

    def steps(self, dim: int, method: str, *, budget: str = "hjb", of: int = STEPS) -> int:
        """The steps of a method in the time of `of` steps of the method `budget`."""
        times, starts = self.step[str(dim)], self.start[str(dim)]
        seconds = of * times[budget] / 1e3 - starts.get(method, 0.0)
        return max(_ROUND, _ROUND * round(1e3 * seconds / times[method] / _ROUND))


def measured(path: Path, *, quick: bool) -> Costs:
    """The costs as kept at `path`, or measured now and kept there."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "benchmarks.hjb.clock", str(path)]
        subprocess.run([*command, *(["--quick"] if quick else [])], check=True)
    return Costs(**json.loads(path.read_text()))
