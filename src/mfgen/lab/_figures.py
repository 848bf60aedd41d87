"""Figures of one run, or of several runs on the same data side by side, from their folders.

Nothing is computed here: all is drawn from the arrays that each run kept (`mfgen.lab._arrays`).
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mfgen.lab._comparison import is_regularised
from mfgen.lab._spec import Experiment
from mfgen.lab._store import RunFolder
from mfgen.plot import _runs as plots
from mfgen.plot import _style
from mfgen.plot._fields import Field, fields
from mfgen.plot._runs import Cloud, Curve, Look
from mfgen.zoo._catalogue import IMAGES

_DESCENT = "descent.npz"


def keep(folder: RunFolder) -> None:
    """Draws the figures of a run into its folder."""
    folder.figures.mkdir(exist_ok=True)
    for name, figure in draw([folder]).items():
        _style.to_png(figure, folder.figures / f"{name}.png")


def draw(folders: Sequence[RunFolder]) -> dict[str, Figure]:
    """The figures of runs on the same data, by name; what the runs did not keep is left out."""
    looks = looks_of([folder.experiment() for folder in folders])
    runs = list(zip(folders, looks, strict=True))
    figures = {
        "losses": _losses(runs),
        "descent": _descents(runs),
        "samples": _samples(runs),
        "fields": _fields(runs),
        "hjb": _profile("hjb", "HJB residual, root mean square", runs),
        "score": _profile("score", "score error x noise variance", runs),
    }
    return {name: figure for name, figure in figures.items() if figure is not None}


def looks_of(experiments: Sequence[Experiment]) -> list[Look]:
    """Labels, colours and line styles of runs, the same wherever they are shown together."""
    names = [experiment.name for experiment in experiments]
    looks: list[Look] = []
    for experiment in experiments:
        alone = names.count(experiment.name) == 1
        label = experiment.name if alone else f"{experiment.name}, seed {experiment.seed}"
        role = role_of(experiment)
        earlier = sum(look.role == role for look in looks)
        looks.append(Look(label, role, _style.LINES[earlier % len(_style.LINES)]))
    return looks


def role_of(experiment: Experiment) -> str:
    """The role of a run in a comparison, which gives its colour."""
    model = experiment.document.get("model", {}).get("type", "")
    if model in ("kernel_potential", "kernel"):
        return "kernel"
    if is_regularised(experiment):
        return "with"
    if model in ("score_field", "field"):
        return "field"
    return "without" if model in ("score_potential", "potential") else "other"


Runs = Sequence[tuple[RunFolder, Look]]


def _losses(runs: Runs) -> Figure | None:
    panels: dict[str, list[Curve]] = {}
    # What particles go down is shown against time, with errors.
    for look, records in _kept(runs, lambda run: [] if run.arrays(_DESCENT) else run.records()):
        steps = [record["step"] for record in records]
        for term in records[0]["terms"]:
            values = [record["terms"][term] for record in records]
            panels.setdefault(_words(term), []).append(Curve(look, steps, values))
        validation = [record["validation"] for record in records]
        if None not in validation:
            panels.setdefault("validation", []).append(Curve(look, steps, validation))
    return plots.losses(panels) if panels else None


def _descents(runs: Runs) -> Figure | None:
    panels: dict[str, list[Curve]] = {}
    for look, kept in _kept(runs, lambda run: run.arrays(_DESCENT)):
        values = (kept[name].tolist() for name in ("times", "energies", "standard_errors"))
        panels.setdefault(str(kept["functional"]), []).append(Curve(look, *values))
    return plots.descents(panels) if panels else None


def _kept(runs: Runs, read: Callable[[RunFolder], Any]) -> Iterator[tuple[Look, Any]]:
    """What runs have kept, with their looks; runs that have not are passed over."""
    for folder, look in runs:
        found = read(folder)
        if found:
            yield look, found


def _words(name: str) -> str:
    """The name of a class as words: `DenoisingScoreMatching` is denoising score matching."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).split()
    return " ".join(word if word.isupper() else word.lower() for word in words)


def _samples(runs: Runs) -> Figure | None:
    kept = list(_kept(runs, lambda run: run.arrays("samples.npz")))
    if not kept:
        return None
    clouds = [Cloud(look, arrays["samples"]) for look, arrays in kept]
    data, names = kept[-1][1]["data"], kept[-1][1]["columns"].tolist()
    name = runs[0][0].experiment().data.name
    if name in IMAGES:
        return plots.images(data, clouds, IMAGES[name])
    if data.shape[1] == 2:
        return plots.clouds(data, clouds)
    return plots.pairs(data, clouds, names)


def _fields(runs: Runs) -> Figure | None:
    truth, models, ratio = None, [], 0.0
    for look, arrays in _kept(runs, lambda run: run.arrays("fields.npz")):
        extent, ratio = tuple(arrays["extent"].tolist()), float(arrays["noise_ratio"])
        models.append(_field("model", look, extent, arrays))
        if "truth_density" in arrays:
            truth = _field("truth", Look("truth", "data"), extent, arrays)
    return fields(truth, models, ratio) if models else None


def _field(which: str, look: Look, extent: tuple, arrays: dict[str, np.ndarray]) -> Field:
    return Field(look, extent, arrays.get(f"{which}_density"), arrays.get(f"{which}_score"))


def _profile(name: str, ylabel: str, runs: Runs) -> Figure | None:
    curves = []
    for look, profiles in _kept(runs, lambda run: run.profiles()):
        if name in profiles:
            value, error = (
                [float(number) for number in profiles[name][part]]
                for part in ("value", "standard_error")
            )
            curves.append(Curve(look, profiles["noise_ratio"], value, error))
    return plots.profile(curves, ylabel) if curves else None
