"""Flows in a specification: games from data to a reference, their models, terms along paths.

Nothing here imports JAX; `mfgen.lab.spec` is where a specification is put together.
"""

from typing import Annotated, Literal

from msgspec import Meta

from mfgen.lab.limits import Count, Depth, Fraction, Frequencies, NonNegative, Positive, Width
from mfgen.lab.spec_parts import (
    Absolute,
    Adaptive,
    ExactDivergence,
    HutchinsonDivergence,
    Import,
    Kind,
    Kinetic,
    Part,
    Penalty,
    Power,
    Relativistic,
    RungeKutta,
)


class NoCost(Kind, frozen=True, tag="none"):
    """L = 0: a plain continuous normalizing flow."""


class Anisotropic(Kind, frozen=True, tag="anisotropic"):
    """All directions but the first cost `ratio` times as much."""

    ratio: Positive = 4.0


class Obstacle(Kind, frozen=True, tag="obstacle"):
    """Kinetic energy and a hill of costs in the middle, in standard units."""

    height: NonNegative = 10.0
    width: Positive = 0.3


FlowLagrangian = NoCost | Kinetic | Power | Relativistic | Anisotropic | Obstacle | Import


class FlowGame(Kind, frozen=True, tag="flow"):
    """A game without noise from the data to a standard normal law.

    `weight` is that of the Kullback-Leibler divergence at the end; with `prescribed` the law at the
    end is a constraint instead.
    """

    lagrangian: FlowLagrangian = Kinetic()
    weight: Positive = 1.0
    prescribed: bool = False


class EnergyGame(Kind, frozen=True, tag="energy"):
    """A game without noise from N(0, spread^2 I) to a density known by its energy alone.

    The energy is that of the data's exact law, which a toy has, or what data of kind energy are; no
    sample of it is used. `energy`, for the data "energy", is a component of the user's own, called
    with its arguments, that returns a density such as `Unnormalised(energy, dim)`.
    """

    lagrangian: FlowLagrangian = Kinetic()
    weight: Positive = 1.0
    spread: Positive = 1.0
    energy: Import | None = None


class OTFlowModel(Kind, frozen=True, tag="ot-flow"):
    """The potential of OT-Flow: a residual network and a parabola, with a closed-form Laplacian."""

    width: Width = 32
    depth: Depth = 2


class ControlModel(Kind, frozen=True, tag="control"):
    """A vector network for the control itself; `frequencies` are random Fourier features."""

    width: Width = 64
    depth: Depth = 3
    frequencies: Frequencies = 0


class Paths(Part, frozen=True):
    """How paths are followed; terms with equal ones share a pass.

    `divergence` is chosen by model and dimension if absent. `starts`: the rows of the batch, or
    fresh draws of the initial density.
    """

    integrator: RungeKutta | Adaptive = RungeKutta(steps=8)
    divergence: ExactDivergence | HutchinsonDivergence | None = None
    starts: Literal["batch", "initial"] = "batch"


class PathLikelihood(Kind, frozen=True, tag="path-likelihood"):
    weight: NonNegative = 1.0
    paths: Paths = Paths()


class ReverseKL(Kind, frozen=True, tag="reverse-kl"):
    """`tempering`: the part of the training in which the goal is reached from the reference."""

    weight: NonNegative = 1.0
    paths: Paths = Paths(starts="initial")
    tempering: Fraction = 0.7


class TransportCost(Kind, frozen=True, tag="transport-cost"):
    weight: NonNegative = 1.0
    paths: Paths = Paths()


class PathHJB(Kind, frozen=True, tag="path-hjb"):
    weight: NonNegative = 1.0
    penalty: Penalty = Absolute()
    paths: Paths = Paths()


class JacobianPenalty(Kind, frozen=True, tag="jacobian"):
    weight: NonNegative = 1.0
    paths: Paths = Paths()


class IndependentPairs(Kind, frozen=True, tag="independent"):
    pass


class OptimalPairs(Kind, frozen=True, tag="optimal-transport"):
    """Pairs of a batch by swaps, nearly those of optimal transport; `passes` over all pairs."""

    passes: Count = 4


class ExactPairs(Kind, frozen=True, tag="exact"):
    """Pairs of a batch of optimal transport by assignment, in a time like batch_size^3."""


class EntropicPairs(Kind, frozen=True, tag="entropic"):
    """Pairs drawn from the entropic plan; `variance` is sigma^2 T of the bridge with these ends."""

    variance: Positive = 1.0
    tolerance: Positive = 1e-2
    iterations: Count = 500


class Straight(Kind, frozen=True, tag="straight"):
    """x_t = (1 - s) x + s z."""


class Trigonometric(Kind, frozen=True, tag="trigonometric"):
    """x_t = cos(pi s / 2) x + sin(pi s / 2) z."""


Pairs = IndependentPairs | OptimalPairs | ExactPairs | EntropicPairs
Lines = Straight | Trigonometric


class FlowMatching(Kind, frozen=True, tag="flow-matching"):
    """Regression of straight lines; `width` is the deviation of noise added to their points."""

    weight: NonNegative = 1.0
    coupling: Pairs = IndependentPairs()
    width: NonNegative = 0.0


class Interpolant(Kind, frozen=True, tag="interpolant"):
    """Regression of curved lines; `margin` is the part of time left out where `latent` is noise."""

    weight: NonNegative = 1.0
    interpolant: Lines = Trigonometric()
    latent: NonNegative = 0.1
    coupling: Pairs = IndependentPairs()
    margin: Annotated[float, Meta(gt=0, lt=0.5)] = 1e-3


class ActionMatching(Kind, frozen=True, tag="action-matching"):
    """The action of a potential; `paired` uses the velocities of pairs, not their points alone."""

    weight: NonNegative = 1.0
    coupling: Pairs = IndependentPairs()
    interpolant: Lines = Straight()
    paired: bool = False


Game = FlowGame | EnergyGame
Model = OTFlowModel | ControlModel
Objective = (
    PathLikelihood
    | ReverseKL
    | TransportCost
    | PathHJB
    | JacobianPenalty
    | FlowMatching
    | Interpolant
    | ActionMatching
)
