"""What is measured of an invented game beside the energy distance of its samples."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

import mfgen as mg
from benchmarks.inventions import games as invented
from mfgen.losses._crowd import Followed
from mfgen.metrics import energy_distance

Measure = Callable[[mg.Solution, jax.Array], dict[str, float]]
_PATHS = 4000


def interaction(solution: mg.Solution, key: jax.Array) -> dict[str, float]:
    """What the crowd pays on the way, beside what it would without the interaction."""
    game = solution.game
    path = solution.trajectories(game.initial.sample(1000, key=key), key=key)
    cost = lambda points: game.interaction.value(mg.Empirical(points))
    return {"interaction": float(jnp.mean(jax.lax.map(cost, path.points[::10])))}


def likelihood(solution: mg.Solution, key: jax.Array) -> dict[str, float]:
    """The mean of -log rho over fresh moons; their own is 2.38 nats."""
    x = mg.densities.moons().sample(2000, key=key)
    return {"NLL": float(-jnp.mean(solution.log_prob(x)))}


def wells(solution: mg.Solution, key: jax.Array) -> dict[str, float]:
    """log Z by the weights of paths, and the mass of the upper well, off the exact ones."""
    law, game = mg.densities.double_well(2), solution.game
    x = solution.sample(_PATHS, key=key)
    exact = float(jnp.mean(law.sample(200_000, key=key)[:, 0] > 0))
    share = float(jnp.mean(x[:, 0] > 0))
    start_key, path_key = jax.random.split(key)
    # Girsanov's weights are exact for the steps of Euler and Maruyama, and for those alone.
    starts, method = game.initial.sample(_PATHS, key=start_key), mg.simulate.EulerMaruyama(200)
    path = solution.trajectories(starts, key=path_key, method=method)
    drawn = jax.vmap(jax.vmap(lambda t, x: solution.control(t, x), (None, 0)))(
        path.times[:-1], path.points[:-1]
    )
    ito = jnp.sum(drawn * path.noise, axis=(0, 2))
    ends = jax.vmap(lambda x: game.terminal.variation(None, x))(path.points[-1])
    log_weights = -(path.paid[-1] + ito + ends)
    log_z = float(jax.scipy.special.logsumexp(log_weights) - np.log(_PATHS))
    return {"log Z off by": log_z - law.log_normaliser, "upper well off by": share - exact}


def end(solution: mg.Solution, key: jax.Array) -> dict[str, float]:
    """The energy distance to the prescribed end, and what the hill costs on the way."""
    game = solution.game
    path = solution.trajectories(game.initial.sample(2000, key=key), key=key)
    goal = game.terminal.goal.points
    paid = jax.vmap(jax.vmap(lambda x: invented.hill(0.0, x[:2])))(path.points)
    return {
        "ED to the end": float(energy_distance(path.points[-1], goal).value),
        "hill": float(jnp.mean(jnp.trapezoid(jnp.mean(paid, axis=1), path.times))),
    }


def against_grid(solution: mg.Solution, key: jax.Array) -> dict[str, float]:
    """The control beside that of a grid, relative, over the particles."""
    game = solution.game
    dim = game.initial.dim
    grid = mg.solve(game, mg.Grid(((-4.0, 4.0),) * dim, points=200 if dim == 1 else 64))
    x = solution.trajectories(game.initial.sample(500, key=key), key=key)
    rows = range(0, len(x.times) - 1, max(1, len(x.times) // 8))
    controls = lambda of: [jax.vmap(of.control, (None, 0))(x.times[k], x.points[k]) for k in rows]
    found, best = jnp.stack(controls(solution)), jnp.stack(controls(grid))
    return {
        "control off the grid's": float(jnp.sqrt(jnp.mean((found - best) ** 2) / jnp.mean(best**2)))
    }


def against_riccati(solution: mg.Solution, key: jax.Array) -> dict[str, float]:
    """Control and cost beside the exact ones, in per cent, along the exact paths."""
    exact = mg.solve(solution.game, mg.solvers.Riccati())
    path = exact.trajectories(solution.game.initial.sample(2000, key=key), key=key)
    rows = range(0, len(path.times) - 1, max(1, len(path.times) // 8))
    at = lambda of: [jax.vmap(of.control, (None, 0))(path.times[k], path.points[k]) for k in rows]
    found, best = jnp.stack(at(solution)), jnp.stack(at(exact))
    off = jnp.sqrt(jnp.mean((found - best) ** 2) / jnp.mean(best**2))
    # From the same starts with the same noise, so that the difference is that of the controls.
    own = solution.trajectories(path.points[0], key=key)
    paid = []
    for one in (own, path):
        ends = jax.vmap(lambda x: solution.game.terminal.variation(None, x))(one.points[-1])
        paid.append(jnp.mean(one.paid[-1] + ends))
    return {"control off, %": 100 * float(off), "cost off, %": 100 * float(paid[0] / paid[1] - 1)}


def dissipated(solution: mg.Solution, key: jax.Array) -> dict[str, float]:
    """F of a discounted game at both ends, and what the speeds say that it has lost.

    Along a gradient flow dF/dt = -E |v|^2; the game's own flow is one up to the order of e.
    """
    game = solution.game
    functional, start = (1 / game.discount) * game.interaction, game.initial
    x = start.sample(_PATHS // 2, key=key)
    path = solution.trajectories(x, divergence=mg.simulate.ExactDivergence(), key=key)
    logs = jax.vmap(start.log_density)(x)[None] - path.log_det
    value = lambda k: float(functional.value(Followed(path.points[k], logs[k])))
    speeds = jnp.stack(
        [
            jnp.mean(jnp.square(jax.vmap(solution.control, (None, 0))(t, points)).sum(axis=1))
            for t, points in zip(path.times, path.points, strict=True)
        ]
    )
    lost = float(jnp.trapezoid(speeds, path.times))
    return {"F at the start": value(0), "F at the end": value(-1), "lost by the speeds": lost}


def beside_grid(wide: float, points: int) -> Measure:
    """Samples beside the density that a grid finds for the end, d = 1.

    The grid has to be as wide as particles go: at a quartic cost they are let go far out, and walls
    that hold them back change the best control.
    """

    def measure(solution: mg.Solution, key: jax.Array) -> dict[str, float]:
        grid = mg.solve(solution.game, mg.Grid((-wide, wide), points=points))
        other = jax.random.fold_in(key, 1)
        x, best = solution.sample(_PATHS, key=key), grid.sample(_PATHS, key=other)
        return {"ED to the grid's": float(energy_distance(x, best).value)}

    return measure


def populations(solution: mg.Solution, key: jax.Array) -> dict[str, float]:
    """Samples of each label beside fresh points of its half."""
    fresh = mg.densities.eight_gaussians().sample(4 * _PATHS, key=key)
    found: dict[str, float] = {}
    for label in (0, 1):
        x = solution.sample_given(4.0 * mg.densities.one_hot(label, 2), _PATHS, key=key)
        half = fresh[(fresh[:, 0] > 0) == bool(label)][:_PATHS]
        found[f"ED of label {label}"] = float(energy_distance(x, half).value)
    return found


def labels(solution: mg.Solution, key: jax.Array) -> dict[str, float]:
    """Samples of each label beside fresh points of it, of all, and how guidance narrows them.

    Narrowness is told by half the samples, as scores of networks drive a few out of the data.
    """
    fresh = mg.densities.eight_gaussians().sample(16 * _PATHS, key=key)
    within = lambda x: jnp.mean(jnp.median(jnp.abs(x - jnp.median(x, axis=0)), axis=0))
    apart, narrower, gone = [], {1.0: [], 2.0: []}, []
    for label in range(8):
        one = mg.densities.one_hot(label, 8)
        x = solution.sample_given(one, 2000, key=key)
        mine = fresh[invented.octants(fresh) == label]
        apart.append(float(energy_distance(x, mine).value))
        for w, found in narrower.items():
            guided = solution.sample_given(one, 2000, key=key, guidance=w)
            found.append(float(within(guided) / within(x)))
        away = jnp.linalg.norm(guided - jnp.mean(mine, axis=0), axis=1)
        gone.append(float(jnp.mean(away > 2.0)))
    free = solution.sample_given(jnp.zeros(8), _PATHS, key=key)
    return {
        "largest ED of a label": max(apart),
        "ED without a label": float(energy_distance(free, fresh[:_PATHS]).value),
        **{f"width at guidance {w:g}": float(np.mean(found)) for w, found in narrower.items()},
        "far off at guidance 2": float(np.mean(gone)),
    }


def torus(solution: mg.Solution, key: jax.Array) -> dict[str, float]:
    """The energy distance by the shortest way round, and the samples outside the domain."""
    x, fresh = solution.sample(2500, key=key), invented.angles(2500, key)
    round_ = 2 * jnp.pi
    outside = jnp.mean(jnp.any((x < 0) | (x > round_), axis=1))

    def apart(a, b):
        gap = jnp.abs(a[:, None] - b[None])
        return jnp.sqrt(jnp.sum(jnp.minimum(gap, round_ - gap) ** 2, axis=-1))

    other = lambda a: jnp.sum(apart(a, a)) / (len(a) * (len(a) - 1))
    distance = 2 * jnp.mean(apart(x, fresh)) - other(x) - other(fresh)
    return {"ED round the torus": float(distance), "outside": float(outside)}


def table(name: str) -> Measure:
    """Samples beside test rows, and those of the score model that `train` makes of them."""

    def measure(solution: mg.Solution, key: jax.Array) -> dict[str, float]:
        train, test = invented.real(name)
        game = mg.score_based(mg.VP(), mg.Empirical(train))
        score = mg.train(game, key=key)
        draw = lambda of: energy_distance(of.sample(_PATHS, key=key), test).value
        return {"ED": float(draw(solution)), "ED of the score model": float(draw(score.solution))}

    return measure


def exploitability(solution: mg.Solution, key: jax.Array) -> dict[str, float]:
    """What a particle could gain, as a part of the cost."""
    check = mg.certify(solution, key=key).checks["exploitability, estimated"]
    return {"exploitability": float(check.fraction.value)}


MEASURES: dict[str, Measure] = {
    "repulsion": interaction,
    "cosh": likelihood,
    "cosh-pairwise": likelihood,
    "cosh-entropy": likelihood,
    "mixture": likelihood,
    "wells-point": wells,
    "wells-cloud": wells,
    "bridge": end,
    "bridge-five": end,
    "discounted-porous": dissipated,
    "discounted-chi": dissipated,
    "chase": against_grid,
    "chase-plane": against_grid,
    "chase-ten": exploitability,
    "score-hill": beside_grid(6.0, 400),
    "score-quartic": beside_grid(40.0, 2000),
    "populations": populations,
    "labels": labels,
    "torus": torus,
    "quadratic": against_riccati,
    "quadratic-ten": against_riccati,
    "quadratic-fifty": against_riccati,
    "wine": table("wine"),
    "digits": table("digits"),
}
