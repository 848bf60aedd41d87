"""Invent a model: change a cost, train, certify, and hold it against a grid.

Particles with noise and a speed limit avoid each other on their way to samples of two heaps. No
recipe has this game; it is trained by its own cost, which its plan finds.

    python examples/03_invent_a_model.py [figure.png]     # two minutes
"""

import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt

import mfgen as mg

BOX, STEPS = (-4.0, 4.0), 600


def declare() -> mg.MFG:
    heaps = mg.GaussianMixture(jnp.array([0.3, 0.7]), jnp.array([[-1.5], [1.5]]), jnp.full(2, 0.1))
    samples = mg.Empirical(heaps.sample(500, key=jax.random.key(0)))
    return mg.MFG(
        mg.Integrator(sigma=0.5),
        mg.costs.Relativistic(6.0),
        20.0 * mg.MMD(samples, mg.functionals.DistanceKernel()),
        interaction=2.0 * mg.functionals.Pairwise(mg.functionals.GaussianKernel(0.5)),
        initial=mg.Gaussian(jnp.zeros(1), 0.3),
    )


def draw(trained: mg.Solution, grid: mg.Solution, file: str) -> None:
    x = jnp.linspace(*BOX, 161)[:, None]
    starts = trained.game.initial.sample(4000, key=jax.random.key(3))
    path = trained.trajectories(starts, key=jax.random.key(4))
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.5), layout="constrained")
    for axis, t in zip(axes[:2], (0.5, 1.0), strict=True):
        here = path.points[int(t * (len(path.times) - 1)), :, 0]
        axis.hist(here, 60, range=BOX, density=True, color="0.8", label="trained")
        axis.plot(x, jnp.exp(jax.vmap(grid.density(t).log_density)(x)), label="grid")
        axis.set(title=f"density at t = {t}", xlabel="x")
    for color, solution in (("0.6", trained), ("C0", grid)):
        axes[2].plot(x, jax.vmap(solution.control, (None, 0))(0.5, x), color=color)
    axes[2].set(title="control at t = 0.5", xlabel="x", xlim=(-2.5, 2.5))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right")
    figure.savefig(file, dpi=120)


def main(figure: str = "invented.png", steps: int = STEPS) -> None:
    game = declare()
    print(mg.plan(game), "\n")
    run = mg.train(game, key=jax.random.key(1), steps=steps)
    print(mg.certify(run.solution, key=jax.random.key(2)), "\n")
    grid = mg.solve(game, mg.Grid(BOX, points=200))
    print(mg.compare(run.solution, grid, key=jax.random.key(2)))
    draw(run.solution, grid, figure)


if __name__ == "__main__":
    main(*sys.argv[1:2])
