"""Where in a document an error belongs.

What is made of a document is used together: a loss looks at the game, a trainer at the data. What
they refuse then is told in their own names, and gets the path of their table here.
"""

import contextlib
import re
from collections.abc import Iterator
from typing import Any

from mfgen.lab._paths import walk
from mfgen.lab._refusals import field_of
from mfgen.lab._spec import SECTIONS, Experiment

_IMPLIED = {"game": "MFG"}  # names of tables without a type


@contextlib.contextmanager
def placed(experiment: Experiment, otherwise: str) -> Iterator[None]:
    """While open, errors begin with a path: that of the table they speak of, or `otherwise`.

    Raises:
        ValueError: in the place of an error without a path; others pass.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        path = _place(str(error), experiment.filled, otherwise)
        if path is None:
            raise
        raise ValueError(f"`{path}`: {error}") from error


def _place(said: str, document: dict[str, Any], otherwise: str) -> str | None:
    """The path of what an error speaks of; `None` if it has one."""
    owner = re.match(r"`(\w+)`", said)
    if owner is None or owner[1] in (*SECTIONS, "objective", "mfgen"):
        return None
    for path, part in walk(document):
        table = {"type": part} if type(part) is str else part
        if type(table) is dict and table.get("type", _IMPLIED.get(path)) == owner[1]:
            return field_of(said, path, table)
    path = field_of(said, "training", document.get("training", {}))
    return path if path != "training" else otherwise
