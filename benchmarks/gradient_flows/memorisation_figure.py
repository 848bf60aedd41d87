"""The figure of `memorisation.py`: samples beside the training data, and KL against n."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mfgen.plot import _style

_PANELS = ("empirical", "proximal", "plain", "hjb", "field")
_COLOURS = {
    "empirical": "other",
    "proximal": "kernel",
    "plain": "without",
    "hjb": "with",
    "field": "field",
}
_CURVES = ("proximal", "plain", "hjb", "field")
_POINTS = 1000


def draw(
    found: Mapping[tuple[str, int], Sequence[Any]],
    titles: Mapping[str, str],
    counts: Sequence[int],
    shown: int,
    path: Path,
) -> None:
    """Draws samples of the first seed's models at one number of samples, and KL at all of them.

    Arguments:
        found: by method and number of samples, what each seed gave (`kl`, `drawn`, `train`).
        titles: of the methods.
        counts: the numbers of samples.
        shown: the one at which samples are drawn.
        path: of the PNG.
    """
    with _style.settings():
        figure = _style.figure(10.5, 6.6)
        axes = figure.subplots(2, 3)
        for axis, method in zip(axes.flat, _PANELS, strict=False):
            first = found[method, shown][0]
            drawn = first.drawn[:_POINTS]
            axis.scatter(*drawn.T, s=3, alpha=0.5, lw=0, color=_style.COLOURS[_COLOURS[method]])
            axis.scatter(*first.train.T, s=7, marker="+", lw=0.7, color=_style.INK)
            axis.set(title=titles[method], xlim=(-2.7, 2.7), ylim=(-2.4, 3.0), aspect="equal")
        last = axes.flat[-1]
        for method in _CURVES:
            kls = np.array([[each.kl for each in found[method, count]] for count in counts])
            last.errorbar(
                counts,
                kls.mean(axis=1),
                kls.std(axis=1, ddof=1),
                label=titles[method],
                color=_style.COLOURS[_COLOURS[method]],
                capsize=2,
            )
        last.set(xscale="log", yscale="log", xlabel="training samples", title="KL(truth || model)")
        last.set_xticks(counts, [str(count) for count in counts])
        last.minorticks_off()
        last.legend()
    _style.to_png(figure, path)
