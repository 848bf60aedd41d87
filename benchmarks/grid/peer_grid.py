"""The game of the comparison as mfgsolver states it, and as mfgen does.

    -dt U - (sigma^2/2) U'' + |U'|^2 / 2 = 0.1 rho,      U(T) = 0.1 cos 2 pi x
     dt rho - (rho U')' = (sigma^2/2) rho''

mfgsolver has no stopping rule: it is run for the number of policy iterations after which its
density changes by less than the tolerance, found beforehand.
"""

import contextlib
import io

import jax.numpy as jnp
import numpy as np
from mfgsolver.base import MfgBase, MfgBase2D

import mfgen as mg

WEIGHT, HEIGHT, MEAN, VARIANCE = 0.1, 0.1, 0.5, 0.01
MOST = 40


class _Line(MfgBase):
    height = HEIGHT

    def M0_func(self, x):
        return np.exp(-0.5 * (x - MEAN) ** 2 / VARIANCE)

    def UT_func(self, x):
        return self.height * np.cos(2 * np.pi * x)

    def F1_func(self, m):
        return np.ones_like(m)

    def F2_func(self, m):
        return WEIGHT * m


class _Wall(_Line):
    height = 0.0


class _Plane(MfgBase2D):
    def M0_func(self, x1, x2):
        x1, x2 = (part.ravel() for part in np.meshgrid(x1, x2))
        return np.exp(-0.5 * ((x1 - MEAN) ** 2 + (x2 - MEAN) ** 2) / VARIANCE)

    def UT_func(self, x1, x2):
        x1, x2 = (part.ravel() for part in np.meshgrid(x1, x2))
        return HEIGHT * (np.cos(2 * np.pi * x1) + np.cos(2 * np.pi * x2))

    def F1_func(self, m):
        return np.ones_like(m)

    def F2_func(self, m):
        return WEIGHT * m


def peer(kind: str, points: int, steps: int, iterations: int):
    """mfgsolver after so many iterations; what it prints is left out."""
    with contextlib.redirect_stdout(io.StringIO()):
        if kind == "plane":
            made = _Plane(nv=0.045, Nx=points, Nt=steps, bc="periodic")
        elif kind == "wall":
            made = _Wall(nv=0.005, Nx=points, Nt=steps, bc="neumann")
        else:
            made = _Line(nv=0.045, Nx=points, Nt=steps, bc="periodic")
        made.solve(maxit=iterations)
    return made


def iterations(kind: str, points: int, steps: int, tolerance: float) -> tuple[int, float]:
    """How many it takes until its density changes by less than `tolerance`; the last change."""
    changes = np.asarray(peer(kind, points, steps, MOST).diff_M)
    below = np.flatnonzero(changes < tolerance)
    return (int(below[0]) + 1 if len(below) else MOST), float(changes[-1])


def game(kind: str) -> mg.MFG:
    """The same game, declared."""
    dim = 2 if kind == "plane" else 1
    height = 0.0 if kind == "wall" else HEIGHT
    return mg.MFG(
        mg.Integrator(sigma=0.1 if kind == "wall" else 0.3),
        mg.Kinetic(),
        mg.Linear(lambda x: height * jnp.sum(jnp.cos(2 * jnp.pi * x))),
        interaction=WEIGHT * mg.functionals.CrowdAversion(),
        initial=mg.Gaussian([MEAN] * dim, VARIANCE),
        domain=mg.games.Box(0.0, 1.0) if kind == "wall" else mg.games.Torus([1.0] * dim),
    )


def grid(kind: str, points: int, steps: int, tolerance: float) -> mg.Grid:
    """The solver on the same cells and steps."""
    return mg.Grid(points=points, steps=steps, tolerance=tolerance)
