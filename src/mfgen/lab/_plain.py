"""What a document may hold: tables, lists, text, truth values and finite numbers.

Whatever a document came from, a file, a recipe or options of the command line, it is held to this
before anything looks into it.
"""

import math
from typing import Any

from mfgen._check import shortened

_DEEPEST = 40  # tables within tables
_LONGEST = 4096  # characters of text, which may be a path
_NAME = 100  # characters of a name
_KINDS = (bool, int, float, str, type(None))


def check(value: Any, path: str = "", depth: int = 0) -> None:
    """Refuses what no field of any class takes.

    Raises:
        ValueError: with the path of the first such value.
    """
    if depth > _DEEPEST:
        raise ValueError(
            f"`{shortened(path)}` is nested more than {_DEEPEST} deep, expected less: undo it."
        )
    match value:
        case dict():
            for name, member in value.items():
                check(member, _named(path, name), depth + 1)
            if type(value.get("type", "")) is not str:
                raise ValueError(
                    f"`{_named(path, 'type')}` got {shortened(value['type'], 80)}, expected a "
                    "name: write it in quotes."
                )
        case list():
            for index, member in enumerate(value):
                check(member, f"{path}[{index}]", depth + 1)
        case _:
            _check_value(value, path)


def _check_value(value: Any, path: str) -> None:
    match value:
        case float() if not math.isfinite(value):
            raise ValueError(f"`{path}` got {value}, expected a finite number: correct it.")
        case int() if not -(2**63) <= value < 2**63:
            raise ValueError(
                f"`{path}` got a number of {len(str(abs(value)))} digits, expected one of at most "
                "18: correct it."
            )
        case str() if len(value) > _LONGEST:
            raise ValueError(
                f"`{path}` got {len(value)} characters, expected at most {_LONGEST}: shorten it."
            )
        case _ if type(value) not in _KINDS:
            raise ValueError(
                f"`{path}` got the {type(value).__name__} {value}, expected a number, text or a "
                "table: write it in quotes, if it is a name."
            )


def _named(path: str, name: str) -> str:
    """The path of a member."""
    if len(name) > _NAME or not name.isprintable():
        raise ValueError(
            f"`{path or 'specification'}` got the name {shortened(repr(name))}, expected at most "
            f"{_NAME} characters that can be printed: correct it."
        )
    return f"{path}.{name}".lstrip(".")
