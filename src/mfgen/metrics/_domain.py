"""Points at which a candidate is examined: its particles, or those of a given box.

In one and two dimensions a box is covered by the nodes of a composite Gauss-Legendre rule, which
also integrates densities; in more, by random points.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mfgen import _check
from mfgen._types import Batch, Key, Time
from mfgen.densities._base import AbstractDensity, AbstractEvaluable
from mfgen.math._quadrature import Rule, box_rule
from mfgen.metrics._likelihood import evaluate
from mfgen.metrics._strong import Places
from mfgen.simulate._solution import Solution

Box = Sequence[tuple[float, float]]

_CELLS = {1: 128, 2: 24}


def check_solutions(owner: str, key: Key | None, **solutions: Solution) -> None:
    """Refuses, in the name of `owner`, what is no solution, and a key that is none."""
    fix = "pass what `solve(game, solver)` returns, or Solution(game, model, density, result)"
    for name, solution in solutions.items():
        _check.of_kind(owner, name, solution, Solution, fix)
    if key is not None:
        _check.a_key(owner, key)


def places(density: Callable | None, domain: Rule | None, points: int) -> Places:
    def drawn(t: Time, key: Key) -> Batch:
        if density is not None:
            return drawn_from(density(t), points, key=key)
        if domain is None:
            raise TypeError("the solution has no density, and no `box` was given")
        corners = jnp.asarray(domain.nodes, jnp.result_type(float))
        low, high = corners.min(0), corners.max(0)
        return jax.random.uniform(key, (points, low.size), low.dtype, low, high)

    return drawn


def drawn_from(law: AbstractDensity, n: int, *, key: Key) -> Batch:
    """Independent points of a law; of a cloud without log-density, at most n of its particles.

    Drawn with replacement they would repeat and hide the error of the cloud itself. They are taken
    in an order that is the same at all times, so that they stay with their paths.
    """
    if isinstance(law, AbstractEvaluable):
        return law.sample(n, key=key)
    particles, weights = law.particles()
    if float(jnp.ptp(weights)) > 1e-6 / len(weights):
        return law.sample(n, key=key)
    order = np.random.default_rng(0).permutation(len(particles))
    return particles[order[:n]]


def mass(law: AbstractDensity, domain: Rule | None) -> float:
    if domain is None or not isinstance(law, AbstractEvaluable) or law.dim > 2:
        return float(jnp.sum(law.particles()[1]))
    nodes = jnp.asarray(domain.nodes, jnp.result_type(float))
    values = np.exp(np.asarray(evaluate(law.log_density, nodes)))
    return float(domain.weights @ values)


def cover(solution: Solution, box: Box) -> Rule:
    """Nodes that cover the box, with the weights of a quadrature rule in one or two dimensions."""
    sides = np.asarray(box, float)
    given = solution.game.initial if solution.density is None else solution.density(0.0)
    dim = None if given is None else given.dim
    flat = sides.ndim != 2 or sides.shape[1] != 2 or (sides[:, 0] >= sides[:, 1]).any()
    if flat or not np.isfinite(sides).all() or dim not in (None, len(sides)):
        raise ValueError(
            f"`certify` got box = {box}, expected an interval low < high for each of "
            f"{dim or 'the'} axes: pass for instance ((-4.0, 4.0),)."
        )
    if len(sides) <= 2:
        return box_rule([tuple(side) for side in sides.tolist()], _CELLS[len(sides)])
    spots = np.random.default_rng(0).uniform(sides[:, 0], sides[:, 1], (4096, len(sides)))
    return Rule(spots, np.full(4096, np.prod(sides[:, 1] - sides[:, 0]) / 4096))
