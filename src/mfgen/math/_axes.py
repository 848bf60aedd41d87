"""Euclidean space, tori and boxes: the domains that games are declared on (`mfgen.math._space`)."""

import math
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import numpy as np

from mfgen.math._space import AbstractDomain

Bounds = float | int | None | Sequence[float | int | None]


class Euclidean(AbstractDomain):
    """R^d of any dimension, the default."""

    low: tuple[float, ...] = eqx.field(static=True, default=())
    high: tuple[float, ...] = eqx.field(static=True, default=())
    periodic: tuple[bool, ...] = eqx.field(static=True, default=())


class Torus(AbstractDomain):
    """A circle on each axis: angles, phases, positions in a periodic box.

    Arguments:
        periods: the length p > 0 of each circle, `None` for an axis that is a line; or one number
            for a single axis.
        low: where each circle is cut open: its points are given in [low, low + p].

    Raises:
        ValueError: for periods that are not positive, or other numbers of `low`.

    Example:

        MFG(Integrator(sigma=0.5), Kinetic(), cost, initial=angles, domain=Torus(2 * jnp.pi))
    """

    low: tuple[float, ...] = eqx.field(static=True)
    high: tuple[float, ...] = eqx.field(static=True)
    periodic: tuple[bool, ...] = eqx.field(static=True)

    def __init__(self, periods: Bounds, low: float | Sequence[float] = 0.0):
        lengths = _listed("Torus", "periods", periods)
        for p in lengths:
            if p is not None and not (math.isfinite(p) and p > 0):
                raise ValueError(
                    f"`Torus` got a period {p}, expected a finite positive number: pass the length "
                    "of the circle, 2 pi for angles, or None for an axis that is a line."
                )
        lows = _listed("Torus", "low", low, len(lengths))
        self.periodic = tuple(p is not None for p in lengths)
        pairs = [(a or 0.0, p) for a, p in zip(lows, lengths, strict=True)]
        self.low = tuple(-math.inf if p is None else a for a, p in pairs)
        self.high = tuple(math.inf if p is None else a + p for a, p in pairs)

    def arguments(self) -> dict[str, Any]:
        """The arguments of its constructor."""
        ends = list(zip(self.low, self.high, strict=True))
        periods = tuple(None if math.isinf(b) else b - a for a, b in ends)
        return {"periods": periods, "low": tuple(0.0 if math.isinf(a) else a for a, _ in ends)}


class Box(AbstractDomain):
    """An interval with reflecting walls on each axis: no particle leaves, and no mass.

    Arguments:
        low, high: the walls of each axis, `None` or infinite where there is none; or one number
            for a single axis.

    Raises:
        ValueError: unless low < high on every axis.

    Example:

        MFG(Integrator(sigma=0.5), Kinetic(), cost, initial=start, domain=Box(0.0, 1.0))
    """

    low: tuple[float, ...] = eqx.field(static=True)
    high: tuple[float, ...] = eqx.field(static=True)
    periodic: tuple[bool, ...] = eqx.field(static=True)

    def __init__(self, low: Bounds, high: Bounds):
        count = max(len(_listed("Box", "low", low)), len(_listed("Box", "high", high)))
        lows, highs = _listed("Box", "low", low, count), _listed("Box", "high", high, count)
        self.low = tuple(-math.inf if a is None else a for a in lows)
        self.high = tuple(math.inf if b is None else b for b in highs)
        self.periodic = (False,) * count
        for a, b in zip(self.low, self.high, strict=True):
            if not a < b or a == math.inf or b == -math.inf:
                raise ValueError(
                    f"`Box` got the walls {a} and {b}, expected low < high: pass one pair for each "
                    "axis, such as Box((0.0, 0.0), (1.0, 2.0))."
                )


def _listed(owner: str, name: str, given: Any, count: int | None = None) -> list[float | None]:
    """One number for each axis."""
    several = isinstance(given, list | tuple) or np.ndim(given) > 0
    try:
        values: list[Any] = list(given) if several else [given] * (count or 1)
        numbers = [None if value is None else float(value) for value in values]
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"`{owner}` got {name} = {given!r}, expected a number for each axis: pass "
            f"{name}=(1.0, 2.0)."
        ) from error
    if (
        not numbers
        or len(numbers) != (count or len(numbers))
        or np.isnan([number or 0.0 for number in numbers]).any()
    ):
        raise ValueError(
            f"`{owner}` got {name} = {given!r}, expected {count or 'at least one'} numbers, one "
            "for each axis: pass as many as there are axes."
        )
    return numbers
