"""Figures of solutions: value and density at a few times, what a certificate found, two solutions.

In one dimension U and rho are curves, the darker the later; in two, maps, with levels of U as lines
on rho. Above, particles are shown in their first two coordinates. Places are those that particles
reach; U is shown there only, up to a constant, less its mean over what is shown. Two solutions
share axes and colour scales: the first is drawn in full, the second dashed.
"""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from mfgen.densities._base import AbstractEvaluable
from mfgen.metrics._agreement import Agreement
from mfgen.metrics._certificate import Certificate
from mfgen.plot import _sampled, _style
from mfgen.simulate._solution import Solution

_POINTS = {1: 241, 2: 61}  # places along an axis
_FAINT = 3e-3  # of the largest density: where U is shown in the plane
_EXACT = 1e-16  # what is smaller counts as zero, and has no place on a logarithmic axis
_SMALL = 1e-4  # of the largest difference: the lower end of the axis of differences
_THIN: Any = {"linewidths": 0.6, "alpha": 0.8}
_TIGHT: Any = {"columnspacing": 1.2, "handlelength": 1.4}
_SMOOTH: Any = {"origin": "lower", "interpolation": "bilinear"}
_WIDTH = 110  # characters of a title
_ROLES = ("without", "field", "with", "kernel")


def plot_certificate(certificate: Certificate, path: Path | str) -> None:
    """Keeps a figure of a solution and of its residuals along the game as a PNG.

    Arguments:
        certificate: what `certify` returned.
        path: of the file.
    """
    solution = certificate.solution
    with _style.settings():
        if solution.density is None:
            figure = _style.figure(5.2, 3.4)
            _profiles(figure.add_subplot(), certificate)
        elif _sampled.dim(solution) == 1:
            figure = _style.figure(9.6, 6.0)
            axes = figure.subplots(2, 2)
            view = _Line(_sampled.reach(solution), _sampled.times(solution))
            _curves(axes[0], view, [solution], [""])
            _heat(figure, axes[1, 0], view, solution)
            _profiles(axes[1, 1], certificate)
        else:
            figure = _style.figure(9.6, 5.4)
            parts: Any = figure.subfigures(2, 1, height_ratios=(1.15, 1.0))
            upper, lower = parts
            _in_the_plane(upper, [solution], [""])
            _profiles(lower.add_subplot(), certificate)
        figure.suptitle(textwrap.fill(certificate.verdict, _WIDTH), fontsize=9.5)
    _style.to_png(figure, Path(path))


def plot_agreement(
    a: Solution,
    b: Solution,
    path: Path | str,
    *,
    labels: tuple[str, str] = ("first", "second"),
    agreement: Agreement | None = None,
) -> None:
    """Keeps a figure of two solutions of one game as a PNG.

    Arguments:
        a, b: the solutions, with densities.
        path: of the file.
        labels: what to call them.
        agreement: what `compare` returned, to draw the differences along the game.

    Raises:
        ValueError: a solution without density.
    """
    if a.density is None or b.density is None:
        raise ValueError(
            "`plot_agreement` got a solution without density, expected two with one: there is no "
            "place where to show them."
        )
    pair = [a, b]
    with _style.settings():
        if _sampled.dim(a) == 1:
            count = 4 if agreement is not None else 3
            figure = _style.figure(9.6, 6.0) if count == 4 else _style.figure(12.6, 3.4)
            axes = figure.subplots(2, 2).ravel() if count == 4 else figure.subplots(1, 3)
            view = _Line(np.stack([_sampled.reach(a), _sampled.reach(b)]), _sampled.times(a))
            _curves(axes, view, pair, labels)
            _difference(axes[2], view, a, b, labels)
        else:
            rows = 2 if _sampled.dim(a) > 2 else 3
            height = 2.3 * rows
            figure = _style.figure(9.6, height + (2.4 if agreement is not None else 0.0))
            parts: Any = [figure]
            if agreement is not None:
                parts = figure.subfigures(2, 1, height_ratios=(height, 2.4))
            _in_the_plane(parts[0], pair, labels)
            axes = [None, None, None, parts[-1].add_subplot() if agreement is not None else None]
        if agreement is not None:
            _differences(axes[3], agreement)
            figure.suptitle(textwrap.fill(agreement.verdict, _WIDTH), fontsize=9.5)
    _style.to_png(figure, Path(path))


class _Line:
    """Places and times of a figure in one dimension."""

    def __init__(self, reach: np.ndarray, times: np.ndarray):
        low, high = float(reach[..., 0, :].min()), float(reach[..., 1, :].max())
        self.x = np.linspace(low, high, _POINTS[1])
        self.times = times
        shades = np.linspace(0.85, 0.0, len(times))
        self.colours = [colormaps[_style.DENSITY](shade) for shade in shades]


def _curves(axes: Any, view: _Line, solutions: Sequence[Solution], labels: Sequence[str]) -> None:
    """U on the first axes and rho on the second, at each time, each solution with its own line."""
    for solution, label, line in zip(solutions, labels, _style.LINES, strict=False):
        values = [_sampled.value(solution, t, view.x[:, None]) for t in view.times]
        level = np.nanmean(values)  # one box may be smaller than the other
        for t, value, colour in zip(view.times, values, view.colours, strict=True):
            said = f"t = {t:.3g}" if line == "-" else None
            axes[0].plot(view.x, value - level, line, color=colour, label=said)
            axes[1].plot(
                view.x, _sampled.density(_sampled.law(solution, t), view.x), line, color=colour
            )
        if label:
            axes[1].plot([], [], line, color=_style.INK, label=label)
    axes[0].set(title="value $U(t, x)$, up to a constant", xlabel="x", ylabel="cost to go")
    axes[0].legend(handlelength=1.2)
    axes[1].set(title=r"density $\rho(t, x)$", xlabel="x", ylabel="density")
    axes[1].set_ylim(bottom=0)
    if any(labels):
        axes[1].legend()


def _difference(axes: Any, view: _Line, a: Solution, b: Solution, labels: Sequence[str]) -> None:
    gaps = [
        _sampled.value(a, t, view.x[:, None]) - _sampled.value(b, t, view.x[:, None])
        for t in view.times
    ]
    level = np.nanmean(gaps)
    for t, gap, colour in zip(view.times, gaps, view.colours, strict=True):
        axes.plot(view.x, gap - level, color=colour, label=f"t = {t:.3g}")
    title = f"$U$ of {labels[0]} $-$ $U$ of {labels[1]}, up to a constant"
    axes.set(title=title, xlabel="x", ylabel="cost")


def _heat(figure: Figure, axes: Any, view: _Line, solution: Solution) -> None:
    """rho over time and place, with the mean of the particles and its spread."""
    times = np.linspace(view.times[0], view.times[-1], 61)
    laws = [_sampled.law(solution, t) for t in times]
    image = np.stack([_sampled.density(law, view.x) for law in laws])
    moments = [[np.asarray(part, float) for part in law.moments()] for law in laws]
    mean = np.array([part[0][0] for part in moments])
    deviation = np.sqrt([part[1][0, 0] for part in moments])
    extent = (times[0], times[-1], view.x[0], view.x[-1])
    # A density that begins or ends as a peak leaves the rest of the picture its colours.
    top = float(np.quantile(image.max(axis=1), 0.9))
    shown = axes.imshow(image.T, origin="lower", aspect="auto", extent=extent, vmin=0, vmax=top)
    figure.colorbar(shown, ax=axes, label="density", pad=0.02)
    axes.plot(times, mean, color="white", linewidth=1.2)
    for side in (-1, 1):
        axes.plot(times, mean + side * deviation, ":", color="white", linewidth=1.0)
    axes.set(title=r"density $\rho$, its mean and deviation", xlabel="time t", ylabel="x")
    axes.grid(visible=False)


def _in_the_plane(figure: Any, solutions: Sequence[Solution], labels: Sequence[str]) -> None:
    """One row for each solution, one column for each time; a row of differences in the plane."""
    times = _sampled.times(solutions[0])
    reach = np.stack([_sampled.reach(solution) for solution in solutions])
    low, high = reach[:, 0, :2].min(axis=0), reach[:, 1, :2].max(axis=0)
    if _sampled.dim(solutions[0]) > 2:
        grid = figure.subplots(len(solutions), len(times), squeeze=False, sharex=True, sharey=True)
        for row, solution, label in zip(grid, solutions, labels, strict=True):
            _scattered(row, solution, times, label)
        return
    count = len(solutions) + (len(solutions) == 2)
    grid = figure.subplots(count, len(times), squeeze=False, sharex=True, sharey=True)
    sides = [np.linspace(*side, _POINTS[2]) for side in zip(low, high, strict=True)]
    plane = _Plane(np.stack(np.meshgrid(*sides), axis=-1), (low[0], high[0], low[1], high[1]))
    maps = [[plane.density(solution, t) for t in times] for solution in solutions]
    for row, solution, images, label in zip(grid, solutions, maps, labels, strict=False):
        for axes, t, image, top in zip(row, times, images, _tops(maps), strict=True):
            axes.imshow(image, extent=plane.extent, vmin=0, vmax=top, **_SMOOTH)
            visible = np.where(image > _FAINT * image.max(), plane.value(solution, t), np.nan)
            axes.contour(*sides, visible, 8, colors="white", linestyles="-", **_THIN)
        row[0].set_ylabel(f"{label}\n$x_2$" if label else "$x_2$")
    if count > len(solutions):
        _map_differences(figure, grid[-1], plane, maps)
    for axes, t in zip(grid[0], times, strict=True):
        axes.set_title(f"t = {t:.3g}")
    grid[0][0].set_title(rf"$\rho$ (colour), $U$ (lines) at t = {times[0]:.3g}")
    for axes in grid.ravel():
        axes.grid(visible=False)
    for axes in grid[-1]:
        axes.set_xlabel("$x_1$")


class _Plane(NamedTuple):
    """Places of a figure in two dimensions, `[rows, columns, 2]`."""

    nodes: np.ndarray
    extent: tuple[float, float, float, float]

    def density(self, solution: Solution, t: float) -> np.ndarray:
        law = _sampled.law(solution, t)
        if isinstance(law, AbstractEvaluable):
            return np.exp(_sampled.on_nodes(law.log_density, self.nodes))
        points, weights = (np.asarray(part, float) for part in law.particles())
        rows, columns = self.nodes.shape[:2]
        left, right, bottom, top = self.extent
        sides = ((bottom, top), (left, right))
        counts, *_ = np.histogram2d(
            points[:, 1], points[:, 0], (rows, columns), sides, weights=weights, density=True
        )
        return counts

    def value(self, solution: Solution, t: float) -> np.ndarray:
        return _sampled.value(solution, t, self.nodes.reshape(-1, 2)).reshape(self.nodes.shape[:2])


def _tops(maps: list[list[np.ndarray]]) -> list[float]:
    """The top of the colours at each time, common to all solutions."""
    return [max(float(image.max()) for image in column) for column in zip(*maps, strict=True)]


def _map_differences(figure: Any, row: Any, plane: _Plane, maps: list[list[np.ndarray]]) -> None:
    gaps = [first - second for first, second in zip(*maps, strict=True)]
    top = max(max(float(np.abs(gap).max()) for gap in gaps), 1e-12)
    shown = [
        axes.imshow(gap, extent=plane.extent, cmap="RdBu_r", vmin=-top, vmax=top, **_SMOOTH)
        for axes, gap in zip(row, gaps, strict=True)
    ]
    figure.colorbar(shown[-1], ax=list(row), label="density", pad=0.01, shrink=0.9)
    row[0].set_ylabel("difference\n$x_2$")


def _scattered(row: Any, solution: Solution, times: np.ndarray, label: str) -> None:
    for axes, t in zip(row, times, strict=True):
        points = np.asarray(_sampled.law(solution, t).sample(1000, key=jax.random.key(0)))
        axes.scatter(*points[:, :2].T, s=3, alpha=0.5, linewidths=0, color=_style.COLOURS["data"])
        axes.set(title=f"t = {t:.3g}", xlabel="$x_1$", aspect="equal")
    row[0].set_ylabel(f"{label}\n$x_2$" if label else "$x_2$")


def _profiles(axes: Any, certificate: Certificate) -> None:
    """Residuals along the game on a logarithmic axis, with bands of two standard errors."""
    units = {name: check.unit for name, check in certificate.checks.items()}
    rates = {"exploitability": "cost per time"}
    for (name, profile), role in zip(certificate.profiles.items(), _ROLES, strict=False):
        unit = rates.get(name, units.get(name, ""))
        _banded(axes, profile, f"{name} ({unit})", _style.COLOURS[role])
    axes.set(title="what is left over of the equations", xlabel="time t", ylabel="root mean square")
    axes.set_xlim(0, certificate.solution.game.dynamics.horizon)
    _legend_above(axes)


def _differences(axes: Any, agreement: Agreement) -> None:
    shown = ("value, up to a constant", "control", "total variation", "W2")
    for name, role in zip(shown, _ROLES, strict=True):
        if name in agreement.profiles and name in agreement.rows:
            unit = agreement.rows[name].unit
            said = name if unit == name else f"{name} ({unit})"
            _banded(axes, agreement.profiles[name], said, _style.COLOURS[role])
    axes.set(title="differences along the game", xlabel="time t", ylabel="difference")
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, _SMALL * high), high)
    axes.set_xlim(0, agreement.second.game.dynamics.horizon)
    _legend_above(axes)


def _banded(axes: Any, profile: Any, label: str, colour: str) -> None:
    t, value, error = (np.asarray(column, float) for column in profile)
    seen = np.where(np.abs(value) > _EXACT, np.abs(value), np.nan)
    if np.isnan(seen).all():
        label = f"{label}: zero"
    axes.semilogy(t, seen, "o-", color=colour, label=label, markersize=3)
    low, high = np.fmax(seen - 2 * error, 0.3 * seen), seen + 2 * error
    axes.fill_between(t, low, high, color=colour, alpha=0.15, linewidth=0)


def _legend_above(axes: Any) -> None:
    """Room for the legend above the curves: four lines, or one where there is width."""
    wide = axes.get_position().width > 0.7
    low, high = axes.get_ylim()
    axes.set_ylim(low, high * (high / low) ** (0.25 if wide else 0.6))
    axes.legend(loc="upper left", fontsize=8, ncols=4 if wide else 1, **_TIGHT)
