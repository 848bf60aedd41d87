"""A progress bar for runs: loss terms and rate while training, stages while judging."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from mfgen.lab.run import Watcher
from mfgen.train import history


class Monitor:
    """Shows a run on a terminal while the context is open; silent if `quiet`."""

    def __init__(self, title: str, console: Console, *, quiet: bool = False):
        self._title = title
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[terms]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=quiet,
            transient=True,
        )
        self._task = self._bar.add_task(title, total=None, terms="")

    def __enter__(self) -> "Monitor":
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    @property
    def watcher(self) -> Watcher:
        """What a run tells its records and stages to."""
        return Watcher(self._record, self._stage)

    def _record(self, progress: history.Progress) -> None:
        terms = "  ".join(f"{name} {value:.4g}" for name, value in progress.terms.items())
        rate = f"{progress.milliseconds_per_step:.3g} ms/step"
        self._bar.update(
            self._task, completed=progress.step, total=progress.steps, terms=f"{terms}  {rate}"
        )

    def _stage(self, name: str) -> None:
        self._bar.update(self._task, description=f"{self._title}: {name}", terms="")
        if name != "training":
            self._bar.reset(self._task, description=f"{self._title}: {name}", total=None, terms="")
