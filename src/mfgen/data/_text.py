"""Tables in text: which characters separate the fields, which line names the columns, what a
number is.

A file says less than its reader would like to know, so what can be read in two ways is refused:
names that are numbers (years, positions) over rows of others, a column that only counts the rows
(the index that pandas keeps), `1_000` and `1,045` with marks for thousands, two columns of one
name. A number is what float() reads in plain digits.
"""

import codecs
import csv
import re
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from mfgen.math import _memory

_SHOWN = 40  # characters of a field in an error
_FIELDS = 24  # bytes that the fields of a table take for each byte of its text
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # what `>` writes on Windows
_NAMELESS = ("", "unnamed: 0")
_INDEX = (*_NAMELESS, "x0", "index", "level_0", "id", "row")


def read_csv(
    path: str | Path, content: bytes
) -> tuple[Float[np.ndarray, "n dim"], tuple[str, ...]]:
    """Return the numbers `[n, dim]` of a table in text and the names of its columns, if any.

    Raises:
        ValueError: for anything but rows of as many numbers, under one line of names at most, and
            for what can be read in two ways.
    """
    said = f"`{path}` has {_memory.shown(len(content))} of text"
    _memory.refuse(said, _FIELDS * len(content), "save it as an array, or pass a part of it")
    lines = _lines(path, content)
    skipped = next((i for i, line in enumerate(lines) if line.strip()), len(lines))
    delimiter = max(",;\t", key="".join(lines[skipped : skipped + 1]).count)
    reader = csv.reader(lines[skipped:], delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        table = [[field.strip() for field in row] for row in reader] or [[]]
    except csv.Error as error:
        odd = [n for n, line in enumerate(lines, start=1) if line.count('"') % 2]
        open_quote = f"line {odd[0]} holds a quote that is not closed" if odd else ""
        raise ValueError(
            f"`{path}` is not a table of numbers "
            f"({open_quote or f'line {skipped + reader.line_num} holds more than a number'}: "
            f"{error}), expected rows of numbers: correct that line."
        ) from None
    # A row with a number in it is data: a missing value must not turn it into a header.
    header = not any(_reads(field) for field in table[0])
    names = tuple(table[0]) if header else ()
    fields = [
        _checked(path, number, row, len(table[0]))
        for number, row in enumerate(table, start=skipped + 1)
        if row and not (header and number == skipped + 1)
    ]
    if not fields:
        raise ValueError(
            f"`{path}` is not a table of numbers (it has no rows): fill in or choose another file."
        )
    rows = np.array([[float(field) for field in row] for row in fields])
    _check_names(path, names)
    if not header and _names_are_numbers(fields[0], rows):
        raise ValueError(
            f"`{path}` begins with the line {_short(delimiter.join(fields[0]))}, which may be "
            "names of columns or a row, expected names that are no numbers: call them y2001, ..., "
            "or write a row with points, 2001.0."
        )
    if delimiter == "," and _grouped(fields):
        raise ValueError(
            f"`{path}` has commas that may separate thousands (`1,045`), expected plain digits: "
            "write 1045, and separate columns by `;`."
        )
    return rows, names


def index_column(names: tuple[str, ...], rows: Float[np.ndarray, "n dim"]) -> int | None:
    """Return the first column that is the number of its row: counted, or nameless and whole."""
    for column, name in enumerate(names):
        values, name = rows[:, column], name.lower()
        counted = name in _INDEX and bool((np.diff(values) == 1).all())
        numbered = name in _NAMELESS and bool((values == np.round(values)).all())
        distinct = len(np.unique(values)) == len(values) > 2
        if rows.shape[1] > 1 and distinct and (counted or numbered):
            return column
    return None


def _lines(path: str | Path, content: bytes) -> list[str]:
    try:
        return content.decode("utf-16" if content[:2] in _UTF16 else "utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"`{path}` is not a table of numbers ({error}): save it as text in UTF-8."
        ) from None


def _checked(path: str | Path, number: int, fields: list[str], width: int) -> list[str]:
    if len(fields) != width:
        raise ValueError(
            f"`{path}` has {len(fields)} fields in line {number}, expected {width} as in its first "
            "line: fill in or drop such rows."
        )
    for column, field in enumerate(fields, start=1):
        # Python reads 1_000 and the digits of other scripts too.
        if not (_reads(field) and field.isascii() and "_" not in field):
            found = _short(repr(field)) if field else "nothing"
            raise ValueError(
                f"`{path}` is not a table of numbers (line {number}, column {column} holds "
                f"{found}): fill in or drop such rows and columns."
            )
    return fields


def _reads(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _check_names(path: str | Path, names: tuple[str, ...]) -> None:
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise ValueError(
            f"`{path}` has several columns named {_short(repr(twice[0]))}, expected a name of its "
            "own for each: rename them."
        )


def _names_are_numbers(first: list[str], rows: Float[np.ndarray, "n dim"]) -> bool:
    """Whether the first row looks like names: it counts, or lies far off all others in order."""
    values, rest = rows[0], rows[1:]
    if len(rest) < 2 or not np.isfinite(rows).all():
        return False
    whole = all(re.fullmatch(r"[+-]?\d+", field) for field in first)
    if whole and len(values) > 2 and _counts(rows)[0] and not _counts(rest).any():
        return True
    decimals = bool((rest != np.round(rest)).any())
    steps = np.diff(values)
    if whole and decimals and len(values) > 1 and (steps == 1).all():
        return True
    low, high = rest.min(axis=0), rest.max(axis=0)
    beyond = ((values < 2 * low - high) | (values > 2 * high - low)).all()
    ordered = (steps > 0).all() if len(values) > 1 else decimals
    return bool(beyond and ordered and (whole or len(values) > 2))


def _counts(rows: Float[np.ndarray, "n dim"]) -> Bool[np.ndarray, "n"]:
    """Which rows are 1, 2, 3, ... or 2001, 2002, ..."""
    return (np.diff(rows, axis=1) == 1).all(axis=1)


def _grouped(rows: list[list[str]]) -> bool:
    """Whether all rows read as one number with commas, one of them only so (a leading zero)."""
    if len(rows[0]) < 2:
        return False
    parts = [part for row in rows for part in row[1:]]
    return (
        all(re.fullmatch(r"[+-]?\d{1,3}", row[0]) for row in rows)
        and all(re.fullmatch(r"\d{3}", part) for part in parts)
        and any(part.startswith("0") for part in parts)
    )


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
