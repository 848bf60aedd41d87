"""Pictures of models themselves: densities, scores, and both errors along the noise.

Of the first seed of a setting, without and with the regulariser. Densities are read off the
potential by one evaluation.
"""

from pathlib import Path
from typing import NamedTuple

from benchmarks.hjb.results import Results
from mfgen.lab import RunFolder, _arrays, _figures, load
from mfgen.lab._context import Context
from mfgen.plot import _style

_METHODS = ("plain", "hjb")


class Portrait(NamedTuple):
    """A setting whose models are drawn, and what of them."""

    study: str
    setting: str
    shown: tuple[str, ...]


PORTRAITS = (
    Portrait("plane", "mixture A", ("fields", "hjb", "score")),
    Portrait("samples", "200 samples", ("fields",)),
)


def draw(results: Results, runs: Path, out: Path) -> dict[str, str]:
    """Draws what there is; Markdown that shows the figures, by study."""
    drawn = {}
    for portrait in PORTRAITS:
        rows = [results.row(portrait.study, portrait.setting, name) for name in _METHODS]
        folders = [row.folder(runs, row.seeds[0]) for row in rows if row is not None]
        if len(folders) < len(rows) or not all(folder.is_finished for folder in folders):
            continue
        for folder in folders:
            if not (folder.arrays("fields.npz") and folder.profiles()):
                _keep(folder)
        made = _figures.draw(folders)
        shown = ""
        for name in portrait.shown:
            path = out / f"{portrait.study}-{name}.png"
            _style.to_png(made[name], path)
            shown += f"\n![{portrait.setting}: {_TITLES[name]}](hjb/{path.name})\n"
        drawn[portrait.study] = shown
    return drawn


_TITLES = {
    "fields": "density by one evaluation, and score",
    "hjb": "residual of the HJB equation along the noise",
    "score": "score error along the noise",
}


def _keep(folder: RunFolder) -> None:
    _arrays.keep(folder, Context(load(folder.path).case))
