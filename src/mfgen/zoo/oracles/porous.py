"""The source solution of the porous medium equation, by Barenblatt and Pattle, on the line.

    d rho/dt = (rho^2)'',     rho = t^(-1/3) (C - y^2 / 12)_+,    y = x t^(-1/3)

with (4/3) C^(3/2) 12^(1/2) = 1. It is the gradient flow of F = int rho^2 dx (`PorousMedium(2.0)`)
from a point mass at time 0, and its quantile function grows as t^(1/3).

Reference: J. L. Vázquez, "The porous medium equation" (2007), section 4.4.
"""

import jax.numpy as jnp
import numpy as np

from mfgen.density.line import LineLaw
from mfgen.problem.dynamics import positive
from mfgen.simulate.integrator import positive_count

_NODES = 200_001


def barenblatt(time: float, cells: int) -> LineLaw:
    """The exact law at a time, by cells of equal mass up to both fronts.

    Arguments:
        time: t > 0.
        cells: the number of cells.
    """
    positive("barenblatt", "time", time)
    positive_count("barenblatt", "cells", cells)
    height = (3 / (4 * 12**0.5)) ** (2 / 3)
    front = (12 * height) ** 0.5
    axis = np.linspace(-front, front, _NODES)
    mass = 0.5 + height * axis - axis**3 / 36
    edges = np.interp(np.linspace(0, 1, cells + 1), mass, axis)
    return LineLaw(jnp.asarray(time ** (1 / 3) * edges))
