"""What a document may hold: tables, lists, text, truth values and finite numbers.

Whatever a document came from, a file, a recipe or options of the command line, it is held to this
before anything looks into it.
"""

import math
from typing import Any

from mfgen._check import shortened
from mfgen.lab._paths import steps, walk

_DEEPEST = 40  # tables within tables
_LONGEST = 4096  # characters of text, which may be a path
_LEAST, _MOST = 1e-37, 1e38  # sizes of numbers: beyond, single precision has 0 or infinity
_NAME = 100  # characters of a name
_KINDS = (bool, int, float, str, type(None))


def check(document: dict[str, Any]) -> None:
    """Refuses what no field of any class takes.

    Raises:
        ValueError: with the path of the first such value.
    """
    for path, value in walk(document):
        match value:
            case dict() | list() if len(steps(path)) > _DEEPEST:
                raise ValueError(
                    f"`{shortened(path)}` is nested more than {_DEEPEST} deep, expected less: undo "
                    "it."
                )
            case dict():
                _check_names(value, path)
            case list():
                pass
            case _:
                _check_value(value, path)


def _check_value(value: Any, path: str) -> None:
    match value:
        case float() if not math.isfinite(value):
            raise ValueError(f"`{path}` got {value}, expected a finite number: correct it.")
        case float() if value and not _LEAST <= abs(value) <= _MOST:
            raise ValueError(
                f"`{path}` got {value}, expected 0 or a size from {_LEAST:g} to {_MOST:g}, as "
                "single precision holds: correct it."
            )
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


def _check_names(table: dict[str, Any], path: str) -> None:
    for name in table:
        if len(name) > _NAME or not name.isprintable():
            raise ValueError(
                f"`{path or 'specification'}` got the name {shortened(repr(name))}, expected at "
                f"most {_NAME} characters that can be printed: correct it."
            )
    if type(table.get("type", "")) is not str:
        raise ValueError(
            f"`{f'{path}.type'.lstrip('.')}` got {shortened(table['type'], 80)}, expected a name: "
            "write it in quotes."
        )
