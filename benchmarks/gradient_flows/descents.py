"""Gradient flows step by step: JKO beside exact solutions, and clouds of particles.

A step h of F = KL(. || N(0, 1)) from N(2, .25) is known exactly (k = 1 / h in
`mfgen.oracles._flow`); the porous medium equation has the solution of Barenblatt. Particles go
to 8 Gaussians on a circle in units of their deviation, and to mixture A, 20 normal laws in the
plane of unequal weight, far apart: there particles that go down KL stay in the basins where they
began, and the weights of the modes are those of the basins.
"""

import math
import resource
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

import mfgen as mg
from benchmarks.harness.tables import table
from mfgen.densities import AbstractEvaluable, line_law
from mfgen.densities._line import squared_distance
from mfgen.metrics import Estimate, sliced_wasserstein2, wasserstein2
from mfgen.oracles import barenblatt, terminal_divergence
from mfgen.solvers import (
    AbstractParticleFlow,
    BlobFlow,
    LangevinFlow,
    MMDFlow,
    SteinFlow,
    descend,
    jko,
)
from mfgen.zoo import convex_jko_chain, jko_chain

SHORT = (10.0, 1.0, 0.1)  # steps h
START, GOAL = (
    mg.Gaussian(jnp.array([2.0]), jnp.array([0.25])),
    mg.Gaussian(jnp.zeros(1), jnp.ones(1)),
)
CELLS = 400  # of a law on the line
NETWORKS, CONVEX = 2000, 1000  # iterations of a step by a flow, by a convex map
PARTICLES, JUDGED = 10_000, 2000


def steps(quick: bool) -> str:
    """One JKO step between normal laws, on the line and by a network."""
    rows = []
    for step in SHORT[:1] if quick else SHORT:
        density = terminal_divergence(1, 1 / step).solution.density
        assert density is not None
        mean, covariance = density(1.0).moments()
        exact = float(mean[0]), float(covariance[0, 0]) ** 0.5
        normal = line_law(lambda level: 2 + 0.5 * jax.scipy.stats.norm.ppf(level), CELLS)
        found = jko(mg.KL(GOAL), normal, step=step, steps=1).law(-1).moments()
        line = float(found[0][0]), float(found[1][0, 0]) ** 0.5
        network = _network(step, 20 if quick else NETWORKS)
        convex = _convex(step, 20 if quick else CONVEX)
        rows.append(
            [
                f"{step:g}",
                *(f"{value:.4f}" for value in exact),
                *(f"{value:.4f}" for value in line),
                _worst(line, exact),
                *(f"{value:.4f}" for value in network),
                _worst(network, exact),
                *(f"{value:.4f}" for value in convex),
                _worst(convex, exact),
            ]
        )
        print(f"  {rows[-1]}", flush=True)
    ways = [
        f"{name}, {way}" for way in ("line", "flow", "convex map") for name in ("m", "s", "error")
    ]
    return table(["h", "m", "s", *ways], rows)


def _network(step: float, iterations: int) -> tuple[float, float]:
    """Mean and deviation after a step by a potential flow."""
    chain = jko_chain(
        GOAL,
        START,
        step=step,
        steps=1,
        iterations=iterations,
        batch_size=1024,
        width=16,
        key=jax.random.key(0),
    )
    return _less_luck(chain.points, 1 / step)


def _convex(step: float, iterations: int) -> tuple[float, float]:
    """The same by a map that is the gradient of an input-convex network."""
    chain = convex_jko_chain(
        GOAL, START, step=step, steps=1, iterations=iterations, key=jax.random.key(0)
    )
    return _less_luck(chain.points, 1 / step)


def _less_luck(points: Array, k: float) -> tuple[float, float]:
    """Mean and deviation after a step, in units of the exact ones from the particles' own before.

    The step is trained on the particles that were drawn: what they differ from their law by is no
    error of it.
    """
    before, after = (np.asarray(cloud, np.float64)[:, 0] for cloud in (points[0], points[-1]))
    drawn, known = _exact(before.mean(), before.std(), k), _exact(2.0, 0.5, k)
    found = after.mean(), after.std()
    mean, deviation = (f / d * e for f, d, e in zip(found, drawn, known, strict=True))
    return float(mean), float(deviation)


def _exact(mean: float, deviation: float, k: float) -> tuple[float, float]:
    """The step from N(mean, deviation^2) to N(0, 1), k = 1 / h (`mfgen.oracles._flow`)."""
    root = math.sqrt((k * deviation) ** 2 + 4 * (1 + k))
    return k * mean / (1 + k), (k * deviation + root) / (2 * (1 + k))


def _worst(found: tuple[float, float], exact: tuple[float, float]) -> str:
    return f"{100 * max(abs(a / b - 1) for a, b in zip(found, exact, strict=True)):.2f} %"


def porous(quick: bool) -> str:
    """W2 of JKO steps of the porous medium, from t = 1 to 2, to the exact law."""
    rows, last = [], math.nan
    for cells, step in ((40, 0.1), (80, 0.05), (160, 0.025), (320, 0.0125))[: 2 if quick else 4]:
        found = jko(
            mg.functionals.PorousMedium(2.0),
            barenblatt(1.0, cells),
            step=step,
            steps=round(1 / step),
        )
        error = float(squared_distance(found.edges[-1], barenblatt(2.0, cells).edges)) ** 0.5
        order = "" if math.isnan(last) else f"{math.log2(last / error):.2f}"
        rows.append([str(cells), f"{step:g}", f"{error:.5f}", order])
        last = error
    return table(["cells", "h", "W2 to the exact law", "order"], rows)


class _Way(NamedTuple):
    """A flow to a target, how many steps it takes, and how long they are."""

    flow: AbstractParticleFlow
    steps: int
    step: float


def _ways(target: AbstractEvaluable, data: Array, name: str) -> dict[str, _Way]:
    if name == "8 Gaussians":
        return {
            "Langevin": _Way(LangevinFlow(target, 0.05), 1000, 3e-3),
            "blob": _Way(BlobFlow(target, 0.08), 500, 4e-3),
            "Stein": _Way(SteinFlow(target, 0.3), 500, 0.5),
            "MMD": _Way(MMDFlow(data), 500, 2.0),
        }
    return {
        "Langevin": _Way(LangevinFlow(target, 0.05), 2000, 2e-3),
        "blob": _Way(BlobFlow(target, 0.08), 400, 4e-3),
        "Stein": _Way(SteinFlow(target, 0.25), 400, 1.0),
        "MMD": _Way(MMDFlow(data), 300, 2.0),
    }


def _targets() -> dict[str, AbstractEvaluable]:
    eight = mg.densities.eight_gaussians()
    mean, covariance = (np.asarray(moment) for moment in eight.moments())
    scale = float(np.sqrt(np.trace(covariance) / 2))
    return {
        "8 Gaussians": mg.densities.Affine(eight, -mean / scale, 1 / scale),
        "mixture A": mg.densities.mixture20(),
    }


def particles(quick: bool) -> str:
    """Particles to two mixtures: their distance from fresh points beside that of fresh points."""
    count, rows = 500 if quick else PARTICLES, []
    for where, target in _targets().items():
        spread = 1.5 if where == "8 Gaussians" else 2.0
        start = spread * jax.random.normal(jax.random.key(0), (count, 2))
        data = target.sample(count, key=jax.random.key(1))
        far = (
            _apart(target.sample, wasserstein2, min(count, JUDGED)),
            _apart(target.sample, sliced_wasserstein2, count),
        )
        for name, way in _ways(target, data, where).items():
            number = 5 if quick else way.steps
            found = descend(
                way.flow,
                start,
                steps=number,
                step=way.step,
                key=jax.random.key(2),
                every=max(number // 10, 1),
            )
            judged = target.sample(count, key=jax.random.key(3))
            near = wasserstein2(found.points[:JUDGED], judged[:JUDGED]).value
            sliced = sliced_wasserstein2(found.points, judged, key=jax.random.key(4)).value
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            rows.append(
                [
                    where,
                    name,
                    str(number),
                    f"{1e3 * found.seconds / number:.0f} ms",
                    f"{near:.3f} ({near / far[0]:.2f})",
                    f"{sliced:.3f} ({sliced / far[1]:.2f})",
                    f"{found.energies[0]:.3g} to {found.energies[-1]:.3g}",
                    f"{found.rise:.2f}",
                    f"{peak:.2f} GiB",
                ]
            )
            print(f"  {rows[-1]}", flush=True)
    head = [
        "target",
        "flow",
        "steps",
        "time of a step",
        "W2 (over floor)",
        "sliced W2 (over floor)",
        "F",
        "rise of F",
        "peak memory",
    ]
    return table(head, rows)


def _apart(draw: Callable[..., Array], distance: Callable[..., Estimate], count: int) -> float:
    """The distance of two fresh samples, the mean of three."""
    keys = [jax.random.split(jax.random.key(20 + index)) for index in range(3)]
    options = {"key": jax.random.key(5)} if distance is sliced_wasserstein2 else {}
    found = [
        float(distance(draw(count, key=first), draw(count, key=second), **options).value)
        for first, second in keys
    ]
    return float(np.mean(found))
