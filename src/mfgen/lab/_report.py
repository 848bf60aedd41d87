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

from mfgen.lab import _certified, _comparison, _figures, _toml, _wording
from mfgen.lab._comparison import Entry, Group
from mfgen.lab._measures import measure_of
from mfgen.lab._store import write_whole
from mfgen.plot import _style
from mfgen.zoo._catalogue import DATA

_MARK = '<meta name="generator" content="mfgen report">'

CAPTIONS = {
    "losses": "Loss terms during training, each times its weight; validation is the fit to "
    "held-out data, without regularisers. The axes are scaled to what follows the first tenth of "
    "the steps: larger values at the start are not shown.",
    "descent": "What particles went down, as estimated on the way, against the time of the flow; "
    "bands are two standard errors. One panel for each functional.",
    "samples": "Samples of each model beside the data, in original units.",
    "fields": "Above, the density at the data end as one evaluation of the potential gives it, "
    "on a common colour scale; below, the score at a middle noise level.",
    "hjb": "Residual of the Hamilton-Jacobi-Bellman equation per unit of log noise ratio, along "
    "the noise; bands are two standard errors.",
    "score": "Squared error of the score times the noise variance, along the noise; its integral "
    "over the log noise ratio is the score error of the table.",
}


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
        title=_wording.title(groups),
        sections=[_section(group, index) for index, group in enumerate(groups)],
        runs=[_origin(entry) for entry in entries],
    )


def _section(group: Group, index: int) -> dict[str, Any]:
    seeds = sorted({seed for column in group.columns for seed in column.seeds})
    return {
        "title": group.label,
        "summary": DATA[group.data.name].summary,
        "reading": _wording.reading(group),
        "choices": [line for column in group.columns for line in _wording.told(column)],
        "columns": [(column.label, _role(column), len(column.entries)) for column in group.columns],
        "pairs": [_pair_label(group, pair) for pair in group.pairs],
        "rows": _wording.rows(group),
        "costs": _wording.cost_rows(group),
        "seeds": seeds,
        "several": len(seeds) > 1,
        "skipped": _skipped(group),
        "warnings": _warnings(group),
        "figures": _drawn(group, index),
    }


def _pair_label(group: Group, pair: _comparison.Pair) -> str:
    return "with / without HJB" if len(group.pairs) == 1 else f"{pair.regularised.label} / without"


def _role(column: _comparison.Column) -> str:
    return _style.COLOURS[_figures.role_of(column.entries[0].experiment)]


def _skipped(group: Group) -> list[tuple[str, str, str]]:
    """Methods, measures and reasons for what was left out in this group by some method alone."""
    firsts = [(column.label, column.entries[0].summary["skipped"]) for column in group.columns]
    return [
        (label, measure_of(name).title, skipped[name])
        for label, skipped in firsts
        for name in group.metrics
        if name in skipped
    ]


def _warnings(group: Group) -> list[str]:
    """What the runs of a group warn of, each once: of their data, which are the same for all."""
    entries = [entry for column in group.columns for entry in column.entries]
    lines = [line for entry in entries for line in entry.summary.get("warnings", ())]
    return list(dict.fromkeys(lines))


def _drawn(group: Group, index: int) -> list[dict[str, Any]]:
    """The figures of one seed, of every method that has it."""
    shared = [set(column.seeds) for column in group.columns]
    seed = min(set.intersection(*shared) or shared[0])
    chosen = [entry for column in group.columns for entry in column.entries]
    folders = [entry.folder for entry in chosen if entry.experiment.seed == seed]
    drawn = []
    for name, figure in _figures.draw(folders).items():
        svg = _style.to_svg(figure, f"{name}{index}")
        drawn.append({"svg": Markup(svg), "caption": CAPTIONS[name], "seed": seed})
    return drawn


def _origin(entry: Entry) -> dict[str, Any]:
    versions = entry.folder.read_json("versions.json")
    return {
        "title": f"{entry.experiment.name} on {entry.experiment.data.name}, seed "
        f"{entry.experiment.seed}",
        "verdict": entry.summary.get("certificate"),
        "checks": _certified.rows(entry.folder.path),
        "spec": _toml.write(entry.experiment),
        "versions": ", ".join(f"{name} {value}" for name, value in versions.items()),
    }
