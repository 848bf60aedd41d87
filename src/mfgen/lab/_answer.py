"""What a command answers: plain data for machines and a picture of it for readers.

Nothing is printed here. The caller prints the document as JSON or the view with Rich.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table


class Answer(NamedTuple):
    """A JSON-able document and what is shown of it on a terminal."""

    document: Any
    view: RenderableType


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A plain table: a title, bold headings, no frame."""
    made = Table(
        title=title or None,
        box=None,
        title_justify="left",
        title_style="bold",
        header_style="bold",
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    for index, column in enumerate(columns):
        made.add_column(column, no_wrap=index == 0)
    for row in rows:
        made.add_row(*row)
    return made


def stack(*parts: RenderableType) -> Group:
    """Parts below each other, a blank line between them."""
    spaced: list[RenderableType] = []
    for part in parts:
        spaced += [part, ""]
    return Group(*spaced[:-1])
