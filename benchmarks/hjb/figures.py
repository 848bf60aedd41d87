"""Figures of the page: one picture for each question, every seed a point."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import ticker

from benchmarks.hjb.results import Results, Values
from mfgen.lab._comparison import is_regularised
from mfgen.plot import _style

_COLOURS = {
    "plain": _style.COLOURS["without"],
    "hjb": _style.COLOURS["with"],
    "select": _style.COLOURS["with"],
    "field": _style.COLOURS["field"],
    "mixture": _style.COLOURS["kernel"],
    "kernel": _style.COLOURS["other"],
    "trained": _style.COLOURS["data"],
}
_MARKS = {"corrected": "s", "corrected-hjb": "s", "corrected-select": "D", "corrected-field": "s"}


def draw(results: Results, out: Path) -> dict[str, str]:
    """Draws what there is; Markdown that shows a figure, by study."""
    drawn = {}
    for study, title, methods in (
        ("plane", "KL on targets in the plane", ("plain", "hjb", "plain=", "field=")),
        ("long", "KL on targets in the plane, trained for longer", None),
        ("samples", "KL with few samples", None),
        ("levels", "KL with few noise levels", None),
        ("batch", "KL by batch size", None),
        ("steps", "KL by length of the training", None),
        ("space", "KL in higher dimension", None),
    ):
        settings = results.settings(study)
        shown = [m for m in results.methods(study) if methods is None or m in methods]
        if settings:
            _strips(results, study, shown, title, out / f"{study}.png")
            drawn[study] = f"\n![{title}](hjb/{study}.png)\n"
    for study, title in (
        ("ablation", "KL by settings of the regulariser"),
        ("front", "KL of what was tried in eight dimensions"),
    ):
        if results.settings(study):
            _variants(results, study, out / f"{study}.png")
            drawn[study] = f"\n![{title}](hjb/{study}.png)\n"
    if results.settings("real"):
        _gains(results, out / "real.png")
        drawn["real"] = "\n![Held-out likelihood beside the mixture estimate](hjb/real.png)\n"
    return drawn


def _strips(results: Results, study: str, methods: Sequence[str], title: str, path: Path) -> None:
    settings = results.settings(study)
    with _style.settings():
        width = max(4.5, 0.35 * len(settings) * (len(methods) + 1))
        figure = _style.figure(min(width, 11), 3.2)
        axes = figure.subplots()
        for place, name in enumerate(methods):
            offset = (place - (len(methods) - 1) / 2) * 0.8 / len(methods)
            label = name
            for index, setting in enumerate(settings):
                values = results.values(study, setting, name, "kl")
                if values is None:
                    continue
                _points(axes, index + offset, values, name, label)
                label = None
        axes.set_xticks(range(len(settings)), settings, rotation=15 if len(settings) > 4 else 0)
        axes.set_xlabel(title)
        axes.set_ylabel("KL(truth || model), nats")
        axes.set_yscale("log")
        _plain_numbers(axes.yaxis)
        figure.legend(loc="outside upper center", ncols=min(len(methods), 6))
        _style.to_png(figure, path)


def _points(axes, place: float, values: Values, name: str, label: str | None) -> None:
    colour, mark, filled = _look(name)
    heights = np.array(list(values.by_seed.values()))
    heights = heights[heights > 0]
    if not len(heights):
        return
    face = colour if filled else "none"
    jitter = np.linspace(-0.02, 0.02, len(heights)) if len(heights) > 1 else np.zeros(1)
    axes.scatter(
        place + jitter, heights, s=13, marker=mark, facecolors=face, edgecolors=colour, label=label
    )
    mean = np.exp(np.log(heights).mean())
    axes.hlines(mean, place - 0.05, place + 0.05, color=colour, lw=1.8)


def _look(name: str) -> tuple[str, str, bool]:
    """Colour, mark and whether it is filled: the colour says with or without, the mark the rest."""
    base = name.rstrip("=")
    stem, _, variant = base.partition("-")
    key = (variant or "plain") if stem == "corrected" else base
    return _COLOURS[key], _MARKS.get(base, "o"), not name.endswith("=") or stem == "corrected"


def _variants(results: Results, study: str, path: Path) -> None:
    settings = results.settings(study)
    with _style.settings():
        figure = _style.figure(7.2, 0.27 * len(settings) + 0.9)
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, measure, title in (
            (left, "kl", "KL, nats"),
            (right, "one_shot_error", "one-evaluation error, nats"),
        ):
            for place, setting in enumerate(settings):
                values = results.values(study, setting, "kl", measure)
                if values is None:
                    continue
                heights = list(values.by_seed.values())
                row = results.row(study, setting, "kl")
                regularised = row is not None and is_regularised(row.experiment)
                colour = _style.COLOURS["with" if regularised else "without"]
                axes.scatter(heights, [place] * len(heights), s=14, color=colour)
            axes.set_xscale("log")
            _plain_numbers(axes.xaxis)
            axes.set_xlabel(title)
        left.set_yticks(range(len(settings)), settings)
        left.invert_yaxis()
        _style.to_png(figure, path)


def _plain_numbers(axis) -> None:
    """Numbers as they are on a logarithmic axis; powers of ten of a narrow one overlap."""
    axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(ticker.NullFormatter())


def _gains(results: Results, path: Path) -> None:
    """Likelihood minus that of the mixture estimate, seed by seed."""
    places = [(study, s) for study in ("real", "large") for s in results.settings(study)]
    methods = [m for m in results.methods("real") if m != "mixture"]
    with _style.settings():
        figure = _style.figure(min(2.0 * len(places) + 1, 11), 3.2)
        axes = figure.subplots(1, len(places), squeeze=False)[0]
        for column, (study, setting) in zip(axes, places, strict=True):
            base = results.values(study, setting, "mixture", "log_likelihood")
            for place, name in enumerate(methods):
                values = results.values(study, setting, name, "log_likelihood")
                if values is None or base is None:
                    continue
                common = values.by_seed.keys() & base.by_seed.keys()
                gains = [values.by_seed[seed] - base.by_seed[seed] for seed in sorted(common)]
                colour, mark, _ = _look(name)
                column.scatter([place] * len(gains), gains, s=13, color=colour, marker=mark)
                column.hlines(np.mean(gains), place - 0.3, place + 0.3, color=colour, lw=1.8)
            column.axhline(0, color=_style.COLOURS["kernel"], lw=1)
            column.set_title(setting)
            column.set_xticks(range(len(methods)), methods, rotation=90)
        axes[0].set_ylabel("nats above the mixture estimate")
        _style.to_png(figure, path)
