"""Specifications as TOML: reading with exact complaints, and writing.

A specification is refused as a whole or accepted as a whole. What is wrong is named by its path in
the document, `$.model.widht`, together with what was found, what was expected, and the nearest
valid name.
"""

import json
import math
import re
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from mfgen import _file
from mfgen.lab.complaint import complaint
from mfgen.lab.spec import Experiment


def read(path: str | Path) -> Experiment:
    """The experiment in a TOML file.

    Raises:
        ValueError: if the file is no TOML or no valid specification; one line.
        OSError: if it cannot be read.
    """
    path = Path(path)
    try:
        return _read(path)
    except ValueError as error:
        if not _is_of_a_run(path):
            raise
        raise ValueError(
            f"`{path.parent}` holds a run that is damaged ({error}), expected {path.name} as "
            "`mfgen run` wrote it: restore that file, or run the experiment in another folder."
        ) from error


def _read(path: Path) -> Experiment:
    text = _file.read_text(path)
    try:
        document = tomllib.loads(text)
        return decode(document, str(path))
    except RecursionError:
        why = "it is nested too deeply"
    except tomllib.TOMLDecodeError as error:
        why = str(error)
    except ValueError as error:
        if str(error).startswith(("`", str(path))):
            raise
        why = str(error)  # of a number with too many digits
    raise ValueError(
        f"`{path}` is no TOML ({why}), expected a specification: see `mfgen show score-vp` for one "
        "that works."
    )


def _is_of_a_run(path: Path) -> bool:
    # A specification beside the versions it was run with was written by mfgen, not by the user.
    return path.name == "spec.toml" and path.with_name("versions.json").exists()


def decode(document: dict[str, Any], source: str = "specification") -> Experiment:
    """The experiment in a document of plain dictionaries, lists, strings and numbers.

    Raises:
        ValueError: naming `source` and the path of what is wrong.
    """
    _refuse_infinite(document, "$", source)
    document = _with_kind(document)
    try:
        return msgspec.convert(document, Experiment)
    except msgspec.ValidationError as error:
        raise ValueError(f"{source}: {complaint(str(error), document)}") from None


def encode(experiment: Experiment) -> dict[str, Any]:
    """The experiment as a plain document, without the fields that are absent."""
    return _present(msgspec.to_builtins(experiment))


def write(experiment: Experiment) -> str:
    """The experiment as TOML text; `read` gives it back."""
    return dumps(encode(experiment))


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
    """Where two experiments differ, in order of their paths."""
    return list(_differences(encode(first), encode(second), ""))


def _with_kind(document: dict[str, Any]) -> dict[str, Any]:
    """The document with the kind of its likelihood, which is that of the flow if none is given."""
    match document:
        case {"evaluation": {"likelihood": dict(likelihood)}} if "type" not in likelihood:
            given = {**document["evaluation"], "likelihood": {"type": "flow", **likelihood}}
            return {**document, "evaluation": given}
    return document


def _refuse_infinite(value: Any, path: str, source: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{source}: `{path}` got {value}, expected a finite number: correct it.")
    if isinstance(value, dict):
        for name, member in value.items():
            _refuse_infinite(member, f"{path}.{name}", source)
    if isinstance(value, list):
        for index, member in enumerate(value):
            _refuse_infinite(member, f"{path}[{index}]", source)


def _present(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _present(member) for name, member in value.items() if member is not None}
    if isinstance(value, (list, tuple)):
        return [_present(member) for member in value]
    return value


def _differences(first: Any, second: Any, path: str):
    if isinstance(first, dict) and isinstance(second, dict):
        for name in sorted(first.keys() | second.keys()):
            inside = f"{path}.{name}".lstrip(".")
            yield from _differences(first.get(name), second.get(name), inside)
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        for index, (one, other) in enumerate(zip(first, second, strict=True)):
            yield from _differences(one, other, f"{path}[{index}]")
    elif first != second:
        yield Difference(path, _word(first), _word(second))


def _word(value: Any) -> str:
    return "absent" if value is None else _value(value)


def _table(document: dict[str, Any], prefix: str) -> list[str]:
    def is_tables(value: Any) -> bool:
        return isinstance(value, list) and bool(value) and isinstance(value[0], dict)

    nested = {k: v for k, v in document.items() if isinstance(v, dict) and not prefix}
    tables = {k: v for k, v in document.items() if is_tables(v) and not prefix}
    lines = [
        f"{_key(k)} = {_value(v)}"
        for k, v in document.items()
        if k not in nested and k not in tables
    ]
    for key, value in document.items():
        if key in nested:
            lines += ["", f"[{_key(key)}]", *_table(value, key)]
        if key in tables:
            for member in value:
                lines += ["", f"[[{_key(key)}]]", *_table(member, key)]
    return lines


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        inside = ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_value(member) for member in value)}]"
    return repr(value)
