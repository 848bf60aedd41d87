"""W1 + W2 proximal flows, with both proximals and without one: stable, straight, near the data.

Moons in the plane, turned into 2, 7 and 12 dimensions by an isometry, so that the data lie on a
plane there and have no density. The same seeds for all:

    W1 + W2    a critic of slope 3, kinetic energy, HJB residual, terminal condition
    W1 alone   a critic of slope 3
    W2 alone   a critic without a bound, kinetic energy, HJB residual, terminal condition

Slope, weight and rate are those that did best for W1 + W2 in 12 dimensions on the first seed, of
slopes 1, 2, 3, 6, weights 10 to 60 and rates 5e-3 to 2e-2. In 12 dimensions W1 + W2 is trained
twice as long too. Runs are kept, and not made again.

The Sinkhorn divergence is S(drawn, fresh data) of |x - y|^2 / 2 with the entropy .05, of 2,000
points each; beside it that of fresh data and fresh data, most of which comes from how many points
each moon got. The kinetic energy is E int |v|^2 / 2 dt; the least there is, W2^2 / 2 from N(0, I),
holds (d - 2) / 2 for the directions that the data do not have.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import mfgen as mg
from benchmarks.harness.tables import table
from mfgen.losses import Paths, TransportCost
from mfgen.simulate import RungeKutta4, sample
from mfgen.trainers import NonFiniteError
from mfgen.zoo import w1w2_flow

DIMENSIONS, SEEDS, STEPS, DRAWN = (2, 7, 12), (0, 1, 2, 3, 4), 800, 2000
_UNBOUNDED = 1e6  # a slope that binds nowhere
COMMON: dict[str, Any] = {"lipschitz": 3.0, "weight": 20.0, "learning_rate": 2e-2}
KINDS: dict[str, dict[str, Any]] = {
    "W1 + W2": {},
    "W1 alone": {"transport": False},
    "W2 alone": {"lipschitz": _UNBOUNDED},
}
KEPT = Path(__file__).parents[2] / "runs" / "gradient_flows" / "w1w2"


class Outcome(NamedTuple):
    """Of one training: distance and energy, nan if it broke down, and the step where it did."""

    distance: float
    energy: float
    broken: int | None


def embedded(dim: int, count: int, seed: int) -> jax.Array:
    """Moons of unit variance in a plane of R^dim, `[count, dim]`."""
    points = mg.densities.moons().sample(count, key=jax.random.key(seed))
    mean, covariance = mg.densities.moons().moments()
    points = (points - mean) / jnp.sqrt(jnp.trace(covariance) / 2)
    frame = jax.random.orthogonal(jax.random.key(99), dim)[:2]
    return points @ frame


def kept(dim: int, seed: int, kind: str, steps: int) -> Outcome:
    """The outcome of a training, of an earlier one if there was one."""
    file = KEPT / f"{dim}-{kind.replace(' ', '')}-{seed}-{steps}.json"
    if not file.exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        print(f"  {kind} in {dim} dimensions, seed {seed}", flush=True)
        file.write_text(json.dumps(trained(dim, seed, kind, steps)._asdict()))
        jax.clear_caches()  # forty-five trainings' programs do not fit into one process
    return Outcome(**json.loads(file.read_text()))


def trained(dim: int, seed: int, kind: str, steps: int) -> Outcome:
    options = COMMON | KINDS[kind]
    data = embedded(dim, 5000, 10 + seed)
    try:
        game, found = w1w2_flow(data, key=jax.random.key(seed), steps=steps, **options)
        drawn = sample(game, found.solution, DRAWN, key=jax.random.key(1000 + seed))
    except (NonFiniteError, RuntimeError) as error:
        return Outcome(float("nan"), float("nan"), getattr(error, "step", steps))
    start = mg.Gaussian(jnp.zeros(dim), jnp.ones(dim)).sample(DRAWN, key=jax.random.key(3))
    paid = TransportCost(Paths(RungeKutta4(20)))(game, found.solution, start, key=jax.random.key(0))
    return Outcome(distance(drawn, embedded(dim, DRAWN, 500 + seed)), float(paid), None)


def distance(x: jax.Array, y: jax.Array) -> float:
    """The Sinkhorn divergence of two samples."""
    functional = mg.functionals.SinkhornDivergence(mg.Empirical(y), 0.05, iterations=200)
    return float(functional.value(mg.Empirical(x)))


def w1w2(quick: bool) -> str:
    rows = []
    for dim in DIMENSIONS[:1] if quick else DIMENSIONS:
        seeds = SEEDS[:1] if quick else SEEDS
        floor = [
            distance(embedded(dim, DRAWN, 700 + seed), embedded(dim, DRAWN, 800 + seed))
            for seed in seeds
        ]
        trainings = [(kind, 20 if quick else STEPS) for kind in KINDS]
        if dim == DIMENSIONS[-1]:
            trainings.append(("W1 + W2", 2 * STEPS))
        for kind, steps in trainings:
            found = [kept(dim, seed, kind, steps) for seed in seeds]
            fine = [outcome for outcome in found if outcome.broken is None]
            rows.append(
                [
                    str(dim),
                    kind,
                    f"{steps:,}",
                    f"{len(fine)} of {len(found)}",
                    _told([outcome.distance for outcome in fine]),
                    _told(floor),
                    _told([outcome.energy for outcome in fine]),
                ]
            )
            print(f"  {rows[-1]}", flush=True)
    head = [
        "dimension",
        "proximals",
        "steps",
        "finite",
        "Sinkhorn",
        "of fresh data",
        "kinetic energy",
    ]
    return table(head, rows)


def _told(values: list[float]) -> str:
    if not values:
        return "-"
    spread = f" ± {np.std(values, ddof=1):.2g}" if len(values) > 1 else ""
    return f"{np.mean(values):.3g}{spread}"
