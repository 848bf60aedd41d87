"""mfgen: a mean-field-games laboratory for generative models.

Declare a game, and the rest is derived from it:

    declare -> derive -> represent -> train -> sample -> measure

The names below are in that order, from the lowest floor to the highest.
"""

from importlib import import_module as _import
from importlib.metadata import version as _version
from typing import TYPE_CHECKING as _TYPE_CHECKING

from mfgen import _xla as _xla
from mfgen.density.affine import Affine as Affine
from mfgen.density.base import AbstractDensity as AbstractDensity
from mfgen.density.base import AbstractEvaluable as AbstractEvaluable
from mfgen.density.base import AbstractNoisable as AbstractNoisable
from mfgen.density.cholesky import CholeskyGaussian as CholeskyGaussian
from mfgen.density.empirical import Empirical as Empirical
from mfgen.density.energy import Unnormalised as Unnormalised
from mfgen.density.folded import Folded as Folded
from mfgen.density.folded import Uniform as Uniform
from mfgen.density.gaussian import Gaussian as Gaussian
from mfgen.density.gaussian import GaussianMixture as GaussianMixture
from mfgen.density.gaussian import mixture20 as mixture20
from mfgen.density.labels import Labelled as Labelled
from mfgen.density.labels import LabelledPoints as LabelledPoints
from mfgen.density.labels import labelled as labelled
from mfgen.density.labels import one_hot as one_hot
from mfgen.density.laplace import laplace as laplace
from mfgen.density.logistic import logistic_posterior as logistic_posterior
from mfgen.density.product import Product as Product
from mfgen.density.product import product_of_toys as product_of_toys
from mfgen.density.toy import checkerboard as checkerboard
from mfgen.density.toy import eight_gaussians as eight_gaussians
from mfgen.density.toy import moons as moons
from mfgen.density.toy import pinwheel as pinwheel
from mfgen.density.toy import rings as rings
from mfgen.density.toy import spiral as spiral
from mfgen.density.toy import swissroll as swissroll
from mfgen.density.well import WellProduct as WellProduct
from mfgen.density.well import double_well as double_well
from mfgen.density.well import many_wells as many_wells
from mfgen.derive.hamiltonian import drift as drift
from mfgen.derive.hamiltonian import hamiltonian as hamiltonian
from mfgen.derive.hamiltonian import optimal_control as optimal_control
from mfgen.derive.residual import fokker_planck as fokker_planck
from mfgen.derive.residual import hjb as hjb
from mfgen.derive.residual import terminal as terminal
from mfgen.math.autodiff import divergence as divergence
from mfgen.math.autodiff import jet as jet
from mfgen.math.autodiff import laplacian as laplacian
from mfgen.math.axes import Box as Box
from mfgen.math.axes import Torus as Torus
from mfgen.math.sinkhorn import NotConverged as NotConverged
from mfgen.math.space import AbstractDomain as AbstractDomain
from mfgen.models.base import AbstractModel as AbstractModel
from mfgen.models.base import AbstractPotential as AbstractPotential
from mfgen.models.base import AbstractVectorField as AbstractVectorField
from mfgen.models.base import Potential as Potential
from mfgen.models.base import VectorField as VectorField
from mfgen.models.base import score as score
from mfgen.models.base import velocity as velocity
from mfgen.models.control import ControlField as ControlField
from mfgen.models.control import control_field as control_field
from mfgen.models.critic import LipschitzCritic as LipschitzCritic
from mfgen.models.critic import lipschitz_critic as lipschitz_critic
from mfgen.models.guided import Guided as Guided
from mfgen.models.kernel import KernelPotential as KernelPotential
from mfgen.models.kernel import kernel_potential as kernel_potential
from mfgen.models.potential import OTFlowPotential as OTFlowPotential
from mfgen.models.potential import ot_flow_potential as ot_flow_potential
from mfgen.models.score import ScoreField as ScoreField
from mfgen.models.score import ScorePotential as ScorePotential
from mfgen.models.score import score_field as score_field
from mfgen.models.score import score_potential as score_potential
from mfgen.models.smoothed import SmoothedPotential as SmoothedPotential
from mfgen.problem.affine import ControlAffine as ControlAffine
from mfgen.problem.affine import Underdamped as Underdamped
from mfgen.problem.constraint import Prescribed as Prescribed
from mfgen.problem.cost import Anisotropic as Anisotropic
from mfgen.problem.cost import Kinetic as Kinetic
from mfgen.problem.cost import NoCost as NoCost
from mfgen.problem.cost import Power as Power
from mfgen.problem.cost import Relativistic as Relativistic
from mfgen.problem.cost import ScoreLagrangian as ScoreLagrangian
from mfgen.problem.cost import WithPotential as WithPotential
from mfgen.problem.dynamics import AbstractDynamics as AbstractDynamics
from mfgen.problem.dynamics import Integrator as Integrator
from mfgen.problem.fdivergence import AlphaDivergence as AlphaDivergence
from mfgen.problem.fdivergence import ChiSquared as ChiSquared
from mfgen.problem.fdivergence import FDivergence as FDivergence
from mfgen.problem.fdivergence import ForwardKL as ForwardKL
from mfgen.problem.forward import Diffusion as Diffusion
from mfgen.problem.forward import LinearNoising as LinearNoising
from mfgen.problem.functional import KL as KL
from mfgen.problem.functional import AbstractFunctional as AbstractFunctional
from mfgen.problem.functional import CrossEntropy as CrossEntropy
from mfgen.problem.functional import Entropy as Entropy
from mfgen.problem.functional import Linear as Linear
from mfgen.problem.functional import Zero as Zero
from mfgen.problem.game import MFG as MFG
from mfgen.problem.generator import AbstractGenerator as AbstractGenerator
from mfgen.problem.generator import Alpha as Alpha
from mfgen.problem.generator import Generator as Generator
from mfgen.problem.interaction import CrowdAversion as CrowdAversion
from mfgen.problem.interaction import Pairwise as Pairwise
from mfgen.problem.kernel import AttractionRepulsion as AttractionRepulsion
from mfgen.problem.kernel import DistanceKernel as DistanceKernel
from mfgen.problem.kernel import GaussianKernel as GaussianKernel
from mfgen.problem.kernel import InverseMultiquadric as InverseMultiquadric
from mfgen.problem.kernel_energy import MMD as MMD
from mfgen.problem.kernel_energy import PorousMedium as PorousMedium
from mfgen.problem.labels import OfPoints as OfPoints
from mfgen.problem.labels import WithLabels as WithLabels
from mfgen.problem.labels import with_labels as with_labels
from mfgen.problem.lagrangian import AbstractLagrangian as AbstractLagrangian
from mfgen.problem.lipschitz import LipschitzDivergence as LipschitzDivergence
from mfgen.problem.lipschitz import Wasserstein1 as Wasserstein1
from mfgen.problem.mean import MeanAttraction as MeanAttraction
from mfgen.problem.mean import MeanTarget as MeanTarget
from mfgen.problem.noising import VE as VE
from mfgen.problem.noising import VP as VP
from mfgen.problem.noising import AbstractNoising as AbstractNoising
from mfgen.problem.noising import SubVP as SubVP
from mfgen.problem.noising import TimeReversal as TimeReversal
from mfgen.problem.schedule import Noising as Noising
from mfgen.problem.transport import SinkhornDivergence as SinkhornDivergence
from mfgen.problem.transport import Wasserstein2 as Wasserstein2
from mfgen.simulate.base import Unfinished as Unfinished
from mfgen.simulate.diffusion import EulerMaruyama as EulerMaruyama
from mfgen.simulate.diffusion import StochasticHeun as StochasticHeun
from mfgen.simulate.divergence import ExactDivergence as ExactDivergence
from mfgen.simulate.flow import ProbabilityFlow as ProbabilityFlow
from mfgen.simulate.flow import inverse_error as inverse_error
from mfgen.simulate.integrator import Adaptive as Adaptive
from mfgen.simulate.integrator import RungeKutta4 as RungeKutta4
from mfgen.simulate.labels import sample_given as sample_given
from mfgen.simulate.langevin import PredictorCorrector as PredictorCorrector
from mfgen.simulate.likelihood import FlowLikelihood as FlowLikelihood
from mfgen.simulate.likelihood import OneShot as OneShot
from mfgen.simulate.likelihood import log_prob as log_prob
from mfgen.simulate.metropolis import MetropolisAdjusted as MetropolisAdjusted
from mfgen.simulate.metropolis import correct as correct
from mfgen.simulate.sampler import sample as sample
from mfgen.simulate.tempered import Tempered as Tempered
from mfgen.simulate.trajectory import Trajectories as Trajectories
from mfgen.simulate.trajectory import trajectories as trajectories
from mfgen.simulate.weighted import AnnealedProposal as AnnealedProposal
from mfgen.simulate.weighted import FlowProposal as FlowProposal
from mfgen.zoo.score import score_based as score_based

if _TYPE_CHECKING:
    from mfgen.derive.check import check as check
    from mfgen.derive.equations import equations as equations
    from mfgen.metrics.agreement import Agreement as Agreement
    from mfgen.metrics.agreement import compare as compare
    from mfgen.metrics.certificate import Certificate as Certificate
    from mfgen.metrics.certificate import certify as certify
    from mfgen.metrics.importance import effective_sample_size as effective_sample_size
    from mfgen.metrics.importance import log_normaliser as log_normaliser
    from mfgen.metrics.importance import log_weights as log_weights
    from mfgen.metrics.one_evaluation import one_evaluation_kl as one_evaluation_kl
    from mfgen.metrics.one_evaluation import (
        one_evaluation_log_likelihood as one_evaluation_log_likelihood,
    )
    from mfgen.metrics.potential_density import DegenerateWeights as DegenerateWeights
    from mfgen.metrics.potential_density import PotentialDensity as PotentialDensity
    from mfgen.metrics.potential_density import potential_density as potential_density
    from mfgen.models.estimate import kernel_estimate as kernel_estimate
    from mfgen.models.estimate import mixture_estimate as mixture_estimate
    from mfgen.models.proximal_kernel import proximal_kernel as proximal_kernel
    from mfgen.planning.planner import Plan as Plan
    from mfgen.planning.planner import plan as plan
    from mfgen.planning.training import train as train
    from mfgen.simulate.solution import Solution as Solution
    from mfgen.simulate.solution import solution as solution
    from mfgen.solvers.base import AbstractSolver as AbstractSolver
    from mfgen.solvers.base import solve as solve
    from mfgen.solvers.grid import Grid as Grid
    from mfgen.solvers.hopf_cole import HopfCole as HopfCole
    from mfgen.solvers.neural import Neural as Neural
    from mfgen.solvers.particle import AbstractParticleFlow as AbstractParticleFlow
    from mfgen.solvers.particle import Particles as Particles
    from mfgen.solvers.riccati import Riccati as Riccati
    from mfgen.trainers.action import ActionMatching as ActionMatching
    from mfgen.trainers.adversarial import CriticFit as CriticFit
    from mfgen.trainers.adversarial import GradientPenalty as GradientPenalty
    from mfgen.trainers.adversarial import fit_critic as fit_critic
    from mfgen.trainers.alternating import Alternating as Alternating
    from mfgen.trainers.alternating import Ascent as Ascent
    from mfgen.trainers.augmented import Augmented as Augmented
    from mfgen.trainers.collocation import NoisedData as NoisedData
    from mfgen.trainers.collocation import SpreadData as SpreadData
    from mfgen.trainers.collocation import UniformBox as UniformBox
    from mfgen.trainers.collocation import UniformTime as UniformTime
    from mfgen.trainers.coupling import EntropicTransport as EntropicTransport
    from mfgen.trainers.coupling import ExactTransport as ExactTransport
    from mfgen.trainers.coupling import Independent as Independent
    from mfgen.trainers.coupling import OptimalTransport as OptimalTransport
    from mfgen.trainers.failure import NonFiniteError as NonFiniteError
    from mfgen.trainers.flow import JacobianPenalty as JacobianPenalty
    from mfgen.trainers.flow import PathCost as PathCost
    from mfgen.trainers.flow import PathLikelihood as PathLikelihood
    from mfgen.trainers.flow import ReverseKL as ReverseKL
    from mfgen.trainers.flow import TransportCost as TransportCost
    from mfgen.trainers.game_cost import GameCost as GameCost
    from mfgen.trainers.gradient import Gradient as Gradient
    from mfgen.trainers.interpolation import FlowMatching as FlowMatching
    from mfgen.trainers.interpolation import StochasticInterpolant as StochasticInterpolant
    from mfgen.trainers.interpolation import Straight as Straight
    from mfgen.trainers.interpolation import Trigonometric as Trigonometric
    from mfgen.trainers.laplacian import Exact as Exact
    from mfgen.trainers.laplacian import Hutchinson as Hutchinson
    from mfgen.trainers.likelihood import MaximumLikelihood as MaximumLikelihood
    from mfgen.trainers.loop import fit as fit
    from mfgen.trainers.matching import DenoisingScoreMatching as DenoisingScoreMatching
    from mfgen.trainers.matching import ImplicitScoreMatching as ImplicitScoreMatching
    from mfgen.trainers.matching import SlicedScoreMatching as SlicedScoreMatching
    from mfgen.trainers.noised import Levels as Levels
    from mfgen.trainers.noised import LogUniform as LogUniform
    from mfgen.trainers.objective import AbstractObjective as AbstractObjective
    from mfgen.trainers.own_paths import OwnPaths as OwnPaths
    from mfgen.trainers.paths import Paths as Paths
    from mfgen.trainers.payment import Pays as Pays
    from mfgen.trainers.penalty import Absolute as Absolute
    from mfgen.trainers.penalty import Huber as Huber
    from mfgen.trainers.penalty import Squared as Squared
    from mfgen.trainers.penalty import Variance as Variance
    from mfgen.trainers.residual import Residual as Residual
    from mfgen.trainers.shorthands import HJB as HJB
    from mfgen.trainers.shorthands import Martingale as Martingale
    from mfgen.trainers.shorthands import PathCostate as PathCostate
    from mfgen.trainers.shorthands import PathHJB as PathHJB
    from mfgen.trainers.shorthands import PathTerminal as PathTerminal
    from mfgen.trainers.shorthands import ScoreHJB as ScoreHJB
    from mfgen.trainers.simulated import SimulatedScoreMatching as SimulatedScoreMatching
    from mfgen.trainers.state import CheckpointError as CheckpointError
    from mfgen.trainers.state import Checkpoints as Checkpoints
    from mfgen.trainers.trainer import AbstractTrainer as AbstractTrainer
    from mfgen.trainers.trainer import Problem as Problem
    from mfgen.trainers.trainer import Run as Run
    from mfgen.trainers.trainer import run as run
    from mfgen.trainers.weighting import Flat as Flat
    from mfgen.trainers.weighting import RatioPower as RatioPower
    from mfgen.zoo.gradient_flow import gradient_flow_game as gradient_flow_game

# What trains, solves and measures is imported when it is asked for: SciPy, SymPy and Optax, on
# which it stands, take longer to import than what a game is declared with.
_LATER = {
    "mfgen.derive.check": ("check",),
    "mfgen.metrics.agreement": ("Agreement", "compare"),
    "mfgen.metrics.certificate": ("Certificate", "certify"),
    "mfgen.metrics.importance": ("effective_sample_size", "log_normaliser", "log_weights"),
    "mfgen.metrics.one_evaluation": ("one_evaluation_kl", "one_evaluation_log_likelihood"),
    "mfgen.metrics.potential_density": (
        "DegenerateWeights",
        "PotentialDensity",
        "potential_density",
    ),
    "mfgen.models.estimate": ("kernel_estimate", "mixture_estimate"),
    "mfgen.models.proximal_kernel": ("proximal_kernel",),
    "mfgen.simulate.solution": ("Solution", "solution"),
    "mfgen.planning.planner": ("Plan", "plan"),
    "mfgen.planning.training": ("train",),
    "mfgen.solvers.base": ("AbstractSolver", "solve"),
    "mfgen.solvers.grid": ("Grid",),
    "mfgen.solvers.hopf_cole": ("HopfCole",),
    "mfgen.solvers.neural": ("Neural",),
    "mfgen.solvers.particle": ("AbstractParticleFlow", "Particles"),
    "mfgen.solvers.riccati": ("Riccati",),
    "mfgen.trainers.action": ("ActionMatching",),
    "mfgen.trainers.adversarial": ("CriticFit", "GradientPenalty", "fit_critic"),
    "mfgen.trainers.collocation": ("NoisedData", "SpreadData", "UniformBox", "UniformTime"),
    "mfgen.trainers.alternating": ("Alternating", "Ascent"),
    "mfgen.trainers.augmented": ("Augmented",),
    "mfgen.trainers.coupling": (
        "EntropicTransport",
        "ExactTransport",
        "Independent",
        "OptimalTransport",
    ),
    "mfgen.trainers.game_cost": ("GameCost",),
    "mfgen.trainers.failure": ("NonFiniteError",),
    "mfgen.trainers.gradient": ("Gradient",),
    "mfgen.trainers.flow": (
        "JacobianPenalty",
        "PathCost",
        "PathLikelihood",
        "ReverseKL",
        "TransportCost",
    ),
    "mfgen.trainers.interpolation": (
        "FlowMatching",
        "StochasticInterpolant",
        "Straight",
        "Trigonometric",
    ),
    "mfgen.trainers.laplacian": ("Exact", "Hutchinson"),
    "mfgen.trainers.likelihood": ("MaximumLikelihood",),
    "mfgen.trainers.loop": ("fit",),
    "mfgen.trainers.matching": (
        "DenoisingScoreMatching",
        "ImplicitScoreMatching",
        "SlicedScoreMatching",
    ),
    "mfgen.trainers.noised": ("Levels", "LogUniform"),
    "mfgen.trainers.objective": ("AbstractObjective",),
    "mfgen.trainers.own_paths": ("OwnPaths",),
    "mfgen.trainers.paths": ("Paths",),
    "mfgen.trainers.payment": ("Pays",),
    "mfgen.trainers.penalty": ("Absolute", "Huber", "Squared", "Variance"),
    "mfgen.trainers.shorthands": (
        "HJB",
        "Martingale",
        "PathCostate",
        "PathHJB",
        "PathTerminal",
        "ScoreHJB",
    ),
    "mfgen.trainers.residual": ("Residual",),
    "mfgen.trainers.simulated": ("SimulatedScoreMatching",),
    "mfgen.trainers.state": ("CheckpointError", "Checkpoints"),
    "mfgen.trainers.trainer": ("AbstractTrainer", "Problem", "Run", "run"),
    "mfgen.trainers.weighting": ("Flat", "RatioPower"),
    "mfgen.zoo.gradient_flow": ("gradient_flow_game",),
    "mfgen.derive.equations": ("equations",),
}
_MODULES = {name: module for module, names in _LATER.items() for name in names}


def __getattr__(name: str):
    """A name of `_LATER`, or a floor such as `mfgen.metrics`."""
    if name in _MODULES:
        return _kept(name, getattr(_import(_MODULES[name]), name))
    if name in ("metrics", "solvers", "trainers"):
        return _import(f"mfgen.{name}")
    raise AttributeError(f"module 'mfgen' has no attribute {name!r}")


def _kept(name: str, value: object) -> object:
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})


__version__ = _version("mfgen")
