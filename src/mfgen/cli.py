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
from collections.abc import Sequence
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from mfgen._near import near
from mfgen.lab import _failure, _process

_UNLIMITED = 240
_GIVEN = {
    "spec": {
        "metavar": "SPEC",
        "help": "a recipe, or the path of a specification in TOML; of what is shown, checked, "
        "planned or solved also an oracle",
    },
    "run": {"type": Path, "metavar": "RUN", "help": "the folder of a finished run"},
    "runs": {"nargs": "+", "type": Path, "metavar": "RUN", "help": "folders of finished runs"},
}
# Each option is declared here, once.
_OPTIONS: dict[str, dict[str, Any]] = {
    "data": {"metavar": "NAME", "help": "the data set of a recipe (default: gaussians8)"},
    "path": {
        "metavar": "PATH",
        "help": "the file of the data `table`, or the folder of `mnist`",
    },
    "set": {
        "action": "append",
        "default": [],
        "metavar": "PATH=VALUE",
        "help": "replaces a field, such as game.lagrangian.speed=2; may be repeated",
    },
    "allow-import": {"action": "store_true", "help": "allow a specification to run its own code"},
    "json": {"action": "store_true", "help": "print JSON"},
    "out": {"metavar": "PATH", "help": "where to write (default: in runs, by name)"},
    "seed": {"metavar": "INT", "help": "replaces the seed"},
    "steps": {"metavar": "INT", "help": "steps of the training, or of a solver"},
    "resume": {"action": "store_true", "help": "continue the run in the folder"},
    "spacing": {"metavar": "FLOAT", "help": "width of a grid's cells to judge"},
    "step": {"metavar": "FLOAT", "help": "the step of that grid in time"},
    "solver": {"metavar": "NAME", "help": "grid, hopf-cole, riccati or neural"},
    "dim": {"metavar": "INT", "help": "the dimension of an oracle"},
    "box": {"metavar": "FLOAT", "help": "half the width of the grid's box"},
    "points": {"metavar": "INT", "help": "cells of the grid along an axis"},
    "n": {"metavar": "INT", "help": "how many samples", "default": 1000},
}
# What is given with an option, by its metavar.
_KINDS = {
    "NAME": (str, "a name"),
    "PATH": (Path, "a path"),
    "INT": (int, "a whole number"),
    "FLOAT": (float, "a number"),
}
_CHOICES = {"solver": ("grid", "hopf-cole", "riccati", "neural")}
_SOURCE = ("data", "path", "set", "allow-import")


class Command(NamedTuple):
    """A command: what it does, what it is given, and the function that answers.

    Attributes:
        summary: in one line.
        answer: `module:function` in `mfgen.lab`.
        given: the positional argument, if there is one.
        options: names of options.
    """

    summary: str
    answer: str
    given: str | None = None
    options: tuple[str, ...] = ()


_COMMANDS: dict[str, Command] = {
    "list": Command("Recipes, oracles and data sets by name.", "listing:names"),
    "show": Command(
        "What a name stands for: a game with its equations and specification, a class, data.",
        "listing:show",
        "spec",
        _SOURCE,
    ),
    "run": Command(
        "Train and judge a model; writes a folder.",
        "commands:run",
        "spec",
        (*_SOURCE, "out", "seed", "steps", "resume"),
    ),
    "check": Command(
        "Whether a game is well posed, with evidence and repairs.",
        "games:check",
        "spec",
        (*_SOURCE, "spacing", "step"),
    ),
    "plan": Command(
        "The ways in which a game can be trained: the first that fits, and what others lack.",
        "games:plan",
        "spec",
        _SOURCE,
    ),
    "solve": Command(
        "Solve a game, certify the solution, hold it against the exact one; writes a folder.",
        "solving:solve",
        "spec",
        (*_SOURCE, "solver", "dim", "box", "points", "steps", "seed", "out"),
    ),
    "sample": Command(
        "Draw samples of a trained model into an npz file.",
        "commands:sample",
        "run",
        ("n", "seed", "out", "allow-import"),
    ),
    "compare": Command(
        "Print the measures of finished runs side by side, or hold a run against a solver.",
        "commands:compare",
        "runs",
        ("solver", "box", "points", "steps", "out", "allow-import"),
    ),
    "report": Command(
        "Write one page with tables and figures of finished runs.",
        "commands:write_report",
        "runs",
        ("out",),
    ),
    "demo": Command(
        "Train with and without the HJB regulariser on 8 Gaussians and on digits; write a report.",
        "commands:demo",
        options=("out",),
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
    with _process.ended_by_ctrl_c():
        return _run(sys.argv[1:])


def _run(arguments: Sequence[str]) -> int:
    try:
        page = _answer(**vars(_parse(list(arguments))))
    except _Page as asked:
        page = str(asked)
    except KeyboardInterrupt:
        return _complain(_process.INTERRUPTED, _process.INTERRUPT)
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
    parser = _Parser(
        prog="mfgen",
        description="A mean-field-games laboratory for generative models "
        "(mfgen --version says which).",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    for name, command in _COMMANDS.items():
        _declare(commands.add_parser(name, help=command.summary, allow_abbrev=False), command)
    first = arguments[0] if arguments else None
    if first == "--version":
        raise _Page(f"mfgen {metadata.version('mfgen')}\n")
    if first not in (*_COMMANDS, "-h", "--help"):
        got = "no command" if first is None else repr(first)
        advice = near(first or "", _COMMANDS, "see `mfgen --help`.")
        raise ValueError(f"`mfgen` got {got}, expected one of {', '.join(_COMMANDS)}: {advice}")
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        flags = [f"--{name}" for name in (*_COMMANDS[options.command].options, "json")]
        flag = next((word.split("=")[0] for word in unknown if word.startswith("-")), "")
        expected = f"one of {', '.join(flags)}" if flag else "nothing more"
        raise ValueError(
            f"`mfgen {options.command}` got {flag or repr(unknown[0])}, expected {expected}: "
            f"{near(flag, flags, 'remove it.')}"
        )
    for name in _COMMANDS[options.command].options:
        field = name.replace("-", "_")
        if type(text := getattr(options, field)) is str:
            setattr(options, field, _taken(options.command, name, text))
    return options


def _taken(command: str, name: str, text: str) -> Any:
    """What the text that is given with an option stands for.

    Raises:
        ValueError: in the words of the command line.
    """
    kind, expected = _KINDS[_OPTIONS[name]["metavar"]]
    advice, choices = "correct it, or leave it out.", _CHOICES.get(name)
    if choices:
        expected, advice = f"one of {', '.join(choices)}", near(text, choices, "take one of them.")
    if text.strip() and (not choices or text in choices):
        with contextlib.suppress(ValueError):
            return kind(text)
    flag = "-n" if name == "n" else f"--{name}"
    raise ValueError(f"`{command}` got {flag} {text!r:.80}, expected {expected}: {advice}")


def _declare(parser: argparse.ArgumentParser, command: Command) -> None:
    parser.description = command.summary
    if command.given is not None:
        parser.add_argument(command.given, **_GIVEN[command.given])
    for name in (*command.options, "json"):
        flags = ("-n", "--n") if name == "n" else (f"--{name}",)
        parser.add_argument(*flags, **_OPTIONS[name])


def _answer(command: str, json: bool, **options: Any) -> str:
    """What the function of a command answers, as it is printed."""
    from rich.console import Console

    module, function = _COMMANDS[command].answer.split(":")
    if "spec" in options:
        from mfgen.lab._find import Source

        options["source"] = Source(**{name: options.pop(name) for name in Source._fields})
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
    plain: dict[str, Any] = {"highlight": False, "markup": False, "emoji": False}
    console = Console(file=paper, force_terminal=terminal, width=width, **plain)
    console.print(answer.view, crop=False)
    return paper.getvalue()


def _complain(message: str, code: int) -> int:
    line = " ".join(message.split())
    sys.stderr.write(f"error: {line}\n")
    return code


if __name__ == "__main__":
    sys.exit(_process.run(main))
