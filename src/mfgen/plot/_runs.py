"""Figures of runs: losses, samples beside data, residuals along the noise.

Each function takes plain arrays of one or several runs and returns a figure; where several runs are
shown, axes and colour scales are shared, so that what looks different is different.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from mfgen.plot import _style

Points = Float[np.ndarray, "n dim"]


class Look(NamedTuple):
    """How a run appears: its label, the role that gives its colour, and its line style."""

    label: str
    role: str
    line: str = "-"

    @property
    def colour(self) -> str:
        return _style.COLOURS[self.role]


class Curve(NamedTuple):
    """A line with an error band: `x`, `y` and standard errors, `[m]` each (or no errors)."""

    look: Look
    x: Sequence[float]
    y: Sequence[float]
    error: Sequence[float] | None = None


class Cloud(NamedTuple):
    """Samples `[n, dim]` of a run."""

    look: Look
    points: Points


def losses(panels: Mapping[str, Sequence[Curve]]) -> Figure:
    """Loss terms against steps, one panel for each term."""
    with _style.settings():
        figure = _style.figure(3.6 * len(panels), 2.6)
        for axes, (name, curves) in zip(_row(figure, len(panels)), panels.items(), strict=True):
            for curve in curves:
                _drawn(axes.plot, curve)
            axes.set(title=name, xlabel="steps")
            _hide_the_start(axes, curves)
            axes.legend()
        return figure


def profile(curves: Sequence[Curve], ylabel: str) -> Figure:
    """A measure against the noise ratio, both logarithmic, with bands of two standard errors."""
    with _style.settings():
        figure = _style.figure(5.2, 3.0)
        (axes,) = _row(figure, 1)
        for curve in curves:
            _drawn(axes.loglog, curve)
            _banded(axes, curve, least=0.1)
        top = max(max(curve.y) for curve in curves)
        low = min(min(curve.y) for curve in curves)
        axes.set_ylim(bottom=max(0.5 * low, 1e-6 * top))
        axes.set(xlabel="noise ratio (noise / signal), data to the left", ylabel=ylabel)
        axes.legend()
        return figure


def descents(panels: Mapping[str, Sequence[Curve]]) -> Figure:
    """Energies against time with bands of two standard errors, a panel for each functional."""
    with _style.settings():
        figure = _style.figure(4.2 * len(panels), 2.8)
        row = _row(figure, len(panels))
        for axes, (functional, curves) in zip(row, panels.items(), strict=True):
            for curve in curves:
                _drawn(axes.plot, curve)
                _banded(axes, curve)
            axes.set(title=functional, xlabel="time of the flow")
            axes.legend()
        return figure


def clouds(data: Points, models: Sequence[Cloud]) -> Figure:
    """Samples in the plane beside the data, on common axes."""
    with _style.settings():
        shown = [Cloud(Look("data", "data"), data), *models]
        figure = _style.figure(2.5 * len(shown), 2.75)
        low, high = _limits(data)
        for axes, cloud in zip(_row(figure, len(shown)), shown, strict=True):
            points = cloud.points[:2000]
            axes.scatter(
                *points.T,
                s=_dot(len(points), 110.0),
                color=cloud.look.colour,
                alpha=0.55,
                linewidths=0,
                rasterized=True,
            )
            axes.set(
                title=cloud.look.label,
                xlim=(low[0], high[0]),
                ylim=(low[1], high[1]),
                aspect="equal",
            )
        return figure


def images(
    data: Points, models: Sequence[Cloud], shape: tuple[int, int], *, side: int = 6
) -> Figure:
    """Samples as images beside the data, on a common grey scale."""
    with _style.settings():
        shown = [Cloud(Look("data", "data"), data), *models]
        figure = _style.figure(2.6 * len(shown), 2.9)
        low, high = np.quantile(data, [0.005, 0.995])
        for axes, cloud in zip(_row(figure, len(shown)), shown, strict=True):
            axes.imshow(
                _mosaic(cloud.points, shape, side, low),
                cmap="gray",
                vmin=low,
                vmax=high,
                interpolation="nearest",
            )
            axes.set_title(cloud.look.label)
            axes.set_axis_off()
        return figure


def pairs(data: Points, models: Sequence[Cloud], names: Sequence[str], *, count: int = 4) -> Figure:
    """The first coordinates against each other: data in the ink of the text, models in colour."""
    with _style.settings():
        count = min(count, data.shape[1])
        figure = _style.figure(1.75 * count, 1.75 * count)
        grid: Any = figure.subplots(count, count, squeeze=False)
        shown = [Cloud(Look("data", "data"), data), *models]
        low, high = _limits(data)
        for row, column in np.ndindex(count, count):
            axes = grid[row, column]
            if column > row:
                axes.set_axis_off()
            elif column == row:
                _histograms(axes, shown, row, (low[row], high[row]))
            else:
                _scatters(axes, shown, row, column)
                axes.set(ylim=(low[row], high[row]))
            axes.set_xlim(low[column], high[column])
            axes.tick_params(labelbottom=row == count - 1, labelleft=0 < row != column == 0)
        for index in range(count):
            grid[count - 1, index].set_xlabel(names[index])
            if index:
                grid[index, 0].set_ylabel(names[index])
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="upper right")
        return figure


def _row(figure: Figure, count: int) -> Any:
    return figure.subplots(1, count, squeeze=False)[0]


def _drawn(plot: Callable, curve: Curve) -> None:
    plot(curve.x, curve.y, curve.look.line, color=curve.look.colour, label=curve.look.label)


def _banded(axes, curve: Curve, *, least: float | None = None) -> None:
    """A band of two standard errors, no lower than a fraction of the curve if one is given."""
    if curve.error is None:
        return
    y, band = np.asarray(curve.y), 2 * np.asarray(curve.error)
    low = y - band if least is None else np.maximum(y - band, least * y)
    axes.fill_between(curve.x, low, y + band, color=curve.look.colour, alpha=0.2, linewidth=0)


def _limits(data: Points) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.quantile(data, [0.002, 0.998], axis=0)
    margin = 0.12 * (high - low)
    return low - margin, high + margin


def _dot(count: int, ink: float) -> float:
    """The area of a point: the fewer there are, the larger each."""
    return float(np.clip(ink / np.sqrt(max(count, 1)), 2.5, 16.0))


def _hide_the_start(axes, curves: Sequence[Curve]) -> None:
    # The first records, before anything is learnt, would flatten all that follows.
    later = [y for curve in curves for y in list(curve.y)[len(curve.y) // 10 + 1 :]]
    if later and len(set(later)) > 1:
        low, high = min(later), max(later)
        axes.set_ylim(low - 0.08 * (high - low), high + 0.15 * (high - low))


def _mosaic(points: Points, shape: tuple[int, int], side: int, fill: float) -> np.ndarray:
    height, width = shape
    canvas = np.full((side * (height + 1) - 1, side * (width + 1) - 1), np.nan)
    for index, point in enumerate(points[: side * side]):
        row, column = divmod(index, side)
        top, left = row * (height + 1), column * (width + 1)
        canvas[top : top + height, left : left + width] = point.reshape(shape)
    return np.where(np.isnan(canvas), fill, canvas)


def _histograms(axes, shown: Sequence[Cloud], index: int, limits: tuple[Any, Any]) -> None:
    for cloud in shown:
        axes.hist(
            cloud.points[:, index],
            bins=30,
            range=limits,
            density=True,
            histtype="step",
            color=cloud.look.colour,
            linestyle=cloud.look.line,
            label=cloud.look.label,
        )
    axes.set_yticks([])


def _scatters(axes, shown: Sequence[Cloud], row: int, column: int) -> None:
    for cloud in shown:
        points = cloud.points[:400]
        axes.scatter(
            points[:, column],
            points[:, row],
            s=_dot(len(points), 60.0),
            color=cloud.look.colour,
            alpha=0.5,
            linewidths=0,
            rasterized=True,
        )
