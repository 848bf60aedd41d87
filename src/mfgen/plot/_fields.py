"""Figures of densities and scores of runs in the plane, beside the truth, on common scales."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from mfgen.plot import _style
from mfgen.plot._runs import Look


class Field(NamedTuple):
    """A density on a grid and a score on a coarser one, for one run or the truth.

    `density` has shape `[rows, columns]` (or is `None`), `score` `[rows, columns, 2]`; `extent` is
    (left, right, bottom, top).
    """

    look: Look
    extent: tuple[float, float, float, float]
    density: np.ndarray | None
    score: np.ndarray | None


def fields(truth: Field | None, models: Sequence[Field], noise_ratio: float) -> Figure:
    """Densities at the data end and scores at a noise level, in the plane, on common scales."""
    with _style.settings():
        shown = ([truth] if truth else []) + list(models)
        with_density = any(field.density is not None for field in shown)
        rows = 1 + with_density
        figure = _style.figure(2.7 * len(shown), 2.75 * rows)
        grid: Any = figure.subplots(rows, len(shown), squeeze=False)
        if with_density:
            _densities(figure, grid[0], shown)
        _scores(grid[-1], shown, noise_ratio)
        return figure


def _densities(figure: Figure, axes_row, shown: Sequence[Field]) -> None:
    known = [field.density for field in shown if field.density is not None]
    top = float(np.max(known[0]))
    image: Any = None
    for axes, field in zip(axes_row, shown, strict=True):
        axes.grid(False)
        axes.set_title(f"density, one evaluation\n{field.look.label}")
        if field.density is None:
            axes.set_axis_off()
            axes.text(0.5, 0.5, "no value function", ha="center", transform=axes.transAxes)
            continue
        image = axes.imshow(
            field.density, origin="lower", extent=field.extent, vmin=0.0, vmax=top, rasterized=True
        )
    figure.colorbar(image, ax=list(axes_row), shrink=0.85, pad=0.02)


def _scores(axes_row, shown: Sequence[Field], noise_ratio: float) -> None:
    # Far from the data scores are long and tell nothing: there arrows are cut to a common length.
    longest = max(np.quantile(_lengths(f.score), 0.6) for f in shown if f.score is not None)
    for axes, field in zip(axes_row, shown, strict=True):
        axes.set_title(f"score at noise ratio {noise_ratio:.2g}\n{field.look.label}")
        left, right, bottom, top = field.extent
        if field.score is None:
            axes.set_axis_off()
            continue
        rows, columns = field.score.shape[:2]
        x, y = np.meshgrid(np.linspace(left, right, columns), np.linspace(bottom, top, rows))
        shrink = np.minimum(1.0, longest / np.maximum(_lengths(field.score), 1e-12))[..., None]
        arrows = field.score * shrink
        axes.quiver(
            x,
            y,
            arrows[..., 0],
            arrows[..., 1],
            color=field.look.colour,
            scale=longest * columns * 0.8,
            width=0.007,
        )
        axes.set(aspect="equal", xlim=(left, right), ylim=(bottom, top))
        axes.grid(False)


def _lengths(vectors: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vectors, axis=-1)
