"""One page over one or several runs: readings, tables, figures, specifications.

The page is one file without scripts or references to anything outside it. Figures are inline SVG in
the colour of the text, so the page reads in light and in dark. A page that `write` did not make is
never overwritten.
"""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from mfgen.lab import _comparison, _figures, _toml, _wording
from mfgen.lab._comparison import Entry, Group
from mfgen.lab._measures import measure_of
from mfgen.lab._store import write_whole
from mfgen.plot import _style
from mfgen.zoo._catalogue import DATA

_MARK = '<meta name="generator" content="mfgen report">'


def write(paths: Sequence[str | Path], out: str | Path) -> Path:
    """Writes the report of the runs in the given folders to a file and returns its path.

    Raises:
        ValueError: if a folder holds no finished run, or the file exists and is no report.
    """
    out = Path(out).absolute()
    if out.is_dir() or (out.exists() and _MARK not in out.read_text("utf-8", errors="replace")):
        raise ValueError(
            f"`report` got --out {out}, which is no report of mfgen, expected a new file or an "
            "earlier report: choose another name."
        )
    page = render(_comparison.read(paths))
    write_whole(out, page.encode())
    return out


def render(entries: Sequence[Entry]) -> str:
    """The report of finished runs as HTML text."""
    groups = _comparison.group(entries)
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = resources.files("mfgen.lab").joinpath("report.html").read_text("utf-8")
    return environment.from_string(template).render(
        mark=Markup(_MARK),
        groups=groups,
        entries=entries,
        figures=[_drawn(group, index) for index, group in enumerate(groups)],
        colour=lambda column: _style.COLOURS[_figures.role_of(column.entries[0].experiment)],
        data=DATA,
        measure_of=measure_of,
        specification=_toml.write,
        wording=_wording,
    )


def _drawn(group: Group, index: int) -> list[dict[str, Any]]:
    """The figures of one seed, of every method that has it."""
    shared = [set(column.seeds) for column in group.columns]
    seed = min(set.intersection(*shared) or shared[0])
    folders = [entry.folder for entry in group.entries if entry.experiment.seed == seed]
    return [
        {"svg": Markup(_style.to_svg(figure, f"{name}{index}")), "name": name, "seed": seed}
        for name, figure in _figures.draw(folders).items()
    ]
