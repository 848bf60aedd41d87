"""Paths in documents, such as `objective[1].paths.integrator`: what is there, and below it."""

import re
from collections.abc import Iterator
from typing import Any

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
