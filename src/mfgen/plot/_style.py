"""The style of figures: colours, sizes, and two file formats.

Colours stand for one thing throughout: a model without the HJB regulariser is blue, with it
orange-red, a plain score network green, a kernel model purple, data and truth are grey. They
follow the palette of Okabe and Ito, which readers with any colour vision can tell apart; repeated
roles differ by their line style.

In a file the background is white. In a page, a figure is inline SVG without background whose ink
is the colour of the text, so it reads in light and in dark.
"""

import io
import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

INK = "#20262e"
COLOURS = {
    "without": "#2c7fb8",
    "with": "#d9601a",
    "field": "#0f9b77",
    "kernel": "#b76aa0",
    "other": "#8c8c3a",
    "data": "#7b8591",
}
LINES = ("-", "--", ":", "-.")
DENSITY = "viridis"

_SETTINGS: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.18,
    "grid.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "image.cmap": DENSITY,
    "svg.fonttype": "path",
}


def settings():
    """The context in which figures are drawn and kept."""
    return mpl.rc_context(_SETTINGS)


def figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches, not known to any window system."""
    drawn = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(drawn)
    return drawn


def to_png(drawn: Figure, path: Path) -> None:
    """Keeps a figure as a PNG on white."""
    with settings():
        drawn.savefig(path, dpi=144, facecolor="white", metadata={"Software": None})


def to_svg(drawn: Figure, name: str) -> str:
    """A figure as inline SVG for a page; `name` makes its identifiers unique there."""
    buffer = io.StringIO()
    with settings(), mpl.rc_context({"svg.hashsalt": name}):
        drawn.savefig(buffer, format="svg", dpi=120, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(INK, "currentColor", svg, flags=re.IGNORECASE)
    # Nothing refers to pictures, and equal ones are given the same name.
    svg = re.sub(r'(<image[^>]*?) id="[^"]*"', r"\1", svg)
    # Glyphs are defined once for each figure: the same names would clash in one page.
    svg = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    # The size is left to the page, in proportion to the drawing.
    size = r'(<svg[^>]*?) width="([\d.]+)pt" height="[\d.]+pt"'
    return re.sub(size, r'\1 style="width: \2pt"', svg, count=1)
