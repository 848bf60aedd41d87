"""The box on which a game is solved: its domain, or what holds its particles; what it cuts off."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mfgen.densities import _grid as grid_density
from mfgen.densities._base import AbstractDensity
from mfgen.functionals._constraint import Prescribed
from mfgen.games._game import MFG
from mfgen.math._lattice import Boundary, Interval, Lattice
from mfgen.simulate._ends import initial_density

_CUT = 1e-3  # part of the mass that a box may cut off
_SEEN = 1e-5  # part that is told of
_SAME = 1e-6  # relative, of ends that should be equal


def lattice_of(
    owner: str,
    game: MFG,
    box: Interval | Sequence[Interval] | None,
    points: int | Sequence[int],
) -> Lattice:
    """The cells on which a game is solved: its domain, and the box where that has no ends.

    Raises:
        ValueError: in the name of `owner`, for a box that is missing or is not the domain.
    """
    domain = game.domain
    if box is None and domain.sides is None:
        raise ValueError(
            f"`{owner}` got no box for a game on {domain}, expected one that holds the particles: "
            f"pass {owner}(box=(-4.0, 4.0)), one interval for each axis."
        )
    lattice = Lattice(box if box is not None else domain.sides or (), points)
    for (low, high), axis in zip(lattice.box, range(domain.dim), strict=False):
        own, slack = (domain.low[axis], domain.high[axis]), _SAME * (high - low)
        if any(
            np.isfinite(o) and abs(o - g) > slack for o, g in zip(own, (low, high), strict=True)
        ):
            raise ValueError(
                f"`{owner}` got the box {lattice.box} for a game on {domain}, expected the "
                "domain's own ends: leave `box` out, or give those."
            )
    rest = (False,) * (lattice.dim - domain.dim)
    kinds: list[Boundary] = [
        "periodic" if turns else "no-flux" for turns in (*domain.periodic, *rest)
    ]
    return Lattice(lattice.box, points, kinds)


def initial_masses(owner: str, game: MFG, lattice: Lattice) -> tuple[jax.Array, dict[str, float]]:
    """The mass of the initial density in each cell, and what the box cuts off of both ends.

    Raises, in the name of `owner`:
        ValueError: no initial density, another dimension than the box's, or an end that it cuts
            off: the initial density, or the one that is prescribed at the end.
    """
    initial = initial_density(owner, game)
    if initial.dim != lattice.dim:
        raise ValueError(
            f"`{owner}` got a box with {lattice.dim} axes for a game in dimension "
            f"{initial.dim}: give one interval for each axis, and above two dimensions "
            "solve by a network, `Neural()`."
        )
    mass, cut = grid_density.cell_masses(lattice, initial)
    _check_cut(owner, "initial", initial, lattice, cut)
    cuts = {"initial_cut": max(cut, 0.0)}
    goal = game.terminal.goal
    if goal is not None and goal.dim == lattice.dim and _is_normalised(goal):
        _, cut = grid_density.cell_masses(lattice, goal)
        if isinstance(game.terminal, Prescribed):
            _check_cut(owner, "prescribed", goal, lattice, cut)
        cuts["target_cut"] = max(cut, 0.0)
    return jnp.asarray(mass), cuts


def _is_normalised(density: AbstractDensity) -> bool:
    """Whether its mass is one; a law known by its energy alone refuses to tell its moments."""
    try:
        density.moments()
    except TypeError:
        return False
    return True


def _check_cut(
    owner: str, name: str, density: AbstractDensity, lattice: Lattice, cut: float
) -> None:
    if abs(cut) <= _CUT:
        return
    mean, covariance = density.moments()
    reach = 5 * np.sqrt(np.diag(np.asarray(covariance)))
    fix = [f"({m - r:.3g}, {m + r:.3g})" for m, r in zip(np.asarray(mean), reach, strict=True)]
    raise ValueError(
        f"`{owner}` got a box {lattice.box} in which the {name} density has mass "
        f"{1 - cut:.4f}, expected 1: take a box such as {' x '.join(fix)}, or more points if "
        "the density is narrower than a cell."
    )


def cut_remarks(stats: dict[str, float]) -> list[str]:
    """Remarks on mass that the box cuts off."""
    names = {"initial_cut": "initial density", "target_cut": "target of the terminal cost"}
    return [
        f"The box cuts off {stats[key]:.1e} of the mass of the {name}: take a wider one if that "
        "is too much."
        for key, name in names.items()
        if stats.get(key, 0.0) > _SEEN
    ]
