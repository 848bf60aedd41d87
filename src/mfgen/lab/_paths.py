"""Documents as trees: paths such as `objective[1].paths.integrator`, and what may be in them.

A document holds tables, lists, text, truth values and finite numbers. Whatever it came from, a
file, a recipe or options of the command line, it is held to this before anything looks into it.
"""

import math
import re
from collections.abc import Iterator
from typing import Any

from mfgen._check import shortened
from mfgen._near import near

_DEEPEST = 40  # tables within tables
_LONGEST = 4096  # characters of text, which may be a path
_LEAST, _MOST = 1e-37, 1e38  # sizes of numbers: beyond, single precision has 0 or infinity
_NAME = 100  # characters of a name
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_PATH = re.compile(r"[^.\[\]]+(?:\.[^.\[\]]+|\[\d+\])*")


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
        ValueError: for what is no path, or leads into a plain value or beyond a list.
    """
    if not _PATH.fullmatch(path):
        raise ValueError(
            f"`{path}` leads nowhere in the specification, expected names with points between "
            "them and numbers of entries, such as objective[0].weight: see `mfgen show`."
        )
    *way, last = steps(path)
    place: Any = document
    for depth, name in enumerate(way):
        try:
            place = _entered(place, name)
        except LookupError as error:
            raise ValueError(_lost(path, depth, error)) from None
    try:
        if over or type(place) is not dict or last not in place:
            place[_key(place, last)] = value
    except LookupError as error:
        raise ValueError(_lost(path, len(way), error)) from None


def _entered(place: Any, name: str) -> Any:
    """What is in a table or a list, a table in any case: one that is not there yet is made."""
    key = _key(place, name)
    inner = place.setdefault(key, {}) if type(place) is dict else place[key]
    if type(inner) is str:  # "Kinetic" is { type = "Kinetic" }
        inner = place[key] = {"type": inner}
    return inner


def _key(place: Any, name: str) -> Any:
    """The key of a member of a table or a list, by its name, number or type.

    Raises:
        LookupError: what is there, what was expected, and the advice.
    """
    match place:
        case dict():
            return name
        case list():
            index = _index(place, name)
            if index is not None:
                return index
            types = [str(kind) for kind in map(_type, place) if kind]
            known = f"a number below {len(place)}" if place else "an entry: put a whole list there"
            known += f" or one of {', '.join(types)}" if types else ""
            advice = near(name, types, "correct it.")
            raise LookupError(f"is a list of {len(place)}", f"{known}: {advice}")
    raise LookupError(f"is {place!r:.60}", "a table or a list: see `mfgen show`.")


def _lost(path: str, depth: int, error: LookupError) -> str:
    """Why a path leads nowhere after so many of its parts."""
    ends = [match.end() for match in _STEP.finditer(path)]
    got, expected = error.args
    return (
        f"`{path}` leads nowhere in the specification, as `{path[: ends[depth - 1]]}` {got}, "
        f"expected {expected}"
    )


def _type(member: Any) -> Any:
    """The type of a member of a list, which may be its name alone; `None` if it has none."""
    return member.get("type") if type(member) is dict else member if type(member) is str else None


def _index(place: list[Any], name: str) -> int | None:
    """The number of a member of a list, by its number or its type; `None` if there is none."""
    if name.isdecimal():
        return int(name) if int(name) < len(place) else None
    return next((n for n, member in enumerate(place) if _type(member) == name), None)


def _inside(place: Any, name: str) -> Any:
    """The member of a table or a list, by its name, number or type; `None` if there is none."""
    match place:
        case dict():
            return place.get(name)
        case list() if (index := _index(place, name)) is not None:
            return place[index]
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
        case float() if value and not _LEAST <= abs(value) <= _MOST:
            sizes = f"from {_LEAST:g} to {_MOST:g}"
            return f"{value}, expected 0 or {sizes}, as single precision holds: correct it."
        case int() if not -(2**63) <= value < 2**63:
            return f"a number of {len(str(abs(value)))} digits, expected at most 18: correct it."
        case None | bool() | int() | float() | list():
            return None
    expected = "a number, text or a table: write it in quotes, if it is a name."
    return f"the {type(value).__name__} {value}, expected {expected}"
