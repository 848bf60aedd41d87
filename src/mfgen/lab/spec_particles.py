"""Gradient flows in a specification: what clouds of particles go down, and flows against a critic.

A particle flow has a game that names the flow, a model of particles and no terms of an objective;
its steps are those of [training]. Nothing here imports JAX; `mfgen.lab.spec` is where a
specification is put together.
"""

from typing import Annotated

from msgspec import Meta

from mfgen.lab.limits import Count, Depth, Index, NonNegative, Positive, Several, Width
from mfgen.lab.spec_flow import Paths
from mfgen.lab.spec_parts import Absolute, Import, Kind, Part, Penalty


class Langevin(Kind, frozen=True, tag="langevin"):
    """The Langevin diffusion to a density known up to a constant, from N(0, spread^2 I).

    `width` is that of the kernel by which the divergence on the way is estimated; `energy` is for
    the data "energy", as in games of kind energy.
    """

    step: Positive = 0.003
    width: Positive = 0.1
    spread: Positive = 1.5
    energy: Import | None = None


class Blob(Kind, frozen=True, tag="gradient-flow"):
    """The gradient flow of KL without noise, the density smoothed by a kernel of that width."""

    step: Positive = 0.01
    width: Positive = 0.15
    spread: Positive = 1.5
    energy: Import | None = None


class Stein(Kind, frozen=True, tag="svgd"):
    """Stein variational descent; the median distance chooses the kernel's width if absent.

    `smoothing` is the width of the kernel by which the divergence on the way is estimated.
    """

    step: Positive = 0.5
    width: Positive | None = None
    smoothing: Positive = 0.1
    spread: Positive = 1.5
    energy: Import | None = None


class Discrepancy(Kind, frozen=True, tag="mmd-flow"):
    """The gradient flow of half the squared MMD to the first so many training `samples`.

    The kernel is -|z| or, with `widths`, the mean of Gaussian ones; `noise` displaces what the
    witness function is evaluated at. With Gaussians the step stays below one over the mean of
    1 / width^2.
    """

    step: Positive = 1.0
    widths: Annotated[tuple[Positive, ...], Meta(min_length=1)] | None = None
    noise: NonNegative = 0.0
    samples: Several = 2000
    spread: Positive = 1.5


class Critic(Part, frozen=True):
    """A network of bounded slope: its size, how it learns, and how often before each step."""

    width: Width = 64
    depth: Depth = 2
    steps: Count = 5
    rate: Positive = 2e-3


class GenerativeParticles(Kind, frozen=True, tag="generative-particles"):
    """The gradient flow of the Lipschitz-regularised KL divergence to the training samples.

    `lipschitz` is the largest slope of the critic, `first` its steps before any particle moves.
    """

    step: Positive = 0.05
    lipschitz: Positive = 1.0
    critic: Critic = Critic(steps=10)
    first: Index = 200
    spread: Positive = 1.5


class Proximal(Kind, frozen=True, tag="w1w2"):
    """A flow from N(0, spread^2 I) to the data with kinetic energy, against a bounded slope.

    `weight` is that of the Lipschitz-regularised KL divergence, `cost` that of |v|^2 / 2: particles
    go no farther than weight times lipschitz over cost.
    """

    cost: Positive = 1.0
    weight: Positive = 10.0
    lipschitz: Positive = 1.0
    spread: Positive = 1.0
    critic: Critic = Critic(steps=2)


class Movement(Kind, frozen=True, tag="jko"):
    """Steps of KL(. || N(0, I)) from the data, each a flow of [training].steps of its own.

    `step` is h in units of the flow's time, `blocks` how many steps there are.
    """

    step: Positive = 0.5
    blocks: Count = 6


class Discounted(Kind, frozen=True, tag="discounted"):
    """The discounted game of KL to a density known up to a constant, from N(0, spread^2 I).

    `epsilon` is how far particles look ahead, up to the `horizon`; `energy` is for the data
    "energy", as in games of kind energy.
    """

    epsilon: Positive = 0.1
    horizon: Positive = 0.5
    spread: Positive = 1.5
    energy: Import | None = None


class Particles(Kind, frozen=True, tag="particles"):
    """A cloud of so many points."""

    count: Several = 2000


class PathCost(Kind, frozen=True, tag="path-cost"):
    """The terminal cost of paths, where it is linear, such as one by a critic."""

    weight: NonNegative = 1.0
    paths: Paths = Paths(starts="initial")


class PathCostate(Kind, frozen=True, tag="path-costate"):
    """The mismatch of grad U and the slope of a linear terminal cost where paths end."""

    weight: NonNegative = 1.0
    paths: Paths = Paths(starts="initial")


class Windows(Part, frozen=True):
    """Windows of `reach` epsilon along a discounted game's paths, from one of so many `stages`."""

    stages: Count = 40
    steps: Count = 12
    reach: Positive = 4.0


class WeightedDissipation(Kind, frozen=True, tag="weighted-dissipation"):
    """What a discounted game pays ahead of where its particles are."""

    weight: NonNegative = 1.0
    windows: Windows = Windows()


class DissipationHJB(Kind, frozen=True, tag="dissipation-hjb"):
    """The residual of a discounted game's HJB equation and of its end, where windows begin."""

    weight: NonNegative = 1.0
    penalty: Penalty = Absolute()
    windows: Windows = Windows()


ByDensity = Langevin | Blob | Stein
BySamples = Discrepancy | GenerativeParticles
Flow = ByDensity | BySamples
Game = Flow | Proximal | Movement | Discounted
Model = Particles
Objective = PathCost | PathCostate | WeightedDissipation | DissipationHJB
