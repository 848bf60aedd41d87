"""Figures of particle flows: what they go down, against time."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from mfgen.lab import style
from mfgen.lab.plots import Curve


def descents(panels: Mapping[str, Sequence[Curve]]) -> Figure:
    """Energies against time with bands of two standard errors, a panel for each functional."""
    with style.settings():
        figure = style.figure(4.2 * len(panels), 2.8)
        row = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (functional, curves) in zip(row, panels.items(), strict=True):
            for curve in curves:
                look, x, y = curve.look, np.asarray(curve.x), np.asarray(curve.y)
                axes.plot(x, y, look.line, color=look.colour, label=look.label)
                if curve.error is not None:
                    band = 2 * np.asarray(curve.error)
                    axes.fill_between(
                        x, y - band, y + band, color=look.colour, alpha=0.2, linewidth=0
                    )
            axes.set(title=functional, xlabel="time of the flow")
            axes.legend()
        return figure
