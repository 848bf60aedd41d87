"""Paths in documents, such as `objective[1].paths.integrator`: what is there, and below it."""

import re
from collections.abc import Iterator
from typing import Any

from mfgen._near import near

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
