"""The source solution of the porous medium equation, by Barenblatt and Pattle.

    d rho/dt = lap rho^2,     rho = t^(-a) (C - b |y|^2)_+,    y = x t^(-a/d)

with a = d / (d + 2), b = 1 / (4 (d + 2)) and mass one, C^(1 + d/2) (pi / b)^(d/2) = Gamma(d/2 + 2).
On the line a = 1/3, b = 1/12 and (4/3) C^(3/2) 12^(1/2) = 1; in the plane a = 1/2, b = 1/16 and
8 pi C^2 = 1. It is the gradient flow of F = int rho^2 dx (`PorousMedium(2.0)`) from a point mass at
time 0, and lengths grow as t^(a/d).

Reference: J. L. Vázquez, "The porous medium equation" (2007), section 4.4.
"""

import math

import jax.numpy as jnp
import numpy as np

from mfgen.densities._grid import GridDensity, nodal
from mfgen.densities._line import LineLaw
from mfgen.dynamics._dynamics import positive
from mfgen.math._count import count
from mfgen.math._lattice import Lattice

_NODES = 200_001
_FINE = 8  # points along each side of a cell


def barenblatt(time: float, cells: int) -> LineLaw:
    """The exact law at a time, by cells of equal mass up to both fronts.

    Arguments:
        time: t > 0.
        cells: the number of cells.
    """
    positive("barenblatt", "time", time)
    count("barenblatt", "cells", cells)
    height = (3 / (4 * 12**0.5)) ** (2 / 3)
    front = (12 * height) ** 0.5
    axis = np.linspace(-front, front, _NODES)
    mass = 0.5 + height * axis - axis**3 / 36
    edges = np.interp(np.linspace(0, 1, cells + 1), mass, axis)
    return LineLaw(jnp.asarray(time ** (1 / 3) * edges))


def barenblatt_on(time: float, lattice: Lattice) -> GridDensity:
    """The exact law at a time by its masses in cells, on the line or in the plane.

    Arguments:
        time: t > 0.
        lattice: the cells; both fronts must be in its box.

    Raises:
        ValueError: for a time that is not positive, or a box that cuts mass off.
    """
    positive("barenblatt_on", "time", time)
    dim = lattice.dim
    power, bend = 1 / (dim + 2), 1 / (4 * (dim + 2))
    height = (math.gamma(dim / 2 + 2) * (bend / math.pi) ** (dim / 2)) ** (2 / (2 + dim))
    fine = Lattice(lattice.box, tuple(_FINE * count for count in lattice.points))
    square = np.sum(np.square(fine.nodes()), -1) * time ** (-2 * power)
    density = time ** (-dim * power) * np.maximum(height - bend * square, 0.0)
    split = [size for count in lattice.points for size in (count, _FINE)]
    mass = density.reshape(split).sum(tuple(range(1, 2 * dim, 2))) * fine.volume
    if abs(mass.sum() - 1) > 1e-3:
        raise ValueError(
            f"`barenblatt_on` got the box {lattice.box}, which holds a mass of {mass.sum():.4f} at "
            f"time {time}, expected all: fronts are at {(height / bend) ** 0.5 * time**power:.3f}."
        )
    return nodal(lattice, jnp.asarray(mass / mass.sum()))
