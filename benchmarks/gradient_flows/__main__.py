"""Wasserstein gradient flows beside exact solutions, and W1 + W2 proximal flows.

python -m benchmarks.gradient_flows                  # writes docs/results/gradient_flows.md
python -m benchmarks.gradient_flows --only particles # that section anew
python -m benchmarks.gradient_flows --quick          # small and short, printed only

Two sections read files of the user's: CELLS names that of the embryoid-body cells (without it the
section stays as it is), MNIST the folder of the idx files (without it digits alone are measured).
"""

import os
from pathlib import Path

from benchmarks.gradient_flows import descents, discounted, few_images, regularisers
from benchmarks.gradient_flows.cells import cells
from benchmarks.gradient_flows.grid_steps import grids
from benchmarks.gradient_flows.memorisation import memorisation
from benchmarks.gradient_flows.w1w2 import w1w2
from benchmarks.harness.sections import Section, command

REPORT = Path(__file__).parents[2] / "docs" / "results" / "gradient_flows.md"
KEPT = Path(__file__).parents[2] / "runs" / "gradient_flows"
HEAD = "# Gradient flows, measured\n\nWritten by `make bench-gradient-flows`.\n"


def rates(quick: bool) -> str:
    if quick:
        return discounted.rates((0.1,), networks=False)
    return f"{discounted.rates()}\n\n{discounted.draw()}"


def left_out(quick: bool) -> str | None:
    path = os.environ.get("CELLS")
    return None if path is None else cells(Path(path), quick)


SECTIONS: dict[str, Section] = {
    "discounted": (
        rates,
        "Discounted games",
        "The rate at which particles of the discounted game of F = E|x|²/2 go down, beside the "
        "exact one, which tends to 1 with eps. The figure: particles in two wells, and W beside V. "
        "The farther particles look ahead, the less they hurry down steep slopes, and the earlier "
        "they leave the ridge.",
    ),
    "steps": (
        descents.steps,
        "A JKO step between normal laws",
        "F = KL(. || N(0, 1)) from N(2, .25), mean and deviation after one step h: exact, by "
        "quantile functions on the line, by a potential flow, and by the gradient of an "
        "input-convex network.",
    ),
    "porous": (
        descents.porous,
        "JKO steps of a porous medium",
        "From t = 1 to 2; the order is that of cells and step halved together.",
    ),
    "grid": (
        grids,
        "JKO steps on lattices",
        "By an entropic proximal with the symmetric term, and without it "
        "(`grid_steps.py`): the porous medium in the plane from t = 1 to 2, and single "
        "steps of KL(. || N(0, I)) between normal laws in the plane.",
    ),
    "particles": (
        descents.particles,
        "Particles to mixtures",
        "10,000 particles to 8 Gaussians on a circle (in units of their deviation) and to mixture "
        "A, 20 normal laws of unequal weight, far apart: particles that go down KL stay in the "
        "basins where they began. W2 of 2,000 particles and "
        "2,000 fresh points, and over that of two fresh samples; sliced W2 of all; the largest "
        "rise of the functional from record to record, in standard errors; the memory is the "
        "largest of the whole process so far.",
    ),
    "cells": (
        left_out,
        "Cells between snapshots",
        "Embryoid-body cells at five times, 300 of each in five principal components: snapshots 1 "
        "and 3 are left out and filled in from the others (`cells.py`). W2 to them, by "
        "20 keys and by half-samples; the differences with the delete-half jackknife's errors. "
        "The form of the game and the rule that chooses sigma were settled with these scores in "
        "sight; bandwidth, ridge and sigma are chosen by the snapshots that are seen.",
    ),
    "memorisation": (
        memorisation,
        "Few samples of a mixture",
        "Mixture A from 50 to 500 samples (`memorisation.py`, docs/memorisation.md).",
    ),
    "images": (
        few_images.images,
        "Images from few samples",
        "200 training images; 500 samples beside 500 other images (`few_images.py`).",
    ),
    "regularisers": (
        regularisers.regularisers,
        "The HJB residual in every family",
        "Each recipe beside itself without its residual, on 8 Gaussians, three seeds "
        "(`regularisers.py`). Units of the residual compare within a row alone.",
    ),
    "w1w2": (
        w1w2,
        "W1 + W2 proximal flows",
        "Moons on a plane in 2, 7 and 12 dimensions; Sinkhorn divergence of 2,000 samples and "
        "2,000 fresh points, and that of fresh points; kinetic energy.",
    ),
}


def main() -> None:
    command(
        SECTIONS,
        description="Measure gradient flows.",
        head=HEAD,
        report=REPORT,
        kept=KEPT,
    )


if __name__ == "__main__":
    main()
