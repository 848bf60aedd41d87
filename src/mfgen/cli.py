"""The commands `mfgen list | show | run | check | plan | solve | sample | compare | report | demo`.

Results go to the standard output, as tables or with --json as JSON alone; progress and errors go to
the standard error. What went wrong is one line `error: ...` without a traceback, and exit code 2
for a mistake of the user, 1 for a fault of mfgen. Heavy imports wait until a command needs them.
"""

import contextlib
import io
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tyro.conf import OmitArgPrefixes, Positional, arg, subcommand

from mfgen.lab import failure, interrupt, process, usage

if TYPE_CHECKING:
    from rich.console import Console

    from mfgen.lab.answer import Answer

_UNLIMITED = 240

Folder = Annotated[Path | None, arg(metavar="PATH", help_behavior_hint="")]
Number = Annotated[int | None, arg(metavar="INT", help_behavior_hint="")]
Data = Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")]
Runs = Positional[
    Annotated[tuple[Path, ...], arg(metavar="RUN [RUN ...]", help_behavior_hint="(required)")]
]


@dataclass(frozen=True)
class List:
    """Recipes, oracles and data sets by name."""

    json: bool = False
    """Print JSON."""

    def __call__(self, console: "Console") -> "Answer":
        from mfgen.lab import listing

        return listing.names()


@dataclass(frozen=True)
class Show:
    """What a name stands for: a game with its equations and specification, or a data set."""

    name: Positional[Annotated[str, arg(metavar="NAME")]]
    """A recipe, an oracle or a data set."""
    data: Data = None
    """The data set for which a recipe's settings are shown (default: gaussians8)."""
    json: bool = False
    """Print JSON."""

    def __call__(self, console: "Console") -> "Answer":
        from mfgen.lab import listing

        return listing.one(self.name, self.data)


@dataclass(frozen=True)
class Run:
    """Train and judge a model; writes a folder."""

    spec: Positional[Annotated[str, arg(metavar="SPEC")]]
    """A recipe, or the path of a specification in TOML."""
    out: Folder = None
    """The folder (default: runs/SPEC-DATA-SEED)."""
    seed: Number = None
    """Replaces the seed."""
    steps: Number = None
    """Replaces the number of training steps."""
    data: Data = None
    """Replaces the data set; refused if a file gives numbers that were chosen for its own data."""
    path: Folder = None
    """The file of the data `table`, or the folder of `mnist`."""
    resume: bool = False
    """Continue the run in the folder from its last checkpoint."""
    allow_import: bool = False
    """Allow the specification to run code of its own."""
    json: bool = False
    """Print the summary as JSON."""

    def __call__(self, console: "Console") -> "Answer":
        from mfgen.lab import commands

        return commands.run(
            self.spec,
            out=self.out,
            seed=self.seed,
            steps=self.steps,
            data=self.data,
            path=self.path,
            resume=self.resume,
            allow_import=self.allow_import,
            console=console,
        )


@dataclass(frozen=True)
class Check:
    """Whether a game is well posed, with evidence and repairs."""

    spec: Positional[Annotated[str, arg(metavar="SPEC")]]
    """A recipe, an oracle, or the path of a specification in TOML."""
    data: Data = None
    """The data set of a recipe (default: gaussians8)."""
    path: Folder = None
    """The file of the data `table`, or the folder of `mnist`."""
    spacing: Annotated[float | None, arg(metavar="FLOAT", help_behavior_hint="")] = None
    """The width of a grid's cells, whose resolution is then judged as well."""
    step: Annotated[float | None, arg(metavar="FLOAT", help_behavior_hint="")] = None
    """The step of that grid in time."""
    allow_import: bool = False
    """Allow the specification to run code of its own."""
    json: bool = False
    """Print JSON."""

    def __call__(self, console: "Console") -> "Answer":
        from mfgen.lab import checked

        return checked.report(
            self.spec,
            data=self.data,
            path=self.path,
            spacing=self.spacing,
            step=self.step,
            allow_import=self.allow_import,
        )


@dataclass(frozen=True)
class Plan:
    """The ways in which a game can be trained: the first that fits, and what others lack."""

    spec: Positional[Annotated[str, arg(metavar="SPEC")]]
    """A recipe, an oracle, or the path of a specification in TOML."""
    data: Data = None
    """The data set of a recipe (default: gaussians8)."""
    path: Folder = None
    """The file of the data `table`, or the folder of `mnist`."""
    allow_import: bool = False
    """Allow the specification to run code of its own."""
    json: bool = False
    """Print JSON."""

    def __call__(self, console: "Console") -> "Answer":
        from mfgen.lab import planned

        return planned.ways(
            self.spec, data=self.data, path=self.path, allow_import=self.allow_import
        )


@dataclass(frozen=True)
class Solve:
    """Solve a game, certify the solution, hold it against the exact one; writes a folder."""

    spec: Positional[Annotated[str, arg(metavar="SPEC")]]
    """An oracle, a recipe, or the path of a specification in TOML."""
    solver: Annotated[str, arg(metavar="NAME")] = "grid"
    """grid, hopf-cole, riccati or neural."""
    dim: Annotated[int, arg(metavar="INT")] = 1
    """The dimension of an oracle."""
    box: Annotated[float | None, arg(metavar="FLOAT", help_behavior_hint="")] = None
    """Half the width of the grid's box around the origin (default: holds the mass)."""
    points: Number = None
    """Cells of the grid along an axis (default: 400, or 64 in the plane)."""
    steps: Number = None
    """Steps of the grid in time, or of the network's training."""
    seed: Annotated[int, arg(metavar="INT")] = 0
    """Of the network."""
    data: Data = None
    """The data set of a recipe (default: gaussians8)."""
    path: Folder = None
    """The file of the data `table`, or the folder of `mnist`."""
    out: Folder = None
    """The folder (default: runs/SPEC-SOLVER)."""
    allow_import: bool = False
    """Allow the specification to run code of its own."""
    json: bool = False
    """Print JSON."""

    def __call__(self, console: "Console") -> "Answer":
        from mfgen.lab import solving

        settings = solving.Settings(
            self.solver, self.dim, self.box, self.points, self.steps, self.seed
        )
        with console.status(f"solving {self.spec}"):
            return solving.solved(
                self.spec,
                settings,
                data=self.data,
                path=self.path,
                allow_import=self.allow_import,
                out=self.out,
            )


@dataclass(frozen=True)
class Sample:
    """Draw samples of a trained model into an npz file."""

    run: Positional[Annotated[Path, arg(metavar="RUN")]]
    """The folder of a finished run."""
    n: Annotated[int, arg(aliases=["-n"], metavar="INT")] = 1000
    """How many."""
    seed: Annotated[int, arg(metavar="INT")] = 0
    """Which samples."""
    out: Folder = None
    """The file (default: samples-N-SEED.npz in the folder)."""
    allow_import: bool = False
    """Allow the run to use code of its own."""
    json: bool = False
    """Print JSON."""

    def __call__(self, console: "Console") -> "Answer":
        from mfgen.lab import commands

        return commands.sample(
            self.run, self.n, seed=self.seed, out=self.out, allow_import=self.allow_import
        )


@dataclass(frozen=True)
class Compare:
    """Print the measures of finished runs side by side, or hold a run against a solver."""

    runs: Runs
    """Folders of finished runs."""
    solver: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    """Solve the game of one run (grid, hopf-cole, riccati or neural) and compare with its model."""
    box: Annotated[float | None, arg(metavar="FLOAT", help_behavior_hint="")] = None
    """Half the width of the solver's box around the origin (default: holds the particles)."""
    points: Number = None
    """Cells along an axis (default: 400, or 64 in the plane)."""
    steps: Number = None
    """Steps of the grid in time, or of the network's training."""
    out: Folder = None
    """The folder of table and figure (default: compare-SOLVER in the folder of the run)."""
    allow_import: bool = False
    """Allow the run to use code of its own."""
    json: bool = False
    """Print JSON."""

    def __call__(self, console: "Console") -> "Answer":
        from mfgen.lab import commands, solving

        if self.solver is None:
            return commands.compare(self.runs)
        if len(self.runs) != 1:
            raise ValueError(
                f"`compare` got {len(self.runs)} runs with --solver, expected one: name one folder."
            )
        settings = solving.Settings(self.solver, box=self.box, points=self.points, steps=self.steps)
        with console.status(f"solving the game of {self.runs[0]}"):
            return commands.against(
                self.runs[0], settings, out=self.out, allow_import=self.allow_import
            )


@dataclass(frozen=True)
class Report:
    """Write one page with tables and figures of finished runs."""

    runs: Runs
    """Folders of finished runs."""
    out: Folder = None
    """The file (default: report.html in the folder, or beside the folders)."""
    json: bool = False
    """Print JSON."""

    def __call__(self, console: "Console") -> "Answer":
        from mfgen.lab import commands

        return commands.report_runs(self.runs, out=self.out)


@dataclass(frozen=True)
class Demo:
    """Train with and without the HJB regulariser on 8 Gaussians and on digits; write a report."""

    out: Annotated[Path, arg(metavar="PATH")] = Path("runs/demo")
    """The folder of the runs; a demo that was stopped is continued."""
    json: bool = False
    """Print JSON."""

    def __call__(self, console: "Console") -> "Answer":
        from mfgen.lab import commands

        return commands.demo(self.out, console)


Command = (
    Annotated[List, subcommand("list")]
    | Annotated[Show, subcommand("show")]
    | Annotated[Run, subcommand("run")]
    | Annotated[Check, subcommand("check")]
    | Annotated[Plan, subcommand("plan")]
    | Annotated[Solve, subcommand("solve")]
    | Annotated[Sample, subcommand("sample")]
    | Annotated[Compare, subcommand("compare")]
    | Annotated[Report, subcommand("report")]
    | Annotated[Demo, subcommand("demo")]
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code.

    Arguments:
        arguments: what follows `mfgen`; if absent, that of the process, which Ctrl-C then ends.

    Returns:
        0, or 2 for a mistake of the user, 1 for a fault of mfgen, 130 if interrupted.
    """
    if arguments is not None:
        return _run(arguments)
    # Without a home to write to, matplotlib warns and works in a temporary folder.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    with interrupt.ends_the_program():
        return _run(sys.argv[1:])


def _run(arguments: Sequence[str]) -> int:
    if list(arguments) == ["--version"]:
        from mfgen import __version__

        return _say(f"mfgen {__version__}\n")
    try:
        command = _parse(arguments)
    except ValueError as error:
        return _complain(*failure.told(error))
    from rich.console import Console

    try:
        console = Console(stderr=True)
        # Whoever asks for JSON reads it by a program: progress is for people alone.
        console.quiet = command.json and not console.is_terminal
        page = _page(command(console), command.json)
    except KeyboardInterrupt:
        return _complain(interrupt.MESSAGE, interrupt.CODE)
    except Exception as error:
        if os.environ.get("MFGEN_TRACEBACK"):
            raise
        return _complain(*failure.told(error))
    return _say(page)


def _parse(arguments: Sequence[str]):
    """The command; complaints of the parser, boxes of several lines, become one line."""
    boxes = io.StringIO()
    try:
        with contextlib.redirect_stderr(boxes):
            return _read(arguments)
    except SystemExit as stop:
        if not stop.code:
            raise
        raise ValueError(usage.complaint(boxes.getvalue(), arguments, _help)) from None


def _read(arguments: Sequence[str]):
    return tyro.cli(
        Command,  # pyright: ignore[reportArgumentType]
        args=list(arguments),
        prog="mfgen",
        description="A mean-field-games laboratory for generative models "
        "(mfgen --version says which).",
        config=(tyro.conf.FlagCreatePairsOff, OmitArgPrefixes),
    )


def _help(arguments: Sequence[str]) -> str:
    """What `mfgen ... --help` prints."""
    page = io.StringIO()
    with contextlib.redirect_stdout(page), contextlib.suppress(SystemExit):
        _read([*arguments, "--help"])
    return page.getvalue()


def _page(answer: "Answer", as_json: bool) -> str:
    if as_json:
        from mfgen.lab import kept

        return kept.encode(answer.document) + "\n"
    from rich.console import Console

    # In a file or a pipe no table is squeezed into the width of a terminal.
    width = None if sys.stdout.isatty() else _UNLIMITED
    console = Console(highlight=False, width=width)
    with console.capture() as page:
        console.print(answer.view, crop=False)
    return page.get()


def _say(page: str) -> int:
    sys.stdout.write(page)
    sys.stdout.flush()
    return 0


def _complain(message: str, code: int) -> int:
    line = " ".join(message.split())
    sys.stderr.write(f"error: {line}\n")
    return code


if __name__ == "__main__":
    sys.exit(process.run(main))
