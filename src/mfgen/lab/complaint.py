"""What is wrong with a specification, in one line.

The decoder tells where a document departs from its declared types. Here that message becomes: the
path, what was got, what was expected (read off the declared types), and the fix, the nearest valid
name where there is one.
"""

import ast
import difflib
import json
import re
from typing import Any

from msgspec import inspect

from mfgen.lab.limits import IMPORT_PATH, NAME, SHA256
from mfgen.lab.spec import Experiment

_SCHEMA = inspect.type_info(Experiment)

# What patterns of text ask for.
_PATTERNS = {
    NAME: "letters a-z or A-Z, digits, `.`, `_` and `-`, the first a letter or a digit",
    IMPORT_PATH: "`module:Name`, the name of a file without .py and what it defines",
    SHA256: "64 digits 0-9 and a-f",
}


def complaint(message: str, document: dict[str, Any]) -> str:
    """Rewrites a message of msgspec: path first, what was got, and the nearest name."""
    text, _, tail = message.rpartition(" - at `")
    text, path = (text, tail.rstrip("`")) if text else (tail, "$")
    value = _at(document, path)
    got = (
        f"got {json.dumps(value, default=str, ensure_ascii=False)[:60]}, "
        if value is not None
        else ""
    )
    if match := re.fullmatch(r"Object contains unknown field `(.*)`", text):
        fields = sorted(_fields(_schema_at(document, path), value))
        name = match[1]
        return f"`{path}.{name}` is no field, expected one of {', '.join(fields)}" + _fix(
            name, fields, "remove it"
        )
    if match := re.fullmatch(r"Object missing required field `(.*)`", text):
        name = match[1]
        choices = _tags(_schema_at(document, path)) if name == "type" else []
        expected = f"one of {', '.join(choices)}" if choices else "a value"
        return f"`{path}.{name}` is missing, expected {expected}: add `{name} = ...`."
    if text.startswith(("Invalid value", "Invalid enum value")):
        choices = _choices(_schema_at(document, path))
        return f"`{path}` {got}expected one of {', '.join(choices)}" + _fix(
            str(value), choices, "choose one of them"
        )
    if text.startswith("`"):  # a check of the part's own
        return f"{text.rstrip('.')} (at `{path}`)."
    if match := re.fullmatch(r"Expected `str` matching regex ('.*'|\".*\")", text):
        return f"`{path}` {got}expected {_pattern(match[1])}: correct the value."
    expected = text[0].lower() + text[1:].split(", got ")[0]
    return f"`{path}` {got}{expected}: correct the value."


def _pattern(written: str) -> str:
    """A pattern in words; the message has it as Python writes it."""
    pattern = ast.literal_eval(written)
    return _PATTERNS.get(pattern, f"text that matches {pattern}")


def _fix(name: str, choices: list[str], otherwise: str) -> str:
    near = difflib.get_close_matches(name, choices, n=1)
    return f": did you mean `{near[0]}`?" if near else f": {otherwise}."


def _steps(path: str) -> list[str | int]:
    parts = re.findall(r"\.([^.\[\]]+)|\[(\d+)\]", path.removeprefix("$"))
    return [int(index) if index else name for name, index in parts]


def _at(document: Any, path: str) -> Any:
    for step in _steps(path):
        try:
            document = document[step]
        except (KeyError, IndexError, TypeError):
            return None
    return document


def _schema_at(document: Any, path: str) -> inspect.Type:
    """The declared type at a path; where kinds differ, that of the document's `type`."""
    schema: inspect.Type = _SCHEMA
    for step in _steps(path):
        if isinstance(step, int):
            (schema,) = [s for s in _members(schema) if isinstance(s, inspect.VarTupleType)]
            schema, document = schema.item_type, document[step]
            continue
        structs = _structs(schema, document)
        fields = [f.type for s in structs for f in s.fields if f.encode_name == step]
        if not fields:  # the field `type` itself: the kinds are the choices
            return inspect.LiteralType(tuple(_tags(schema)))
        schema, document = fields[0], (document or {}).get(step)
    return schema


def _members(schema: inspect.Type) -> list[inspect.Type]:
    if isinstance(schema, inspect.UnionType):
        return [member for part in schema.types for member in _members(part)]
    if isinstance(schema, inspect.Metadata):
        return _members(schema.type)
    return [schema]


def _structs(schema: inspect.Type, document: Any) -> list[inspect.StructType]:
    structs = [s for s in _members(schema) if isinstance(s, inspect.StructType)]
    kind = document.get("type") if isinstance(document, dict) else None
    return [s for s in structs if s.tag == kind] or structs


def _fields(schema: inspect.Type, document: Any) -> set[str]:
    return {f.encode_name for s in _structs(schema, document) for f in s.fields}


def _tags(schema: inspect.Type) -> list[str]:
    return [
        str(s.tag)
        for s in _members(schema)
        if isinstance(s, inspect.StructType) and s.tag is not None
    ]


def _choices(schema: inspect.Type) -> list[str]:
    literals = [s for s in _members(schema) if isinstance(s, inspect.LiteralType)]
    return [str(value) for literal in literals for value in literal.values]
