"""The solvers held against exact solutions and against mfgsolver.

    python -m benchmarks.grid               # writes docs/results/grid.md, about half an hour
    python -m benchmarks.grid --only line   # that section anew, the others as they were kept
    python -m benchmarks.grid --quick       # smaller lattices, printed only

Errors are relative L2 over the particles: of U at time 0 and of rho at the horizon. An order is
that between two lattices; in time alone, that of the differences of three solutions on one lattice.
Times are of the processor, compiled, taken in turn with the
peer's in one process; compile time is the first call less a later one.
"""

import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import mfgen as mg
from benchmarks.harness.sections import command
from benchmarks.harness.tables import table
from mfgen.oracles import _named as oracles
from mfgen.solvers._base import Solution

REPORT = Path(__file__).parents[2] / "docs" / "results" / "grid.md"
KEPT = Path(__file__).parents[2] / "runs" / "grid"
HEAD = (
    "# Grid and neural solvers, measured\n\nWritten by `make bench-grid`. Errors are relative L2 "
    "over the particles, of U at time 0 and of rho at the horizon; targets: order at least 1.8 "
    "with noise, at least 0.9 without, errors below 1e-4 on a line and 1e-3 in the plane.\n"
)
SMOOTH = (
    "oracle-hopf-cole",
    "oracle-linear-quadratic",
    "oracle-gaussian-bridge",
    "oracle-logarithmic-coupling",
)
FIRST_ORDER = ("oracle-kink", "oracle-hopf-lax")
MARGIN = 1.15


def errors(exact: Solution, found: Solution) -> tuple[float, float]:
    """Of U at time 0 and of rho at the horizon; NaN for a density that is not exact."""
    lattice = found.value.lattice
    nodes = jnp.asarray(lattice.nodes()).reshape(-1, lattice.dim)
    horizon = exact.game.dynamics.horizon
    start = np.exp(np.asarray(jax.vmap(exact.game.initial.log_density)(nodes)))
    u = np.asarray(jax.vmap(lambda x: exact.value(0.0, x))(nodes))
    off = np.asarray(found.value.values[0]).ravel() - u
    value = np.sqrt((start * off**2).sum() / (start * u**2).sum())
    end = np.exp(np.asarray(jax.vmap(lambda x: exact.density(horizon).log_density(x))(nodes)))
    miss = np.asarray(found.density.mass[-1]).ravel() / lattice.volume - end
    return float(value), float(np.sqrt((miss**2).sum() / (end**2).sum()))


def solved(name: str, dim: int, points: int, steps: int) -> tuple[float, float]:
    """The errors of the grid solver on an oracle."""
    return errors(oracles.build(name, dim).solution, on_grid(name, dim, points, steps))


def on_grid(name: str, dim: int, points: int, steps: int) -> Solution:
    oracle = oracles.build(name, dim)
    half = MARGIN * oracle.box
    grid = mg.Grid(((-half, half),) * dim, points, steps=steps)
    print(f"{name}, {dim} axes, {points} cells, {steps} steps", flush=True)
    found = mg.solve(oracle.solution.game, grid)
    if not found.result.converged:
        print(f"  {found.result.message}")
    return found


def orders_in_time(name: str, points: int, steps: int) -> list[float]:
    """Of U and rho, from steps, twice and four times as many on the same cells."""
    found = [on_grid(name, 1, points, factor * steps) for factor in (1, 2, 4)]
    start = np.asarray(found[-1].density.mass[0])
    parts = [
        ([np.asarray(one.value.values[0]) for one in found], start),
        ([np.asarray(one.density.mass[-1]) for one in found], np.ones_like(start)),
    ]
    off = lambda a, b, weight: float(np.sqrt((weight * (a - b) ** 2).sum()))
    return [order(off(a, b, weight), off(b, c, weight)) for (a, b, c), weight in parts]


def order(coarse: float, fine: float, factor: float = 2.0) -> float:
    return float(np.log(coarse / fine) / np.log(factor))


def accuracy(quick: bool) -> str:
    top = 100 if quick else 400
    rows = []
    for name in SMOOTH + FIRST_ORDER:
        together = [solved(name, 1, n, n // 2) for n in (top // 2, top)]
        space = [order(*pair) for pair in zip(*together, strict=True)]
        later = orders_in_time(name, top // 2, top // 4)
        rows.append(
            [
                name.removeprefix("oracle-"),
                f"{together[-1][0]:.1e}",
                f"{together[-1][1]:.1e}",
                f"{space[0]:.2f}, {space[1]:.2f}",
                f"{later[0]:.2f}, {later[1]:.2f}",
            ]
        )
    head = [
        "game",
        f"error of U, {top} cells",
        f"error of rho, {top} cells",
        "order, cells and steps together (U, rho)",
        f"order in time alone, from {top // 4} steps (U, rho)",
    ]
    return table(head, rows)


def plane(quick: bool) -> str:
    points = 48 if quick else 128
    rows = []
    for name in SMOOTH:
        try:
            value, density = (f"{one:.1e}" for one in solved(name, 2, points, points // 2))
        except FloatingPointError as refusal:
            print(f"  {refusal}")
            value = density = "not solved"
        rows.append([name.removeprefix("oracle-"), value, density])
    return table(["game", f"error of U, {points}² cells", "error of rho"], rows)


LINEAR = ("oracle-gaussian-bridge", "oracle-hopf-cole", "oracle-cost-identity")


def linear(quick: bool) -> str:
    """Bridges and score games by their linear form; the bridge finds its multiplier as well."""
    rows = []
    for name in LINEAR:
        for dim, points in ((1, 100 if quick else 400), (2, 64 if quick else 128)):
            oracle = oracles.build(name, dim)
            game, half = oracle.solution.game, 1.3 * oracle.box
            if oracle.target is not None:
                game = eqx.tree_at(lambda g: g.terminal, game, mg.Prescribed(oracle.target))
            solver = mg.solvers.HopfCole(((-half, half),) * dim, points, steps=10)
            print(f"{name}, {dim} axes, linear form", flush=True)
            mg.solve(game, solver)
            begun = time.process_time()
            found = mg.solve(game, solver)
            spent = time.process_time() - begun
            value, density = errors(oracle.solution, found)
            said = name.removeprefix("oracle-"), f"{points}" if dim == 1 else f"{points}²"
            sinkhorn = f"{found.stats['iterations']:.0f}" if oracle.target is not None else "-"
            rows.append([*said, f"{value:.1e}", f"{density:.1e}", sinkhorn, f"{spent:.2f} s"])
    head = ["game", "cells", "error of U", "error of rho", "iterations of Sinkhorn", "time"]
    return table(head, rows)


def race(kind: str, points: int, steps: int, tolerance: float, rounds: int) -> list[str]:
    from benchmarks.grid.__main__ import peer_grid as both

    print(f"{kind}, {points} cells, {steps} steps", flush=True)
    count, change = both.iterations(kind, points, steps, tolerance)
    game, grid = both.game(kind), both.grid(kind, points, steps, tolerance)
    begun = time.process_time()
    found = mg.solve(game, grid)
    first = time.process_time() - begun
    times: dict[str, list[float]] = {"peer": [], "mfgen": []}
    for _ in range(rounds):
        for name, run in (
            ("peer", lambda: both.peer(kind, points, steps, count)),
            ("mfgen", lambda: mg.solve(game, grid)),
        ):
            begun = time.process_time()
            run()
            times[name].append(time.process_time() - begun)
    peer, own = (float(np.median(times[name])) for name in ("peer", "mfgen"))
    ratios = [a / b for a, b in zip(times["peer"], times["mfgen"], strict=True)]
    ended = f"{count} iterations" if change < tolerance else f"not converged ({change:.1e})"
    row = [
        f"{kind}, {points} cells x {steps} steps",
        f"{peer:.2f} s, {ended}",
        f"{own:.3f} s, {found.result.status.value} in {found.stats['iterations']:.0f}",
        f"{peer / own:.0f} ({min(ratios):.0f} to {max(ratios):.0f})",
        f"{first - own:.1f} s",
    ]
    print(f"  {row}", flush=True)
    return row


def races(quick: bool) -> str:
    rounds = 1 if quick else 2
    rows = [race("circle", 50, 20, 1e-8, rounds)]
    if not quick:
        rows.append(race("circle", 200, 200, 1e-8, rounds))
        rows.append(race("wall", 200, 200, 1e-8, 1))
        rows += [race("plane", 50, 50, 1e-5, 1)]
    head = ["game", "mfgsolver 0.4.4", "mfgen", "ratio (range)", "compile time of mfgen"]
    return table(head, rows)


class Quartic(mg.costs.AbstractLagrangian):
    """A cost of speed without a closed form of its Hamiltonian."""

    def __call__(self, t, x, v):
        return 0.5 * v @ v + 0.25 * (v @ v) ** 2


def networks(quick: bool) -> str:
    """Network and grid against the exact value, on games of three kinds."""
    from mfgen.oracles import _crowd, _hopf_lax, _translation

    games = {
        "cost of speed by its formula alone": _translation.translation(1, Quartic()),
        "interaction": _crowd.logarithmic_coupling(1),
        "first order": _hopf_lax.hopf_lax(1),
    }
    rows = []
    for kind, oracle in games.items():
        game, half = oracle.solution.game, MARGIN * oracle.box
        points = 200 if quick else 1600 if game.dynamics.deterministic else 400
        print(f"{kind}: grid and network", flush=True)
        grid = mg.solve(game, mg.Grid((-half, half), points, steps=points // 4))
        network = mg.solve(
            game, mg.solvers.Neural(steps=500 if quick else 4000, width=32), key=jax.random.key(0)
        )
        places = game.initial.sample(4000, key=jax.random.key(1))
        exact = jax.vmap(lambda x: oracle.solution.value(0.0, x))(places)  # noqa: B023
        off = []
        for one in (network, grid):
            u = jax.vmap(lambda x: one.value(0.0, x))(places)  # noqa: B023
            off.append(float(jnp.sqrt(jnp.mean((u - exact) ** 2) / jnp.mean(exact**2))))
        rows.append([kind, oracle.name, f"{off[0]:.2%}", f"{off[1]:.3%}"])
    return table(["game", "oracle", "network, error of U", "grid, error of U"], rows)


SECTIONS = {
    "line": (accuracy, "On a line", ""),
    "plane": (plane, "In the plane", ""),
    "linear": (
        linear,
        "By the linear form",
        "`HopfCole`, 10 steps; the bridge has its end prescribed and its multiplier found by "
        "Sinkhorn's iteration.",
    ),
    "race": (
        races,
        "Beside mfgsolver",
        "Quadratic Hamiltonian, interaction 0.1 rho, a crowd of deviation 0.1 in the middle of "
        "[0, 1]; the same cells, steps and tolerance (1e-8, in the plane 1e-5), processor time, "
        "both in turn in one process. On the circle sigma = 0.3; between walls sigma = 0.1. "
        "Targets: 100 on 200 x 200, 50 in the plane.",
    ),
    "network": (
        networks,
        "Network, grid and truth",
        "Targets: 2 % for the network, 0.1 % for the grid.",
    ),
}
# In single precision, as users train.
SINGLE = ("race", "network")


def main() -> None:
    command(
        SECTIONS,
        description="Hold the solvers against exact solutions.",
        head=HEAD,
        report=REPORT,
        kept=KEPT,
        around=lambda name: jax.enable_x64(name not in SINGLE),
    )


if __name__ == "__main__":
    main()
