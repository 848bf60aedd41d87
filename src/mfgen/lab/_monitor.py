"""What is shown of a run while it goes, on the standard error.

On a terminal a bar: first what must not be cut off on a narrow one, then the stage and the loss
terms by the capitals of their names. Elsewhere, in a file or a pipe, a plain line now and then, and
none at all for a run of a few seconds.
"""

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column
from rich.text import Text

from mfgen.lab._case import Watcher
from mfgen.trainers import _history

_PATIENCE = 10.0  # seconds after which a run is no longer silent
_PAUSE = 20.0  # seconds from one line on the training to the next


@contextlib.contextmanager
def shown(title: str, console: Console) -> Iterator[Watcher]:
    """Shows a run while the context is open: gives what the run tells its records and stages to."""
    with Bar(title, console) if console.is_terminal else Lines(title, console) as monitor:
        yield Watcher(monitor.record, monitor.stage)


class Bar:
    """A progress bar below the title."""

    def __init__(self, title: str, console: Console):
        fixed = Column(no_wrap=True)
        self._title = title
        self._bar = Progress(
            SpinnerColumn(table_column=fixed),
            BarColumn(bar_width=10 if console.width < 100 else 24, table_column=fixed),
            TextColumn("{task.fields[count]}", table_column=fixed),
            TimeElapsedColumn(table_column=fixed),
            TextColumn("{task.fields[left]}", table_column=fixed),
            _Ending(),
            console=console,
            transient=True,
        )
        self._task = self._begin("")

    def __enter__(self) -> "Bar":
        self._bar.console.print(self._title, highlight=False, markup=False)
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    @property
    def view(self) -> RenderableType:
        """What is on the terminal now."""
        return self._bar.get_renderable()

    def record(self, progress: _history.Progress) -> None:
        """Shows a record of the training."""
        self._bar.update(
            self._task,
            completed=progress.done,
            total=progress.total,
            description=f"training  {_terms(progress)}",
            count=f"{progress.done}/{progress.total}",
            left=f"{_left(progress)} left",
        )

    def stage(self, name: str) -> None:
        """Shows that a stage begins; how long it takes is not known."""
        self._bar.remove_task(self._task)
        self._task = self._begin(name)

    def _begin(self, name: str):
        return self._bar.add_task(name, total=None, count="", left="")


class Lines:
    """Plain lines: each stage as it begins, and the training from time to time.

    Arguments:
        title: what stands before each line.
        console: where they go.
        clock: the time in seconds.
        patience: for how long nothing is said.
    """

    def __init__(
        self,
        title: str,
        console: Console,
        *,
        clock: Callable[[], float] = time.monotonic,
        patience: float = _PATIENCE,
    ):
        self._title, self._console, self._clock = title, console, clock
        self._patience, self._began = patience, clock()
        self._said = -_PAUSE  # when the training was last told of
        self._stage = ""
        self._timer = threading.Timer(patience, self._say_stage)
        self._timer.daemon = True

    def __enter__(self) -> "Lines":
        self._timer.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._timer.cancel()

    def record(self, progress: _history.Progress) -> None:
        """Tells of a record of the training, unless one was told of a moment ago."""
        now = self._clock() - self._began
        if now < self._patience or now - self._said < _PAUSE:
            return
        self._said = now
        self._say(
            f"step {progress.done}/{progress.total}  {_terms(progress)}  {_left(progress)} left"
        )

    def stage(self, name: str) -> None:
        """Tells that a stage begins; the one that goes on when the patience ends is told then."""
        self._stage = name
        if self._clock() - self._began >= self._patience:
            self._say_stage()

    def _say_stage(self) -> None:
        if self._stage:
            self._say(self._stage)

    def _say(self, text: str) -> None:
        self._console.print(f"{self._title}: {text}", highlight=False, markup=False, soft_wrap=True)


class _Ending(ProgressColumn):
    """The description, cut off at the end of the line rather than broken."""

    def render(self, task: Task) -> Text:
        return Text(task.description, no_wrap=True, overflow="ellipsis")


def _terms(progress: _history.Progress) -> str:
    trial = [f"{progress.trial.term} = {progress.trial.weight:g}"] if progress.trial else []
    terms = [f"{_short(name)} {value:.3g}" for name, value in progress.terms.items()]
    return "  ".join([*trial, *terms, f"{progress.milliseconds_per_step:.3g} ms/step"])


def _short(name: str) -> str:
    """A class by its capitals: `DenoisingScoreMatching` is DSM; short names stay."""
    capitals = "".join(re.findall(r"[A-Z0-9]", name))
    return capitals if len(name) > 8 and len(capitals) > 1 else name


def _left(progress: _history.Progress) -> timedelta:
    seconds = (progress.total - progress.done) * progress.milliseconds_per_step / 1e3
    return timedelta(seconds=round(seconds))
