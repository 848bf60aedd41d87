"""JKO steps on lattices: a porous medium in the plane, and steps between normal laws.

The porous medium starts as the law of Barenblatt at t = 1 and is compared with that at t = 2; a
step h of F = KL(. || N(0, I)) from N((2, -1), diag(.25, .49)) is known exactly, coordinate by
coordinate (k = 1 / h in `mfgen.oracles._flow`). Both with gamma twice the square of a cell's
width, with the symmetric term and without.
"""

import math
import time

import jax.numpy as jnp

import mfgen as mg
from benchmarks.harness.tables import table
from mfgen.densities import cell_masses, nodal
from mfgen.functionals import AbstractFunctional
from mfgen.math import Lattice
from mfgen.oracles import barenblatt_on
from mfgen.solvers import GridJKO, jko_grid

RESOLUTIONS = ((24, 0.2), (48, 0.1), (96, 0.05))  # cells on a side, h
SHORT = (10.0, 1.0, 0.1)  # steps h between normal laws
MEANS, DEVIATIONS = (2.0, -1.0), (0.5, 0.7)


def grids(quick: bool) -> str:
    """Errors of a porous medium in the plane with their order, and of steps between normal laws."""
    return _porous(quick) + "\n" + _normal(quick)


def _porous(quick: bool) -> str:
    rows, last = [], math.nan
    for cells, step in ((16, 0.5), (24, 0.25)) if quick else RESOLUTIONS:
        lattice = Lattice(((-3.0, 3.0), (-3.0, 3.0)), cells)
        began = time.perf_counter()
        found = _steps(
            mg.functionals.PorousMedium(2.0), barenblatt_on(1.0, lattice), step, round(1 / step)
        )
        seconds = time.perf_counter() - began
        exact = barenblatt_on(2.0, lattice)
        error = float(jnp.sum(jnp.abs(found.densities[-1].mass - exact.mass)))
        order = "" if math.isnan(last) else f"{math.log2(last / error):.2f}"
        blurred = _steps(
            mg.functionals.PorousMedium(2.0),
            barenblatt_on(1.0, lattice),
            step,
            round(1 / step),
            False,
        )
        rows.append(
            [
                f"{cells} x {cells}",
                f"{step:g}",
                f"{error:.5f}",
                order,
                f"{float(jnp.sum(jnp.abs(blurred.densities[-1].mass - exact.mass))):.3f}",
                f"{float(jnp.max(jnp.diff(found.energies))):.1e}",
                f"{float(jnp.max(found.mismatches)):.1e}",
                f"{float(jnp.mean(found.iterations)):.0f}",
                f"{seconds:.0f} s",
            ]
        )
        print(f"  {rows[-1]}", flush=True)
        last = error
    head = [
        "cells",
        "h",
        "L1 to the exact law",
        "order",
        "L1 without the symmetric term",
        "largest change of F",
        "mismatch",
        "iterations of a step",
        "time",
    ]
    return table(head, rows)


def _normal(quick: bool) -> str:
    lattice = Lattice(((-4.0, 6.0), (-5.0, 4.0)), (40, 36) if quick else (80, 72))
    first = mg.Gaussian(jnp.array(MEANS), jnp.square(jnp.array(DEVIATIONS)))
    start = nodal(lattice, jnp.asarray(cell_masses(lattice, first)[0]))
    goal = mg.KL(mg.Gaussian(jnp.zeros(2), jnp.ones(2)))
    rows = []
    for step in SHORT[1:] if quick else SHORT:
        found = [_steps(goal, start, step, 1, symmetric) for symmetric in (True, False)]
        errors = [_errors(way, step) for way in found]
        rows.append(
            [
                f"{step:g}",
                *(f"{100 * error:.3f} %" for pair in errors for error in pair),
                str(int(found[0].iterations[0])),
            ]
        )
        print(f"  {rows[-1]}", flush=True)
    head = [
        "h",
        "error of the means",
        "of the deviations",
        "means, without the symmetric term",
        "deviations, without",
        "iterations",
    ]
    return table(head, rows)


def _steps(
    functional: AbstractFunctional, start, step: float, steps: int, symmetric: bool = True
) -> GridJKO:
    return jko_grid(
        functional,
        start,
        step=step,
        steps=steps,
        entropy=2 * max(start.lattice.spacing) ** 2,
        tolerance=1e-5,
        symmetric=symmetric,
    )


def _errors(found: GridJKO, step: float) -> tuple[float, float]:
    """The largest relative errors of means and of deviations after a step."""
    mean, covariance = found.densities[-1].moments()
    k = 1 / step
    off: tuple[list[float], list[float]] = [], []
    for axis, (m, s) in enumerate(zip(MEANS, DEVIATIONS, strict=True)):
        known = (k * s + (k**2 * s**2 + 4 * (1 + k)) ** 0.5) / (2 * (1 + k))
        off[0].append(abs(float(mean[axis]) / (k * m / (1 + k)) - 1))
        off[1].append(abs(float(covariance[axis, axis]) ** 0.5 / known - 1))
    return max(off[0]), max(off[1])
