"""A game of one's own: declared, written out, solved twice, certified, compared.

Particles pay for speed more than its square, L = |v|^2/2 + |v|^4/4, and for each other's company;
they are to end near zero. Only L itself is written down.

    python examples/01_a_new_game.py [figure.png]
"""

import sys

import jax
import jax.numpy as jnp

import mfgen as mg
from mfgen.plot import plot_agreement


class Hasty(mg.costs.AbstractLagrangian):
    """The cost of speed, by its formula alone: the control is computed."""

    def __call__(self, t, x, v):
        return 0.5 * v @ v + 0.25 * (v @ v) ** 2


def declare() -> mg.MFG:
    return mg.MFG(
        mg.Integrator(sigma=0.4),
        Hasty(),
        mg.Linear(lambda x: x @ x),
        interaction=0.5 * mg.functionals.Pairwise(lambda z: jnp.exp(-2 * z @ z)),
        initial=mg.Gaussian([1.0], 0.1),
    )


def main(figure: str, steps: int = 2000) -> mg.metrics.Agreement:
    game = declare()
    print(mg.equations(game), "\n")
    print(mg.check(game), "\n")
    grid = mg.solve(game, mg.Grid((-3.0, 3.5), 200, steps=60))
    network = mg.solve(game, mg.solvers.Neural(width=32, steps=steps), key=jax.random.key(0))
    for solution in (grid, network):
        print(solution.result.message)
        print(mg.certify(solution), "\n")
    agreement = mg.compare(network, grid)
    print(agreement)
    plot_agreement(network, grid, figure, labels=("network", "grid"), agreement=agreement)
    return agreement


if __name__ == "__main__":
    main(*sys.argv[1:] or ["new_game.png"])
    print("figure: " + (sys.argv[1:] or ["new_game.png"])[0])
