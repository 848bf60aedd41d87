"""The commands `mfgen list | show | run | check | plan | solve | sample | compare | report | demo`.

Results go to the standard output, as tables or with --json as JSON alone; progress and errors go to
the standard error. What went wrong is one line `error: ...` without a traceback, and exit code 2
for a mistake of the user, 1 for a fault of mfgen. Heavy imports wait until a command needs them.
"""

import argparse
import contextlib
import io
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module, metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn

from mfgen.lab import _failure, _interrupt, _process

_UNLIMITED = 240
_RUNS = {"nargs": "+", "type": Path, "metavar": "RUN", "help": "folders of finished runs"}
_SPEC = "a recipe, or the path of a specification in TOML"


class Option(NamedTuple):
    """An option: what is given with it, what it says, its value if it is not given, the choice."""

    kind: type
    help: str
    default: Any = None
    choices: tuple[str, ...] = ()

    def taken(self, command: str, flag: str, text: str) -> Any:
        """The value that a text stands for.

        Raises:
            ValueError: in the words of the command line.
        """
        from mfgen._near import near

        expected, advice = _EXPECTED[self.kind], "correct it, or leave it out."
        if self.choices:
            expected = f"one of {', '.join(self.choices)}"
            advice = near(text, self.choices, "choose one of them.")
        elif text.strip():
            with contextlib.suppress(ValueError):
                return self.kind(text)
        if text not in self.choices:
            raise ValueError(f"`{command}` got {flag} {text!r:.80}, expected {expected}: {advice}")
        return text


_EXPECTED = {str: "a name", Path: "a path", int: "a whole number", float: "a number"}
_SOLVERS = ("grid", "hopf-cole", "riccati", "neural")
_SHOWN = {str: "NAME", Path: "PATH", int: "INT", float: "FLOAT", list: "PATH=VALUE"}
# Each option is declared here, once.
_OPTIONS = {
    "data": Option(str, "the data set of a recipe (default: gaussians8)"),
    "path": Option(Path, "the file of the data `table`, or the folder of `mnist`"),
    "set": Option(list, "replaces a field, such as game.lagrangian.speed=2; may be repeated"),
    "allow-import": Option(bool, "allow a specification to run its own code"),
    "json": Option(bool, "print JSON"),
    "out": Option(Path, "where to write (default: in runs, by name)"),
    "seed": Option(int, "replaces the seed"),
    "steps": Option(int, "steps of the training, or of a solver"),
    "resume": Option(bool, "continue the run in the folder"),
    "spacing": Option(float, "width of a grid's cells to judge"),
    "step": Option(float, "the step of that grid in time"),
    "solver": Option(str, "grid, hopf-cole, riccati or neural", None, _SOLVERS),
    "dim": Option(int, "the dimension of an oracle", 1),
    "box": Option(float, "half the width of the grid's box"),
    "points": Option(int, "cells of the grid along an axis"),
    "n": Option(int, "how many samples", 1000),
}
_SOURCE = ("data", "path", "set", "allow-import")


class Command(NamedTuple):
    """A command: what it does, what it is given, and the function that answers.

    Attributes:
        summary: in one line.
        answer: `module:function` in `mfgen.lab`.
        given: the positional argument, its name and its declaration.
        options: names of options.
        defaults: of options, where they are others than usual.
    """

    summary: str
    answer: str
    given: tuple[str, dict[str, Any]] | None = None
    options: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = MappingProxyType({})


def _spec(more: str = "") -> tuple[str, dict[str, Any]]:
    return "spec", {"metavar": "SPEC", "help": f"{_SPEC}{more}"}


_COMMANDS: dict[str, Command] = {
    "list": Command("Recipes, oracles and data sets by name.", "listing:names"),
    "show": Command(
        "What a name stands for: a game with its equations and specification, a class, data.",
        "listing:show",
        _spec("; an oracle, a data set, or a class such as Kinetic"),
        _SOURCE,
    ),
    "run": Command(
        "Train and judge a model; writes a folder.",
        "commands:run",
        _spec(),
        (*_SOURCE, "out", "seed", "steps", "resume"),
    ),
    "check": Command(
        "Whether a game is well posed, with evidence and repairs.",
        "games:check",
        _spec("; or an oracle"),
        (*_SOURCE, "spacing", "step"),
    ),
    "plan": Command(
        "The ways in which a game can be trained: the first that fits, and what others lack.",
        "games:plan",
        _spec("; or an oracle"),
        _SOURCE,
    ),
    "solve": Command(
        "Solve a game, certify the solution, hold it against the exact one; writes a folder.",
        "solving:solve",
        _spec("; or an oracle"),
        (*_SOURCE, "solver", "dim", "box", "points", "steps", "seed", "out"),
        {"solver": "grid", "seed": 0},
    ),
    "sample": Command(
        "Draw samples of a trained model into an npz file.",
        "commands:sample",
        ("run", {"type": Path, "metavar": "RUN", "help": "the folder of a finished run"}),
        ("n", "seed", "out", "allow-import"),
        {"seed": 0},
    ),
    "compare": Command(
        "Print the measures of finished runs side by side, or hold a run against a solver.",
        "commands:compare",
        ("runs", _RUNS),
        ("solver", "box", "points", "steps", "out", "allow-import"),
    ),
    "report": Command(
        "Write one page with tables and figures of finished runs.",
        "commands:write_report",
        ("runs", _RUNS),
        ("out",),
    ),
    "demo": Command(
        "Train with and without the HJB regulariser on 8 Gaussians and on digits; write a report.",
        "commands:demo",
        options=("out",),
        defaults={"out": Path("runs/demo")},
    ),
}
_CONSOLE = ("run", "solve", "compare", "demo")  # commands that show how far they are


class _Page(Exception):
    """A page of help that was asked for."""


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are errors of one line."""

    def print_help(self, file: Any = None) -> NoReturn:
        raise _Page(self.format_help())

    def error(self, message: str) -> NoReturn:
        message = message.replace("the following arguments are required:", "got no")
        raise ValueError(f"`{self.prog}` {message}: see `{self.prog} --help`.")


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
    with _interrupt.ends_the_program():
        return _run(sys.argv[1:])


def _run(arguments: Sequence[str]) -> int:
    try:
        if list(arguments) == ["--version"]:
            page = f"mfgen {metadata.version('mfgen')}\n"
        else:
            page = _answer(**vars(_parse(list(arguments))))
    except _Page as asked:
        page = str(asked)
    except KeyboardInterrupt:
        return _complain(_interrupt.MESSAGE, _interrupt.CODE)
    except Exception as error:
        if os.environ.get("MFGEN_TRACEBACK"):
            raise
        return _complain(*_failure.told(error))
    # Outside: a place that cannot be written to is told by who runs the process.
    sys.stdout.write(page)
    sys.stdout.flush()
    return 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    """The command and its options.

    Raises:
        ValueError: one line, with the nearest name.
    """
    from mfgen._near import near

    known = ", ".join(_COMMANDS)
    first = arguments[0] if arguments else None
    if first not in (*_COMMANDS, "-h", "--help"):
        got = "no command" if first is None else repr(first)
        advice = near(first or "", _COMMANDS, "see `mfgen --help`.")
        raise ValueError(f"`mfgen` got {got}, expected one of {known}: {advice}")
    parser = _Parser(
        prog="mfgen",
        description="A mean-field-games laboratory for generative models "
        "(mfgen --version says which).",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    for name, command in _COMMANDS.items():
        _declare(commands.add_parser(name, help=command.summary, allow_abbrev=False), command)
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        command = _COMMANDS[options.command]
        flags = [f"--{name}" for name in (*command.options, "json")]
        wrong = next((word for word in unknown if word.startswith("-")), None)
        if wrong is None:
            raise ValueError(
                f"`mfgen {options.command}` got {unknown[0]!r}, expected nothing more: remove it."
            )
        name = wrong.split("=")[0]
        advice = near(name, flags, "remove it.")
        raise ValueError(
            f"`mfgen {options.command}` got {name}, expected one of {', '.join(flags)}: {advice}"
        )
    for name in _COMMANDS[options.command].options:
        option, field = _OPTIONS[name], name.replace("-", "_")
        if option.kind in _EXPECTED and type(text := getattr(options, field)) is str:
            flag = "-n" if name == "n" else f"--{name}"
            setattr(options, field, option.taken(options.command, flag, text))
    return options


def _declare(parser: argparse.ArgumentParser, command: Command) -> None:
    parser.description = command.summary
    if command.given is not None:
        name, declared = command.given
        parser.add_argument(name, **declared)
    for name in (*command.options, "json"):
        option, flags = _OPTIONS[name], ("-n", "--n") if name == "n" else (f"--{name}",)
        declared: dict[str, Any] = {"help": option.help, "action": "store_true"}
        if option.kind is not bool:
            declared |= {"metavar": _SHOWN[option.kind], "action": "store"}
            declared["default"] = command.defaults.get(name, option.default)
        if option.kind is list:
            declared |= {"action": "append"}
        parser.add_argument(*flags, **declared)


def _answer(command: str, json: bool, **options: Any) -> str:
    """What the function of a command answers, as it is printed."""
    from rich.console import Console

    module, function = _COMMANDS[command].answer.split(":")
    if "spec" in options:
        from mfgen.lab._find import Source

        options["set"] = tuple(options["set"] or ())
        taken = {name: options.pop(name) for name in Source._fields}
        options["source"] = Source(**taken)
    if command in _CONSOLE:
        console = options["console"] = Console(stderr=True)
        # Whoever asks for JSON reads it by a program: progress is for people alone.
        console.quiet = json and not console.is_terminal
    answer = getattr(import_module(f"mfgen.lab._{module}"), function)(**options)
    if json:
        from mfgen.lab import _kept

        return _kept.encode(answer.document) + "\n"
    # On paper first: what cannot be written is told by who runs the process. In a file or a pipe no
    # table is squeezed into the width of a terminal.
    terminal = sys.stdout.isatty()
    paper = io.StringIO()
    width = None if terminal else _UNLIMITED
    console = Console(file=paper, force_terminal=terminal, highlight=False, width=width)
    console.print(answer.view, crop=False)
    return paper.getvalue()


def _complain(message: str, code: int) -> int:
    line = " ".join(message.split())
    sys.stderr.write(f"error: {line}\n")
    return code


if __name__ == "__main__":
    sys.exit(_process.run(main))
