"""The names at the top of mfgen, and its namespaces: the one list of them.

Type checkers read it as it stands; `_facade.py` imports a name from its place when it is first
asked for.
"""

from mfgen import costs as costs
from mfgen import data as data
from mfgen import densities as densities
from mfgen import derive as derive
from mfgen import dynamics as dynamics
from mfgen import functionals as functionals
from mfgen import games as games
from mfgen import lab as lab
from mfgen import losses as losses
from mfgen import math as math
from mfgen import metrics as metrics
from mfgen import models as models
from mfgen import oracles as oracles
from mfgen import planning as planning
from mfgen import plot as plot
from mfgen import simulate as simulate
from mfgen import solvers as solvers
from mfgen import trainers as trainers
from mfgen import zoo as zoo
from mfgen.costs._cost import Kinetic as Kinetic
from mfgen.densities._empirical import Empirical as Empirical
from mfgen.densities._energy import Unnormalised as Unnormalised
from mfgen.densities._gaussian import Gaussian as Gaussian
from mfgen.densities._gaussian import GaussianMixture as GaussianMixture
from mfgen.derive._check import check as check
from mfgen.derive._hamiltonian import drift as drift
from mfgen.derive._hamiltonian import hamiltonian as hamiltonian
from mfgen.derive._hamiltonian import optimal_control as optimal_control
from mfgen.derive._residual import fokker_planck as fokker_planck
from mfgen.derive._residual import hjb as hjb
from mfgen.derive._symbols.equations import equations as equations
from mfgen.dynamics._dynamics import Integrator as Integrator
from mfgen.dynamics._noising import VP as VP
from mfgen.functionals._constraint import Prescribed as Prescribed
from mfgen.functionals._functional import KL as KL
from mfgen.functionals._functional import CrossEntropy as CrossEntropy
from mfgen.functionals._functional import Linear as Linear
from mfgen.functionals._kernel_energy import MMD as MMD
from mfgen.games._game import MFG as MFG
from mfgen.losses._game_cost import GameCost as GameCost
from mfgen.losses._residual import Residual as Residual
from mfgen.metrics._agreement import compare as compare
from mfgen.metrics._certificate import certify as certify
from mfgen.models._base import score as score
from mfgen.models._base import velocity as velocity
from mfgen.planning._planner import plan as plan
from mfgen.planning._training import train as train
from mfgen.simulate._labels import sample_given as sample_given
from mfgen.simulate._likelihood import log_prob as log_prob
from mfgen.simulate._sampler import sample as sample
from mfgen.simulate._solution import Solution as Solution
from mfgen.simulate._solution import solution as solution
from mfgen.simulate._trajectory import trajectories as trajectories
from mfgen.solvers._base import solve as solve
from mfgen.solvers._grid import Grid as Grid
from mfgen.trainers._gradient import Gradient as Gradient
from mfgen.trainers._loop import fit as fit
from mfgen.trainers._run import run as run
from mfgen.trainers._trainer import Problem as Problem
from mfgen.zoo._score import score_based as score_based

__version__: str
