"""What is wrong with a command line, in one line.

The parser answers with a box of several lines. Here its message becomes: the command, what was got,
what was expected, and the fix, the nearest name where there is one.
"""

import difflib
import re
from collections.abc import Callable, Sequence


def complaint(box: str, arguments: Sequence[str], help_of: Callable[[Sequence[str]], str]) -> str:
    """Rewrites the box of the parser.

    Arguments:
        box: what the parser printed.
        arguments: the command line.
        help_of: the help page of some arguments, which names what they may be followed by.
    """
    text = _message(box)
    commands = _commands(help_of([]))
    if not arguments or arguments[0] not in commands:
        return _of_a_command(arguments, commands)
    command = f"`mfgen {arguments[0]}`"
    if match := re.match(r"unrecognized options: (.*)", text):
        options = _options(help_of(arguments[:1]))
        return f"{command} got {_of_an_option(match[1].split(', '), options)}"
    if match := re.match(r"error parsing (?:-\w/)?(\S+?): .*'(.*)'", text):
        return f"{command} got {match[1]} {match[2]}, expected a whole number: correct it."
    if match := re.match(r"missing value for argument '(.*?)'", text):
        return f"{command} got {match[1]} without a value, expected one: add it."
    if match := re.match(r"missing from mfgen \w+: (\S+) (.*?)\.? \(required\)", text):
        what = match[2][0].lower() + match[2][1:]
        return f"{command} got no {match[1]}, expected {what}: add it."
    return f"{text}: see `mfgen {arguments[0]} --help`."


def _of_a_command(arguments: Sequence[str], commands: list[str]) -> str:
    got = repr(arguments[0]) if arguments else "no command"
    near = difflib.get_close_matches(arguments[0], commands, n=1) if arguments else []
    fix = f"did you mean `{near[0]}`?" if near else "see `mfgen --help`."
    return f"`mfgen` got {got}, expected one of {', '.join(commands)}: {fix}"


def _of_an_option(unknown: list[str], options: list[str]) -> str:
    wrong = next((word for word in unknown if word.startswith("-")), None)
    if wrong is None:
        return f"{unknown[0]!r}, expected nothing more: remove it."
    name = wrong.split("=")[0]
    near = difflib.get_close_matches(name, options, n=1)
    fix = f"did you mean `{near[0]}`?" if near else "remove it."
    return f"{name}, expected one of {', '.join(options)}: {fix}"


def _message(box: str) -> str:
    """The message in a box: without its frame, its title, and the help after its first rule."""
    lines = [line.strip("│| ") for line in box.splitlines()[1:]]
    said = []
    for line in lines:
        if line.strip("─-╰╯+ "):
            said.append(line)
        elif said:
            break
    text = re.split(r"Got errors:|Argument helptext:", " ".join(said))[0].strip(" .:")
    return text[:1].lower() + text[1:] if text else "the arguments could not be read"


def _commands(page: str) -> list[str]:
    """The commands in the first line of the help of the program: `{list,show,...}`."""
    match = re.search(r"\{(.*?)\}", page, flags=re.DOTALL)
    return [name.strip() for name in match[1].split(",")] if match else []


def _options(page: str) -> list[str]:
    """The options in the help of a command: the words that begin a line of it."""
    return re.findall(r"^[│| ]+(?:-\w(?: [A-Z]+)?, )?(--[a-z][a-z-]*)", page, flags=re.MULTILINE)
