"""A normalizing flow with a soft terminal cost, learned, beside its exact solution.

    rho(0) = N(2, .25),   L = (k/2) |v|^2,   M = KL(rho(1) || N(0, 1))

The exact flow ends in N(m_1, s_1^2), short of N(0, 1) by an amount that grows with k (see
`mfgen.oracles._flow`). The learned one is OT-Flow's, on fresh points in every step; its mean,
deviation and cost are integrals by the Gauss-Hermite rule, so that no draw adds to the error.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

import mfgen as mg
from mfgen.oracles import terminal_divergence
from mfgen.zoo import flow_game

WEIGHTS = (0.1, 1.0, 10.0)  # k
SWEEP = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
BATCH, STEPS, RATE = 1024, 1500, 5e-3
START = mg.Gaussian(jnp.array([2.0]), jnp.array([0.25]))
_FINE = mg.losses.Paths(mg.simulate.RungeKutta4(40))


class End(NamedTuple):
    """Where a flow ends: mean, deviation, cost of the game, and the divergence that is left."""

    mean: float
    deviation: float
    cost: float
    left: float


def exact(weight: float) -> End:
    """The exact solution for the kinetic energy (weight / 2) |v|^2."""
    oracle = terminal_divergence(1, weight)
    density, cost = oracle.solution.density, oracle.cost
    assert density is not None
    assert cost is not None
    mean, covariance = density(1.0).moments()
    return _end(float(mean[0]), float(covariance[0, 0]) ** 0.5, cost)


def learned(weight: float, seed: int, steps: int = STEPS) -> End:
    """The flow that is trained with it."""
    game = flow_game(START, mg.Kinetic(weight))
    fresh = mg.losses.Paths(mg.simulate.RungeKutta4(8, unroll=True), starts="initial")
    objective = mg.losses.PathLikelihood(fresh) + mg.losses.TransportCost(fresh)
    first, second = jax.random.split(jax.random.key(seed))
    model, _ = mg.fit(
        game,
        mg.models.ot_flow_potential(game, width=16, key=first),
        objective,
        START.sample(BATCH, key=second),  # which only tells the shape: points are drawn anew
        steps=steps,
        key=second,
        learning_rate=RATE,
        batch_size=BATCH,
    )
    nodes, rule = np.polynomial.hermite_e.hermegauss(40)
    rule = jnp.asarray(rule / rule.sum())
    points = 2.0 + 0.5 * jnp.asarray(nodes)[:, None]
    ends, paid = _carried(game, model, points)
    mean = float(rule @ ends)
    deviation = float(rule @ (ends - mean) ** 2) ** 0.5
    entropy = 0.5 * float(np.log(2 * np.pi * np.e * 0.25))
    return _end(mean, deviation, float(rule @ paid) - entropy)


def _end(mean: float, deviation: float, cost: float) -> End:
    left = 0.5 * (deviation**2 + mean**2 - 1 - np.log(deviation**2))
    return End(mean, deviation, cost, float(left))


@eqx.filter_jit
def _carried(game: mg.MFG, model: mg.models.AbstractModel, points: Array) -> tuple[Array, Array]:
    """Ends, and -log pi(x(T)) - log |det| + int L dt, of every point."""

    def end(x: Array) -> Array:
        def step(x: Array, t: Array) -> tuple[Array, None]:
            middle = x + mg.velocity(game, model, t, x) / 160
            return x + mg.velocity(game, model, t + 1 / 160, middle) / 80, None

        return jax.lax.scan(step, x, jnp.arange(80) / 80)[0][0]

    def paid(x: Array) -> Array:
        terms = mg.losses.PathLikelihood(_FINE) + mg.losses.TransportCost(_FINE)
        return terms(game, model, x[None], key=jax.random.key(0))

    return jax.vmap(end)(points), jax.lax.map(paid, points)


def rows(seeds: int = 3, steps: int = STEPS) -> list[list[str]]:
    """One row for each k: learned, mean and deviation over seeds, beside exact."""
    found = []
    for weight in WEIGHTS:
        truth, runs = exact(weight), [learned(weight, seed, steps) for seed in range(seeds)]
        worst = max(
            max(abs(run.mean / truth.mean - 1), abs(run.deviation / truth.deviation - 1))
            for run in runs
        )
        columns = [
            f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f} ({goal:.4f})"
            for values, goal in zip(zip(*runs, strict=True), truth, strict=True)
        ]
        found.append([f"{weight:g}", *columns, f"{100 * worst:.2f} %"])
        print(f"  {found[-1]}", flush=True)
    return found


HEAD = ["k", "m_1 (exact)", "s_1 (exact)", "cost (exact)", "KL left (exact)", "largest error"]
