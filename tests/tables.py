"""The members of each family, one row each; the laws in `tests/laws` run over all of them.

A new Lagrangian, dynamics or functional is one more row here; `tests/laws/test_conformance.py`
fails while a row is missing.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from mfgen.costs import (
    AbstractLagrangian,
    Anisotropic,
    Kinetic,
    NoCost,
    Power,
    Relativistic,
    ScoreLagrangian,
    WithPotential,
)
from mfgen.densities import Gaussian, GaussianMixture
from mfgen.dynamics import (
    VE,
    VP,
    AbstractDynamics,
    ControlAffine,
    Diffusion,
    Integrator,
    LinearNoising,
    Noising,
    SubVP,
    TimeReversal,
    Underdamped,
)
from mfgen.functionals import (
    KL,
    MMD,
    AbstractFunctional,
    AlphaDivergence,
    AttractionRepulsion,
    ChiSquared,
    CrossEntropy,
    CrowdAversion,
    Embedded,
    Entropy,
    FDivergence,
    ForwardKL,
    InverseMultiquadric,
    Linear,
    LipschitzDivergence,
    MeanAttraction,
    MeanTarget,
    Pairwise,
    PorousMedium,
    Prescribed,
    Scaled,
    SinkhornDivergence,
    Sum,
    Wasserstein1,
    Wasserstein2,
    Zero,
)
from mfgen.games import OfPoints, Torus, WithLabels

DIM = 3


class LagrangianRow(NamedTuple):
    """`hamiltonian(t, x, p)` is written by hand; `speed` bounds |v| where L is finite."""

    build: Callable[[], AbstractLagrangian]
    hamiltonian: Callable
    dynamics: Callable[[], AbstractDynamics] = Integrator
    speed: float = jnp.inf


def metric(x):
    skew = jnp.outer(jnp.arange(1.0, x.size + 1), jnp.ones(x.size)) / 4
    return skew @ skew.T + (1 + x @ x) * jnp.eye(x.size)


def place(t, x):
    return jnp.sin(x[0]) * t + 0.5 * x @ x


def norm(p):
    return jnp.sqrt(p @ p)


def power(exponent: float) -> LagrangianRow:
    conjugate = exponent / (exponent - 1)
    return LagrangianRow(lambda: Power(exponent), lambda t, x, p: norm(p) ** conjugate / conjugate)


REVERSAL = TimeReversal(VP())


def score_hamiltonian(t, x, p):
    """-f.p + (sigma^2/2) |p|^2 + div f with f = -r(s) x."""
    s = REVERSAL.noising.horizon - t
    rate, diffusion = REVERSAL.noising.rate(s), REVERSAL.noising.diffusion(s)
    return rate * x @ p + 0.5 * diffusion**2 * p @ p - rate * x.size


LAGRANGIANS: dict[str, LagrangianRow] = {
    "Kinetic": LagrangianRow(lambda: Kinetic(0.7), lambda t, x, p: p @ p / 1.4),
    "Power-1.5": power(1.5),
    "Power-2": power(2.0),
    "Power-3": power(3.0),
    "Relativistic": LagrangianRow(
        lambda: Relativistic(1.5),
        lambda t, x, p: 1.5 * jnp.sqrt(2.25 + p @ p) - 2.25,
        speed=1.5,
    ),
    "Anisotropic": LagrangianRow(
        lambda: Anisotropic(metric), lambda t, x, p: 0.5 * p @ jnp.linalg.inv(metric(x)) @ p
    ),
    "WithPotential": LagrangianRow(
        lambda: WithPotential(Kinetic(2.0), place), lambda t, x, p: p @ p / 4 - place(t, x)
    ),
    "OfPoints": LagrangianRow(
        lambda: OfPoints(WithPotential(Kinetic(2.0), place), 1),
        lambda t, x, p: p @ p / 4 - place(t, x[:-1]),
    ),
    "ScoreLagrangian": LagrangianRow(
        lambda: ScoreLagrangian(REVERSAL), score_hamiltonian, lambda: REVERSAL
    ),
}

# Without a Hamiltonian: declared, refused when one is asked for.
DEGENERATE = {"NoCost": NoCost}
# Without a first variation: a hard terminal condition.
CONSTRAINTS = {"Prescribed": lambda: Prescribed(target())}


def sine_and_bowl(x):
    return jnp.sin(x[0]) + x @ x


def sine(x):
    return jnp.sin(x[0])


def square(x):
    return x[0] ** 2


def bell(z):
    return jnp.exp(-0.5 * z @ z)


def ratio_log(r):
    return r * jnp.log(r)


def turning(t, x):
    return jnp.sin(t) * jnp.roll(x, 1)


def fading(s):
    return jnp.exp(-2 * s)


def rising(s):
    return 2 * s


def growing(t):
    return t * jnp.eye(DIM)


DYNAMICS: dict[str, Callable[[], AbstractDynamics]] = {
    "Integrator": Integrator,
    "Integrator-diffusing": lambda: Integrator(sigma=0.5, horizon=2.0),
    "Integrator-by-a-matrix": lambda: Integrator(sigma=[[0.5, 0.0], [0.2, 0.3], [0.0, 0.1]]),
    "ControlAffine": lambda: ControlAffine(turning, jnp.eye(DIM)[:, :2], growing),
    "Underdamped": lambda: Underdamped(0.5, 0.3),
    "WithLabels": lambda: WithLabels(Integrator(), DIM - 1, 1),
    "WithLabels-diffusing": lambda: WithLabels(Integrator(0.5), DIM - 1, 1),
    "VP": VP,
    "VE": VE,
    "SubVP": SubVP,
    "Noising": lambda: Noising(fading, rising),
    "LinearNoising": lambda: LinearNoising(metric(jnp.zeros(DIM)), 0.7),
    "Diffusion": lambda: Diffusion(turning),
    "TimeReversal-of-a-diffusion": lambda: TimeReversal(Diffusion(turning)),
    "TimeReversal": lambda: REVERSAL,
}


def target():
    """A density on the line, where quadrature is accurate."""
    means = jnp.array([[0.5], [-1.0]])
    return GaussianMixture(jnp.array([0.3, 0.7]), means, jnp.array([0.4, 0.9]))


def wide():
    """A density whose ratio to narrower ones has moments."""
    return Gaussian(jnp.array([0.2]), jnp.array([1.5]))


FUNCTIONALS: dict[str, Callable[[], AbstractFunctional]] = {
    "Zero": Zero,
    "Linear": lambda: Linear(sine_and_bowl),
    "CrossEntropy": lambda: CrossEntropy(target()),
    "Entropy": Entropy,
    "KL": lambda: KL(target()),
    "Sum": lambda: Sum((KL(target()), Linear(square))),
    "Scaled": lambda: Scaled(-0.4, Entropy()),
    "CrowdAversion": CrowdAversion,
    "Pairwise": lambda: Pairwise(bell),
    "MeanAttraction": lambda: MeanAttraction(0.7),
    "MeanTarget": lambda: MeanTarget(jnp.array([0.3]), 1.4),
    "Pairwise-attraction": lambda: Pairwise(AttractionRepulsion(4.0, 2.0)),
    "ForwardKL": lambda: ForwardKL(target()),
    "ChiSquared": lambda: ChiSquared(wide()),
    "AlphaDivergence-1.5": lambda: AlphaDivergence(wide(), 1.5),
    "AlphaDivergence-half": lambda: AlphaDivergence(target(), 0.5),
    "FDivergence": lambda: FDivergence(ratio_log, wide(), "population"),
    "MMD": lambda: MMD(target(), InverseMultiquadric(0.8)),
    "Wasserstein2": lambda: Wasserstein2(target(), 0.5, tolerance=1e-10),
    "SinkhornDivergence": lambda: SinkhornDivergence(target(), 0.5, tolerance=1e-10),
    "LipschitzDivergence": lambda: LipschitzDivergence(sine, target()),
    "Wasserstein1": lambda: Wasserstein1(sine, target()),
    "Embedded": lambda: Embedded(
        SinkhornDivergence(target(), 0.5, tolerance=1e-10), Torus(40.0, low=-20.0)
    ),
    "PorousMedium": PorousMedium,
    "PorousMedium-fast": lambda: PorousMedium(0.8),
}
