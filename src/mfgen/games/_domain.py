"""A game on a domain: its laws and distances are the domain's, and its costs have no seam.

Every law that a game names is folded onto its domain, every distance is taken by the shortest way
(`AbstractFunctional.on`). What a domain has no meaning for is refused by name, and so is a drift or
a cost that differs at the two ends of a circle: particles go through that point.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from mfgen.densities._base import AbstractDensity, AbstractEvaluable
from mfgen.densities._folded import check_between_walls, folded
from mfgen.functionals._functional import AbstractFunctional, Linear, Scaled, Sum
from mfgen.math._linear_map import matrix, source_size, square
from mfgen.math._space import AbstractDomain

_JUMP = 1e-3  # relative, of a cost from one end of a circle to the other
_LOOK = 8


def on_domain(domain: AbstractDomain, initial: Any, dynamics: Any, costs: dict[str, Any]) -> dict:
    """The initial density and the costs of a game, on its domain.

    Raises:
        TypeError, ValueError: in the name of `MFG`, for what does not fit the domain.
    """
    _check_dimension(domain, initial, dynamics)
    made = {name: cost.on(domain) for name, cost in costs.items()}
    named = {f"{name} with the target": cost.goal for name, cost in costs.items()}
    for name, law in {"the initial density": initial, **named}.items():
        if isinstance(law, AbstractDensity) and law.dim >= domain.dim:
            check_between_walls("MFG", name, law, domain)
    return made | {"initial": initial if initial is None else folded(initial, domain)}


def _check_dimension(domain: AbstractDomain, initial: AbstractDensity | None, dynamics) -> None:
    if dynamics.of_points.euclidean:
        raise TypeError(
            f"`MFG` got dynamics `{type(dynamics).__name__}`, a noising of Euclidean space, on "
            f"{domain}, expected none: noise by `Integrator(sigma)` on the domain and train the "
            "game by its own cost, `GameCost()`, with `MMD` or `SinkhornDivergence` to the data."
        )
    if any(domain.walled) and dynamics.blocks > 1:
        raise ValueError(
            f"`MFG` got walls, {domain}, for dynamics `{type(dynamics).__name__}` of the second "
            "order, expected circles or lines: a particle with a velocity bounces, and its "
            "velocity jumps; hold it by a potential, `WithPotential`, or take a `Torus`."
        )
    if initial is None:
        return
    labels = getattr(initial, "labels", None)
    dim = initial.dim - (0 if labels is None else labels.shape[1])
    allowed = {dim, dim // dynamics.blocks}
    if domain.dim not in allowed:
        raise ValueError(
            f"`MFG` got a domain with {domain.dim} axes, {domain}, for points of {dim} "
            f"coordinates, expected {' or '.join(map(str, sorted(allowed)))}: pass one period or "
            "pair of walls for each axis, None where it is a line."
        )


def check_seams(game: Any, dim: int) -> None:
    """Refuses a drift or a cost with a jump where circles close, and noise across walls.

    Raises:
        ValueError: names the part and the jump.
    """
    domain, dynamics = game.domain, game.dynamics
    _check_walls(domain, dynamics, dim)
    points = _points(game, dim)
    if points is None or not any(domain.periodic):
        return
    t = jnp.asarray(0.37 * dynamics.horizon)
    v = 0.3 * jnp.ones(source_size(dynamics.gain(t), dim))
    parts: dict[str, Callable] = {
        f"dynamics `{type(dynamics).__name__}` whose drift": lambda x: dynamics.free(t, x),
        f"a lagrangian `{type(game.lagrangian).__name__}` that": lambda x: game.lagrangian(t, x, v),
    }
    for place, cost in (("terminal", game.terminal), ("interaction", game.interaction)):
        for function, name in own_functions(cost):
            parts[f"a {place} cost `{name}` that"] = function
        if isinstance(cost.goal, AbstractEvaluable):
            name = f"a {place} cost whose target `{type(cost.goal).__name__}`"
            parts[name] = cost.goal.log_density
    for axis in np.flatnonzero(domain.periodic):
        for name, function in parts.items():
            _check_seam(domain, int(axis), name, function, points)


def _check_seam(domain, axis: int, name: str, function: Callable, points) -> None:
    low, high = domain.low[axis], domain.high[axis]
    try:
        first, last = (jax.vmap(function)(points.at[:, axis].set(end)) for end in (low, high))
    except Exception:  # what asks for a population, or for points with a label, is not looked at
        return
    if isinstance(first, Tracer):
        return
    jump, size = np.abs(np.asarray(last - first)), np.abs(np.asarray(first))
    if not jump.max() <= _JUMP * (1 + size.max()):
        raise ValueError(
            f"`MFG` got {name} jumps by {jump.max():.3g} where the circle of axis {axis} closes, "
            f"from {high:.4g} to {low:.4g}, expected one value there: write it in sin and cos of "
            "the angle, or declare the axis a line, or one with walls."
        )


def _points(game: Any, dim: int):
    """Some points of the domain, numbers and not traced."""
    low, high = (
        np.pad(ends, (0, dim - game.domain.dim))
        for ends in (
            np.nan_to_num(game.domain.low, neginf=-1.0),
            np.nan_to_num(game.domain.high, posinf=1.0),
        )
    )
    points = jnp.asarray(np.random.default_rng(0).uniform(low, np.maximum(high, low), (_LOOK, dim)))
    points = points.astype(float)
    return None if isinstance(points, Tracer) else points


def _check_walls(domain: AbstractDomain, dynamics, dim: int) -> None:
    """Walls reflect along their normal, which noise that mixes coordinates does not."""
    if not any(domain.walled) or dynamics.deterministic:
        return
    for part in (0.03, 0.5, 0.97):
        spread = matrix(square(dynamics.diffusion(jnp.asarray(part * dynamics.horizon))), dim)
        if isinstance(spread, Tracer):
            return
        across = np.abs(np.asarray(spread - jnp.diag(jnp.diag(spread))))
        mixed = np.flatnonzero(across[: domain.dim].max(axis=1) > 1e-6 * np.abs(spread).max())
        for axis in mixed:
            if domain.walled[axis]:
                raise ValueError(
                    f"`MFG` got walls on axis {axis} with noise that moves it together with "
                    "others, expected noise of its own: the flux through a wall would not vanish "
                    "where particles are reflected; turn the coordinates to the axes of the noise."
                )


def own_functions(cost: AbstractFunctional) -> Iterator[tuple[Callable, str]]:
    """The functions of a point in a cost that are the user's own."""
    if isinstance(cost, Sum):
        for term in cost.terms:
            yield from own_functions(term)
    elif isinstance(cost, Scaled):
        yield from own_functions(cost.functional)
    elif isinstance(cost, Linear):
        yield cost.function, f"Linear({getattr(cost.function, '__name__', 'function')})"
    elif not type(cost).__module__.startswith("mfgen."):
        yield lambda x: cost.variation(None, x), type(cost).__name__
