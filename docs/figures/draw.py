"""Draws the picture of the README from the runs of `make demo`: `python docs/figures/draw.py`."""

from pathlib import Path

from mfgen.lab._figures import draw
from mfgen.lab._store import RunFolder

RUNS = Path("runs/demo")


def main() -> None:
    names = ("score-vp-gaussians8-0", "score-vp-hjb-gaussians8-0")
    figures = draw([RunFolder(RUNS / name) for name in names])
    figures["fields"].savefig(
        Path(__file__).with_name("readme.png"), dpi=90, bbox_inches="tight", facecolor="white"
    )


if __name__ == "__main__":
    main()
