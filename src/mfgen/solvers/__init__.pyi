"""Methods from a declared game to its value and its density, on grids and by particles."""

from mfgen.solvers._base import AbstractSolver as AbstractSolver
from mfgen.solvers._base import solve as solve
from mfgen.solvers._divergence_flow import BlobFlow as BlobFlow
from mfgen.solvers._divergence_flow import LangevinFlow as LangevinFlow
from mfgen.solvers._divergence_flow import SteinFlow as SteinFlow
from mfgen.solvers._generative_particles import critic_flow as critic_flow
from mfgen.solvers._generative_particles import generative_particles as generative_particles
from mfgen.solvers._grid import Grid as Grid
from mfgen.solvers._hopf_cole import HopfCole as HopfCole
from mfgen.solvers._jko import JKO as JKO
from mfgen.solvers._jko import jko as jko
from mfgen.solvers._jko_grid import GridJKO as GridJKO
from mfgen.solvers._jko_grid import jko_grid as jko_grid
from mfgen.solvers._mmd_flow import MMDFlow as MMDFlow
from mfgen.solvers._neural import Neural as Neural
from mfgen.solvers._particle import AbstractParticleFlow as AbstractParticleFlow
from mfgen.solvers._particle import descend as descend
from mfgen.solvers._riccati import Riccati as Riccati
