"""Flows in a specification: games from data to a reference, their models, terms along paths.

Nothing here imports JAX; `mfgen.lab.spec` is where a specification is put together.
"""

from typing import Literal

from mfgen.lab.limits import Depth, Frequencies, NonNegative, Positive, Width
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

    The energy is that of the data's exact law, which a toy has; no sample of it is used.
    """

    lagrangian: FlowLagrangian = Kinetic()
    weight: Positive = 1.0
    spread: Positive = 1.0


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
    weight: NonNegative = 1.0
    paths: Paths = Paths(starts="initial")


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
    pass


class FlowMatching(Kind, frozen=True, tag="flow-matching"):
    weight: NonNegative = 1.0
    coupling: IndependentPairs | OptimalPairs = IndependentPairs()
    width: NonNegative = 0.0


class Interpolant(Kind, frozen=True, tag="interpolant"):
    weight: NonNegative = 1.0


class ActionMatching(Kind, frozen=True, tag="action-matching"):
    weight: NonNegative = 1.0


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
