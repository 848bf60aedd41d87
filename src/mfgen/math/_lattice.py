"""A uniform lattice of cells in a box, in one or two dimensions.

Axis k of the box [low_k, high_k] is cut into points_k cells of width h_k; unknowns live at their
centres low_k + (i + 1/2) h_k. At the end of an axis particles are either turned back (`no-flux`:
what would leave stays) or come in at the other end (`periodic`). A large box is a box with no flux
at its walls that no mass reaches.
"""

import math
from collections.abc import Sequence
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from mfgen.math._axes import Box, Torus
from mfgen.math._count import count

Boundary = Literal["no-flux", "periodic"]
Interval = tuple[float | int, float | int]

_LARGEST = 2  # dimensions: three already need 10^6 cells a time


class Lattice(eqx.Module):
    """Cells of equal size in a box.

    Arguments:
        box: the interval (low, high) of an only axis, or one interval for each axis.
        points: cells along the only axis, or along each.
        boundary: what happens at the ends of all axes, or of each.

    Raises:
        ValueError: for an empty box, too few cells, or more than two axes.
    """

    box: tuple[Interval, ...] = eqx.field(static=True)
    points: tuple[int, ...] = eqx.field(static=True)
    boundary: tuple[Boundary, ...] = eqx.field(static=True)

    def __init__(
        self,
        box: Interval | Sequence[Interval],
        points: int | Sequence[int],
        boundary: Boundary | Sequence[Boundary] = "no-flux",
    ):
        self.box = tuple((float(low), float(high)) for low, high in _sides(box))
        counts = np.ravel(points).tolist() * (len(self.box) if np.ndim(points) == 0 else 1)
        self.points = tuple(count("Lattice", "points", n) for n in counts)
        one = isinstance(boundary, str)
        self.boundary = (boundary,) * len(self.box) if one else tuple(boundary)
        if len(self.points) != len(self.box):
            raise ValueError(
                f"`Lattice` got {len(self.points)} numbers of points for {len(self.box)} axes, "
                "expected one for each: pass points=(nx, ny) or a single number."
            )
        if min(self.points) < 8:
            raise ValueError(
                f"`Lattice` got points = {min(self.points)}, expected at least 8 on an axis."
            )
        known = set(self.boundary) <= {"no-flux", "periodic"}
        if not known or len(self.boundary) != len(self.box):
            raise ValueError(
                f"`Lattice` got boundary = {boundary!r}, expected 'no-flux' or 'periodic', or one "
                "of them for each axis."
            )

    @property
    def dim(self) -> int:
        return len(self.box)

    @property
    def periodic(self) -> tuple[bool, ...]:
        """Which axes are circles."""
        return tuple(kind == "periodic" for kind in self.boundary)

    @property
    def lengths(self) -> tuple[float | None, ...]:
        """The length of each axis that is a circle."""
        sides = zip(self.box, self.periodic, strict=True)
        return tuple(b - a if turns else None for (a, b), turns in sides)

    @property
    def circles(self) -> Torus:
        """The domain of the circles, with other axes as lines."""
        return Torus(self.lengths, [low for low, _ in self.box])

    @property
    def spacing(self) -> tuple[float, ...]:
        """Widths h of the cells, one for each axis."""
        return tuple((b - a) / n for (a, b), n in zip(self.box, self.points, strict=True))

    @property
    def volume(self) -> float:
        """Of a cell."""
        return math.prod(self.spacing)

    def axes(self) -> list[np.ndarray]:
        """Centres of the cells along each axis."""
        return [
            low + (np.arange(n) + 0.5) * h
            for (low, _), n, h in zip(self.box, self.points, self.spacing, strict=True)
        ]

    def nodes(self) -> np.ndarray:
        """Centres of the cells, `[*points, dim]`."""
        return np.stack(np.meshgrid(*self.axes(), indexing="ij"), axis=-1)

    def contains(self, x: Float[Array, "dim"]) -> Bool[Array, ""]:
        """Whether x lies in the box, up to rounding; on a circle every x does."""
        low, high = self._corners(x)
        slack = 8 * jnp.finfo(low.dtype).eps * jnp.maximum(jnp.abs(low), jnp.abs(high))
        inside = (x >= low - slack) & (x <= high + slack)
        return jnp.all(inside | np.asarray(self.periodic))

    def nearest(self, x: Float[Array, "dim"]) -> Float[Array, "dim"]:
        """The point of the box that is nearest to x; on a circle x itself."""
        low, high = self._corners(x)
        nearest = jnp.where(x < low, low, jnp.where(x > high, high, x))
        return jnp.where(np.asarray(self.periodic), x, nearest)

    def folded(self, x: Float[Array, "dim"]) -> Float[Array, "dim"]:
        """Where a particle is that walls turned back, or that came in at the other end."""
        walls = Box(*np.asarray(self.box).T.tolist())
        return jnp.where(np.asarray(self.periodic), self.circles.fold(x), walls.fold(x))

    def _corners(self, x: Float[Array, "dim"]) -> tuple[Float[Array, "dim"], Float[Array, "dim"]]:
        sides = jnp.asarray(self.box, jnp.result_type(float, x))
        return sides[:, 0], sides[:, 1]

    def index(self, x: Float[Array, "dim"]) -> tuple[Int[Array, "dim"], Float[Array, "dim"]]:
        """The cell centre below x on each axis, and how far x is on the way to the next, 0 to 1.

        Where there is no flux, points beyond the outermost centres belong to these.
        """
        low = jnp.asarray([side[0] for side in self.box], x.dtype)
        counts = jnp.asarray(self.points)
        place = (x - low) / jnp.asarray(self.spacing, x.dtype) - 0.5
        turns = np.asarray(self.periodic)
        place = jnp.where(turns, place % counts, jnp.clip(place, 0, counts - 1))
        below = jnp.clip(jnp.floor(place).astype(int), 0, counts - 2 + turns)
        return below, place - below


def _sides(box: Interval | Sequence[Interval]) -> np.ndarray:
    try:
        sides = np.asarray(box, float)
    except (TypeError, ValueError):
        raise ValueError(
            f"`Lattice` got box = {box!r}, expected an interval (low, high) for each axis: pass "
            "box=(-4, 4), or box=((-4, 4), (-4, 4))."
        ) from None
    sides = sides[None] if sides.ndim == 1 else sides
    if sides.ndim != 2 or sides.shape[1] != 2:
        raise ValueError(
            f"`Lattice` got a box of shape {sides.shape}, expected (low, high) for each axis: "
            "pass box=(-4.0, 4.0), or box=((-4.0, 4.0), (-3.0, 3.0))."
        )
    if len(sides) > _LARGEST:
        raise ValueError(
            f"`Lattice` got {len(sides)} axes, expected at most {_LARGEST}: in higher dimension "
            "solve by a network, `Neural()`, or a linear-quadratic game by `Riccati()`."
        )
    if not (np.isfinite(sides).all() and (sides[:, 0] < sides[:, 1]).all()):
        raise ValueError(
            f"`Lattice` got the box {sides.tolist()}, expected finite low < high on each axis."
        )
    return sides
