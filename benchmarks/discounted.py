"""Decay rates of gradient flows as discounted games, by grids and by networks.

    python -m benchmarks.discounted            # prints the table

F = |x|^2 / 2 on a line: distances decay at the rate a = (sqrt(1 + 4 e) - 1) / (2 e), which goes to
that of the gradient flow, 1, at first order in e. Rates are those of the mean and of the standard
deviation of the density that was solved, from time 0 to half of the horizon. The end is told at
e = 1 alone (see `flow`).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

import mfgen as mg
from mfgen.zoo.gradient_flow import gradient_flow_game
from mfgen.zoo.oracles.gradient_flow import decay_rate

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
    solver = mg.Neural(width=32, steps=steps, particles=4096, stages=200)
    solution = mg.solve(flow(epsilon), solver, key=jax.random.key(0))
    return measured(solution, 0.5 * HORIZON)


def rates(epsilons: Sequence[float] = EPSILONS, *, networks: bool = True) -> str:
    """The table in Markdown, one row for each e.

    Arguments:
        epsilons: how far particles look ahead.
        networks: whether networks are trained too, about a minute each.
    """
    lines = [HEAD, ("---",) * len(HEAD)]
    for epsilon in epsilons:
        exact, grid = decay_rate(epsilon), by_grid(epsilon)
        network = by_network(epsilon) if networks else ()
        worst = max(abs(rate / exact - 1) for rate in (*grid, *network))
        said = [", ".join(f"{rate:.4f}" for rate in pair) or "-" for pair in (grid, network)]
        lines.append((f"{epsilon:g}", f"{exact:.4f}", *said, f"{worst:.2%}"))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    print(rates())
