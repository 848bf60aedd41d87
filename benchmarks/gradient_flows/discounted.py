"""Decay rates of gradient flows as discounted games, by grids and by networks.

    python -m benchmarks.gradient_flows.discounted            # prints the table, draws the figure

F = |x|^2 / 2 on a line: distances decay at the rate a = (sqrt(1 + 4 e) - 1) / (2 e), which goes to
that of the gradient flow, 1, at first order in e. Rates are those of the mean and of the standard
deviation of the density that was solved, from time 0 to half of the horizon. The end is told at
e = 1 alone (see `flow`).
"""

from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt

import mfgen as mg
from benchmarks.harness.tables import table
from mfgen.oracles import decay_rate
from mfgen.plot import _style
from mfgen.zoo import gradient_flow_game

FIGURE = Path(__file__).parents[2] / "docs" / "results" / "discounted.png"
HORIZON = 1.0
EPSILONS = (1.0, 0.1, 0.01)
HEAD = ("e", "exact rate", "grid: mean, deviation", "network: mean, deviation", "largest error")


def flow(epsilon: float) -> mg.MFG:
    """The game of a parabola whose solution is that of the infinite horizon.

    At e = 1 the end is felt everywhere, so the terminal cost is that of the infinite horizon; below
    it is F, whose layer of width e is over before half of the horizon.
    """
    parabola = lambda x: 0.5 * x @ x
    rate = decay_rate(epsilon) if epsilon > 0.2 else 1.0
    end = mg.Linear(lambda x: rate * parabola(x))
    start = mg.Gaussian(jnp.full(1, 0.5), 1.0)
    return gradient_flow_game(mg.Linear(parabola), start, epsilon, HORIZON, end)


def measured(solution, until: float) -> tuple[float, float]:
    """The rates at which mean and standard deviation of the density decay up to a time."""
    (first, before), (last, after) = (solution.density(t).moments() for t in (0.0, until))
    mean = jnp.log(first[0] / last[0]) / until
    return float(mean), float(0.5 * jnp.log(before[0, 0] / after[0, 0]) / until)


def by_grid(epsilon: float, points: int = 3000, steps: int = 400) -> tuple[float, float]:
    solution = mg.solve(flow(epsilon), mg.Grid((-4.5, 5.5), points, steps=steps))
    return measured(solution, 0.5 * HORIZON)


def by_network(epsilon: float, steps: int = 1500) -> tuple[float, float]:
    solver = mg.solvers.Neural(width=32, steps=steps, particles=4096, stages=200)
    solution = mg.solve(flow(epsilon), solver, key=jax.random.key(0))
    return measured(solution, 0.5 * HORIZON)


def rates(epsilons: Sequence[float] = EPSILONS, *, networks: bool = True) -> str:
    """The table in Markdown, one row for each e.

    Arguments:
        epsilons: how far particles look ahead.
        networks: whether networks are trained too, about a minute each.
    """
    lines = []
    for epsilon in epsilons:
        exact, grid = decay_rate(epsilon), by_grid(epsilon)
        network = by_network(epsilon) if networks else ()
        worst = max(abs(rate / exact - 1) for rate in (*grid, *network))
        said = [", ".join(f"{rate:.4f}" for rate in pair) or "-" for pair in (grid, network)]
        lines.append((f"{epsilon:g}", f"{exact:.4f}", *said, f"{worst:.2%}"))
    return table(HEAD, lines)


def draw(epsilons: Sequence[float] = (0.01, 0.1, 1.0)) -> str:
    """Ways of particles in two wells for several e; draws the figure and returns a link to it."""
    wells = lambda x: 0.25 * jnp.sum((x * x - 1) ** 2) + 0.1 * jnp.sum(x)
    start = mg.Gaussian(jnp.full(1, 0.1), 0.4)
    places, starts = jnp.linspace(-1.8, 1.8, 200), jnp.linspace(-1.5, 1.5, 13)
    with _style.settings():
        figure = _style.figure(9.0, 3.0)
        left, *rest = figure.subplots(1, 1 + len(epsilons))
        left.plot(places, jax.vmap(lambda x: wells(x[None]))(places), "k:", label="dF/drho = V")
        for epsilon, axes in zip(epsilons, rest, strict=True):
            game = gradient_flow_game(mg.Linear(wells), start, epsilon, 4.0)
            solution = mg.solve(game, mg.Grid((-3.0, 3.0), 600, steps=400))
            value = jax.vmap(lambda x, solution=solution: solution.value(0.0, x[None]))(places)
            left.plot(places, value, label=f"W(0, x), ε = {epsilon:g}")
            times, ways = _ways(solution, starts, 4.0)
            axes.plot(times, ways, color="0.4", linewidth=0.8)
            axes.set(title=f"ε = {epsilon:g}", xlabel="t", ylim=(-1.6, 1.6))
        left.set(xlabel="x")
        left.legend(fontsize=7)
        figure.savefig(FIGURE, dpi=120)
        plt.close(figure)
    return f"![Ways down two wells, by how far particles look ahead]({FIGURE.name})\n"


def _ways(solution: mg.Solution, starts: jax.Array, horizon: float) -> tuple[jax.Array, jax.Array]:
    """Particles that play the control of a solution, by Euler's method."""
    steps = 400
    times = jnp.linspace(0.0, horizon, steps + 1)

    def move(x: jax.Array, t: jax.Array) -> tuple[jax.Array, jax.Array]:
        slopes = jax.vmap(lambda x: solution.costate(t, x[None])[0])(x)
        moved = x - horizon / steps * slopes
        return moved, moved

    _, later = jax.lax.scan(move, starts, times[:-1])
    return times, jnp.concatenate([starts[None], later])


if __name__ == "__main__":
    print(rates())
    print(draw())
