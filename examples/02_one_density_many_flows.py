"""Why a flow needs a cost: without one the data have many flows, with one they have one.

The same network is trained on the same data from several seeds, by likelihood alone (L = 0) and
with the kinetic energy (L = |v|^2 / 2). Densities agree in both games. Paths do so in the second
alone, whose transport is then nearly optimal.

    python examples/02_one_density_many_flows.py [figure.png]     # ten minutes
"""

import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import mfgen as mg
from mfgen.metrics import wasserstein2
from mfgen.zoo import flow_game

WEIGHT = 20.0  # of the divergence at the end beside the kinetic energy


class Family(NamedTuple):
    """One game from several seeds: paths `[seeds, times, n, dim]`, densities `[seeds, m]`."""

    paths: np.ndarray
    log_densities: np.ndarray

    @property
    def path_variance(self) -> float:
        """Mean square distance of a particle from the mean of its seeds, in units of the data."""
        return float(np.mean(np.sum(self.paths.var(axis=0, ddof=1), -1)) / self.paths.shape[-1])

    @property
    def density_difference(self) -> float:
        """Spread of a point's log-density over the seeds, in nats."""
        return float(np.mean(self.log_densities.std(axis=0, ddof=1)))

    @property
    def cost(self) -> np.ndarray:
        """Half the mean square of the displacement, for each seed."""
        moved = self.paths[:, -1] - self.paths[:, 0]
        return 0.5 * np.mean(np.sum(moved**2, -1), -1)


def follow(
    game: mg.MFG, model: mg.models.AbstractModel, x: jax.Array, steps: int = 40
) -> jax.Array:
    """Places of particles at equal times, `[steps + 1, n, dim]`, by the midpoint rule."""
    field = jax.vmap(lambda t, x: mg.velocity(game, model, t, x), (None, 0))

    def step(x: jax.Array, t: jax.Array) -> tuple[jax.Array, jax.Array]:
        middle = x + 0.5 / steps * field(t, x)
        x = x + field(t + 0.5 / steps, middle) / steps
        return x, x

    return jnp.concatenate([x[None], jax.lax.scan(step, x, jnp.arange(steps) / steps)[1]])


def train(
    lagrangian: mg.costs.AbstractLagrangian,
    data: mg.densities.AbstractDensity,
    seeds: int,
    steps: int,
) -> Family:
    game = flow_game(data, lagrangian, weight=WEIGHT)
    # A flow that costs nothing winds: with 8 steps it would be followed wrongly, and so trained.
    paths = mg.losses.Paths(mg.simulate.RungeKutta4(16))
    objective = WEIGHT * mg.losses.PathLikelihood(paths) + mg.losses.TransportCost(paths)
    points = data.sample(20_000, key=jax.random.key(100))
    shown, judged = points[:400], points[400:1400]
    paths, densities = [], []
    for seed in range(seeds):
        first, second = jax.random.split(jax.random.key(seed))
        model = mg.models.control_field(game, width=64, depth=3, key=first)
        model, _ = mg.fit(
            game, model, objective, points, steps=steps, key=second, learning_rate=3e-3
        )
        paths.append(follow(game, model, shown))
        densities.append(mg.log_prob(game, model, judged))
    return Family(np.asarray(jnp.stack(paths)), np.asarray(jnp.stack(densities)))


def draw(families: dict[str, Family], figure: str) -> None:
    canvas, axes = plt.subplots(1, len(families), figsize=(5 * len(families), 5), sharey=True)
    for panel, (name, family) in zip(axes, families.items(), strict=True):
        for seed, color in zip(
            family.paths,
            plt.get_cmap("viridis")(np.linspace(0, 0.9, len(family.paths))),
            strict=True,
        ):
            for particle in range(0, 400, 33):
                panel.plot(*seed[:, particle].T, color=color, lw=1)
                panel.plot(*seed[0, particle], "k.", ms=4)
        panel.set_title(f"{name}\nvariance of paths over seeds {family.path_variance:.3f}")
        panel.set_aspect("equal")
    canvas.tight_layout()
    canvas.savefig(figure, dpi=120)
    plt.close(canvas)


def main(figure: str, seeds: int = 5, steps: int = 600) -> dict[str, Family]:
    data = mg.densities.eight_gaussians()
    games = {"likelihood alone, L = 0": mg.costs.NoCost(), "L = |v|^2 / 2": mg.Kinetic()}
    families = {name: train(cost, data, seeds, steps) for name, cost in games.items()}
    reference = mg.Gaussian(jnp.zeros(2), jnp.ones(2))
    keys = jax.random.split(jax.random.key(7))
    two = data.sample(2000, key=keys[0]), reference.sample(2000, key=keys[1])
    distance = wasserstein2(*two)
    half, error = 0.5 * distance.value**2, distance.value * distance.standard_error
    print(f"half W2^2 of data and reference  {half:.3f} +- {error:.3f}")
    for name, family in families.items():
        print(
            f"{name:26} variance of paths {family.path_variance:.4f}, spread of log-densities "
            f"{family.density_difference:.3f} nats, transport cost {family.cost.mean():.3f} "
            f"+- {family.cost.std(ddof=1):.3f}"
        )
    draw(families, figure)
    return families


if __name__ == "__main__":
    main(*sys.argv[1:] or ["many_flows.png"])
    print("figure: " + (sys.argv[1:] or ["many_flows.png"])[0])
