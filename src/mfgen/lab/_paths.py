"""Documents as trees: paths such as `objective[1].paths.integrator`, and what may be in them.

A document holds tables, lists, text, truth values and finite numbers. Whatever it came from, a
file, a recipe or options of the command line, it is held to this before anything looks into it.
"""

import math
import re
from collections.abc import Iterator
from typing import Any

from mfgen._check import shortened

_DEEPEST = 40  # tables within tables
_LONGEST = 4096  # characters of text, which may be a path
_NAME = 100  # characters of a name
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def walk(part: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """A part of a document and all that is in it, by their paths, the outer before the inner."""
    yield path, part
    match part:
        case dict():
            for name, inner in part.items():
                yield from walk(inner, f"{path}.{name}".lstrip("."))
        case list():
            for index, inner in enumerate(part):
                yield from walk(inner, f"{path}[{index}]")


def steps(path: str) -> list[str]:
    """The parts of a path such as `objective[1].paths.integrator`."""
    return [name or index for name, index in _STEP.findall(path)]


def at(document: Any, path: str) -> Any:
    """What is at a path; `None` if nothing is."""
    for name in steps(path):
        document = _inside(document, name)
    return document


def put(document: dict[str, Any], path: str, value: Any, *, over: bool = True) -> None:
    """Puts a value at a path, where tables that are not there yet are made.

    Raises:
        ValueError: for a path that leads into a plain value or beyond a list.
    """
    *way, last = steps(path) or [""]
    place: Any = document
    for name in way:
        inner = _inside(place, name)
        match place, inner:
            case dict(), None:
                inner = place[name] = {}
            case dict(), str():  # "Kinetic" is { type = "Kinetic" }
                inner = place[name] = {"type": inner}
        place = inner
    match place:
        case dict():
            if over or last not in place:
                place[last] = value
        case list() if _inside(place, last) is not None:
            place[place.index(_inside(place, last))] = value
        case _:
            raise ValueError(
                f"`{path}` leads nowhere in the specification, expected the path of a field, such "
                "as game.lagrangian.speed: see `mfgen show`."
            )


def _inside(place: Any, name: str) -> Any:
    """The member of a table or a list, by its name, number or type; `None` if there is none."""
    match place:
        case dict():
            return place.get(name)
        case list() if name.isdecimal():
            return place[int(name)] if int(name) < len(place) else None
        case list():
            typed = (member for member in place if _inside(member, "type") == name)
            return next(typed, None)
    return None


def check(document: dict[str, Any]) -> None:
    """Refuses what no field of any class takes.

    Raises:
        ValueError: with the path of the first such value.
    """
    for path, value in walk(document):
        fault = _fault(path, value)
        if fault is not None:
            raise ValueError(f"`{shortened(path) or 'specification'}` got {fault}")


def _fault(path: str, value: Any) -> str | None:
    """What a value is, and should be, that no field takes."""
    match value:
        case _ if steps(path)[-1:] == ["type"] and type(value) is not str:
            return f"{shortened(value, 80)}, expected a name: write it in quotes."
        case dict() | list() if len(steps(path)) > _DEEPEST:
            return f"a part that is nested more than {_DEEPEST} deep, expected less: undo it."
        case dict():
            odd = [name for name in value if len(name) > _NAME or not name.isprintable()]
            fix = f"expected at most {_NAME} characters that can be printed: correct it."
            return f"the name {shortened(repr(odd[0]))}, {fix}" if odd else None
        case str() if len(value) > _LONGEST:
            return f"{len(value)} characters, expected at most {_LONGEST}: shorten it."
        case str():
            return None
        case float() if not math.isfinite(value):
            return f"{value}, expected a finite number: correct it."
        case int() if not -(2**63) <= value < 2**63:
            return f"a number of {len(str(abs(value)))} digits, expected at most 18: correct it."
        case None | bool() | int() | float() | list():
            return None
    expected = "a number, text or a table: write it in quotes, if it is a name."
    return f"the {type(value).__name__} {value}, expected {expected}"
