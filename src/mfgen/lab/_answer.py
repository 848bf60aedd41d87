"""What a command answers: plain data for machines and a picture of it for readers.

Nothing is printed here. The caller prints the document as JSON, or the view with Rich, in
which text has no marks: what the user wrote may have brackets.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text


class Answer(NamedTuple):
    """A JSON-able document and what is shown of it on a terminal."""

    document: Any
    view: RenderableType


def table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[RenderableType]]
) -> RenderableType:
    """A plain table without a frame, below its title, which may be wider."""
    made = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for index, column in enumerate(columns):
        made.add_column(column, no_wrap=index == 0)
    for row in rows:
        made.add_row(*row)
    return Group(Text(title, style="bold"), made) if title else made


def stack(*parts: RenderableType) -> Group:
    """Parts below each other, a blank line between them."""
    spaced = [line for part in parts for line in (part, "")]
    return Group(*spaced[:-1])
