"""Documents as TOML: reading with one line on what is wrong, writing, and where two differ."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from mfgen import _file
from mfgen.lab._paths import walk
from mfgen.lab._spec import Experiment


def read(path: str | Path) -> Experiment:
    """The experiment in a TOML file.

    Raises:
        ValueError: if the file is no TOML or no specification; one line.
        OSError: if it cannot be read.
    """
    path = Path(path)
    try:
        return decode(parse(_file.read_text(path), str(path)), str(path))
    except ValueError as error:
        # A specification beside the versions it was run with was written by mfgen.
        if path.name != "spec.toml" or not path.with_name("versions.json").exists():
            raise
        raise ValueError(
            f"`{path.parent}` holds a run that is damaged ({error}), expected {path.name} as "
            "`mfgen run` wrote it: restore that file, or run the experiment in another folder."
        ) from error


def parse(text: str, source: str) -> dict[str, Any]:
    """The tables of TOML text.

    Raises:
        ValueError: in the name of the source.
    """
    try:
        return tomllib.loads(text)
    except (RecursionError, ValueError) as error:
        why = "it is nested too deeply" if type(error) is RecursionError else str(error)[:200]
        raise ValueError(
            f"`{source}` is no TOML ({why}), expected a specification: see `mfgen show score-vp` "
            "for one that works."
        ) from error


def decode(document: dict[str, Any], source: str = "specification") -> Experiment:
    """The experiment in a document.

    Raises:
        ValueError: naming `source` and the path of what is wrong.
    """
    try:
        return Experiment.of(document)
    except ValueError as error:
        raise ValueError(f"`{source}`: {error}") from error


def write(experiment: Experiment) -> str:
    """The experiment as TOML text; `read` gives it back."""
    return dumps(experiment.document)


def dumps(document: dict[str, Any]) -> str:
    """TOML text of a document: plain values first, then a table for each dictionary."""
    return "\n".join(_table(document, "")).strip() + "\n"


class Difference(NamedTuple):
    """A place where two experiments differ, with both values as TOML."""

    path: str
    first: str
    second: str

    def __str__(self) -> str:
        return f"`{self.path}` is {self.second}, was {self.first}"


def differences(first: Experiment, second: Experiment) -> list[Difference]:
    """Where two experiments differ, in order of their paths; who chose a number does not count."""
    sides = one, other = _plain_parts(first.meaning), _plain_parts(second.meaning)
    return [
        Difference(path, *(written(side[path]) if path in side else "absent" for side in sides))
        for path in sorted(one | other)
        if one.get(path) != other.get(path)
    ]


def _plain_parts(document: dict[str, Any]) -> dict[str, Any]:
    """What is no table and no list, or an empty one, by its path."""
    plain = lambda part: not part or type(part) not in (dict, list)
    return {path: part for path, part in walk(document) if plain(part)}


def value(text: str) -> Any:
    """A value as on a command line: TOML, or else text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, ValueError, RecursionError):
        return text


def _table(document: dict[str, Any], prefix: str) -> list[str]:
    tables = {} if prefix else {k: v for k, v in document.items() if _tables(v)}
    lines = [f"{_key(k)} = {written(v)}" for k, v in document.items() if k not in tables]
    for key, value in tables.items():
        mark = f"[{_key(key)}]" if type(value) is dict else f"[[{_key(key)}]]"
        for member in _tables(value):
            lines += ["", mark, *_table(member, key)]
    return lines


def _tables(value: Any) -> list[dict[str, Any]]:
    """The tables that a value is written as; none for plain values."""
    match value:
        case dict():
            return [value]
        case [dict(), *_]:
            return list(value)
    return []


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)


def written(value: Any) -> str:
    """A value as TOML in one line."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return json.dumps(value, ensure_ascii=False)
        case dict():
            inside = ", ".join(f"{_key(k)} = {written(v)}" for k, v in value.items())
            return f"{{ {inside} }}" if inside else "{}"
        case list() | tuple():
            return f"[{', '.join(written(member) for member in value)}]"
    return repr(value)
