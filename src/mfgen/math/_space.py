"""Domains: Euclidean space, circles, intervals between reflecting walls, and their products.

Each axis is a line, a circle of period p or an interval with walls, and a domain is their product.
On R^d a particle is followed as if there were no domain, by the extended field

    dY = s(Y) b(t, X) dt + sigma dW,      X = fold(Y),      s = fold'(Y),

fold being the remainder on a circle (s = 1) and the zigzag between walls (s = 1 or -1). X is then
the particle on the domain: what the circle takes back, and the Skorokhod reflection at a wall, in
law exactly (b = 0: the folded normal law is the heat kernel with no flux) and to the order of the
scheme elsewhere. A function on the domain is one of R^d with U(fold(y)) = U(y): periodic, and even
about a wall, so that there grad U.n = 0. `features` are such functions, smooth, and tell points of
the domain apart:

    circle   r (cos, sin)(x / r),  r = p / 2 pi            as long as the circle, a chord apart
    walls    (l / pi) cos(pi (x - low) / l)                l = high - low
    one wall sqrt(1 + (x - low)^2)

References: A. V. Skorokhod, "Stochastic equations for diffusion processes in a bounded region",
Theory Probab. Appl. 6 (1961); M. Bossy, E. Gobet, D. Talay, "A symmetrized Euler scheme for an
efficient approximation of reflected diffusions", J. Appl. Probab. 41 (2004).
"""

import math
from collections.abc import Callable, Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float

Points = Float[Array, "... dim"]
_ROUNDING = 8  # units in the last place by which a point may be beyond a wall


class AbstractDomain(eqx.Module):
    """A product of lines, circles and intervals with reflecting walls; it acts on the first axes.

    Attributes:
        low, high: the ends of each axis, infinite where there is none.
        periodic: which axes are circles.
    """

    low: eqx.AbstractVar[tuple[float, ...]]
    high: eqx.AbstractVar[tuple[float, ...]]
    periodic: eqx.AbstractVar[tuple[bool, ...]]

    def __mul__(self, other: "AbstractDomain") -> "AbstractDomain":
        """The product of two domains: the axes of the first, and then those of the second."""
        if not isinstance(other, AbstractDomain):
            raise TypeError(
                f"`{type(self).__name__}` got a factor of type `{type(other).__name__}`, expected "
                "a domain: write Torus(6.28) * Box(0.0, 1.0)."
            )
        return DomainProduct((self, other))

    @property
    def dim(self) -> int:
        return len(self.low)

    @property
    def walled(self) -> tuple[bool, ...]:
        """Which axes have a wall, at one end or both."""
        sides = zip(self.low, self.high, self.periodic, strict=True)
        return tuple(not turns and not (a == -math.inf and b == math.inf) for a, b, turns in sides)

    @property
    def bounded(self) -> bool:
        """Whether it is another than Euclidean space."""
        return any(self.periodic) or any(self.walled)

    @property
    def sides(self) -> tuple[tuple[float, float], ...] | None:
        """The interval of each axis, if all are finite."""
        ends = tuple(zip(self.low, self.high, strict=True))
        return ends if ends and np.isfinite(ends).all() else None

    def fold(self, x: Points) -> Points:
        """The point of the domain where a particle is that has come to x, `[..., dim]`."""
        return self.folded(x)[0]

    def folded(self, x: Points) -> tuple[Points, Points]:
        """`fold`, and its derivative along each axis: -1 where a wall has turned the particle."""
        if not self.bounded:
            return x, jnp.ones_like(x)
        if not any(self.walled):
            wrapped = self._on_circles(x, lambda off, period: off % period, centred=True)
            return wrapped, jnp.ones_like(x)
        given, rest = x[..., : self.dim], x[..., self.dim :]
        all_of = lambda values: jnp.broadcast_to(np.asarray(values), given.shape)
        at = lambda values: all_of(values).astype(x.dtype)
        low, high = (np.asarray(ends) for ends in (self.low, self.high))
        turns, walls = np.asarray(self.periodic), np.asarray(self.walled)
        both, from_below = walls & np.isfinite(low) & np.isfinite(high), np.isfinite(low)
        base = np.where(from_below, low, np.where(np.isfinite(high), high, 0.0))
        side = np.where(turns | both, high - base, 1.0)
        off = given - at(base)
        way = off % at(np.where(turns, side, 2 * side))
        # Between walls the way back; at a single one the mirror image of what is behind it.
        back = all_of(both) & (way > at(side))
        behind = all_of(walls & ~both) & (off * at(np.where(from_below, 1.0, -1.0)) < 0)
        way = jnp.where(all_of(turns | both), way, off)
        way = jnp.where(back, 2 * at(side) - way, jnp.where(behind, -off, way))
        place = jnp.where(all_of(turns | walls), at(base) + way, given)
        place = jnp.clip(place, at(low), at(high))
        sign = jnp.where(back | behind, -1.0, 1.0).astype(x.dtype)
        return jnp.concatenate([place, rest], -1), jnp.concatenate([sign, jnp.ones_like(rest)], -1)

    def shortest(self, z: Points) -> Points:
        """A difference of two points by the shortest way: on a circle at most half a turn."""
        near = lambda given, period: (given + 0.5 * period) % period - 0.5 * period
        return self._on_circles(z, near)

    def chord(self, z: Points) -> Points:
        """A difference with each arc of a circle replaced by its chord: smooth, and periodic."""
        return self._on_circles(
            z, lambda given, period: period / math.pi * jnp.sin(math.pi * given / period)
        )

    def _on_circles(self, z: Points, function: Callable, centred: bool = False) -> Points:
        """Changes the coordinates on circles by a function of them, from `low`, and of periods."""
        given, rest = z[..., : self.dim], z[..., self.dim :]
        turns = np.asarray(self.periodic)
        full = lambda values: jnp.broadcast_to(np.asarray(values), given.shape).astype(z.dtype)
        period = full(np.where(turns, np.subtract(self.high, self.low), 1.0))
        low = full(np.where(turns, self.low, 0.0)) if centred else jnp.zeros_like(given)
        changed = low + function(given - low, period)
        if centred:
            changed = jnp.minimum(changed, full(self.high))
        if not turns.all():
            changed = jnp.where(jnp.broadcast_to(turns, given.shape), changed, given)
        return jnp.concatenate([changed, rest], -1) if rest.shape[-1] else changed

    def deviations(self, x: Float[Array, "n dim"]) -> Float[Array, "dim"]:
        """The standard deviation of points along each axis, on a circle r sqrt(1 - R^2).

        R is the mean resultant length: of few degrees both mean the same.
        """
        found = jnp.std(x, axis=0)
        for k in np.flatnonzero(self.periodic):
            radius = (self.high[k] - self.low[k]) / (2 * math.pi)
            angles = x[:, k] / radius
            spread = jnp.hypot(jnp.std(jnp.cos(angles)), jnp.std(jnp.sin(angles)))
            found = found.at[k].set(radius * spread)
        return found

    def features(self, x: Float[Array, "dim"]) -> Float[Array, "features"]:
        """Smooth functions of the domain at a point, and the axes beyond it as they are."""
        return self._mapped(x, even=True)

    def embed(self, x: Float[Array, "dim"]) -> Float[Array, "embedded"]:
        """The point with circles laid out in the plane, whose distances are chords."""
        return self._mapped(x, even=False)

    def _mapped(self, x: Float[Array, "dim"], even: bool) -> Float[Array, "features"]:
        found = []
        for k, (low, high, turns) in enumerate(
            zip(self.low, self.high, self.periodic, strict=True)
        ):
            at, end = x[k], low if math.isfinite(low) else high
            if turns:
                radius = (high - low) / (2 * math.pi)
                angle = (at - low) / radius
                found += [radius * jnp.cos(angle), radius * jnp.sin(angle)]
            elif not (even and self.walled[k]):
                found.append(at)
            elif math.isfinite(low) and math.isfinite(high):
                scale = (high - low) / math.pi
                found.append(-scale * jnp.cos((at - low) / scale))
            else:
                found.append(jnp.sqrt(1 + jnp.square(at - end)))
        return jnp.concatenate([jnp.stack(found), x[self.dim :]]) if found else x

    def tangent(self, x: Float[Array, "dim"]) -> Float[Array, "dim"]:
        """A factor of each component of a field that is zero at its walls, and odd about them."""
        factor = jnp.ones_like(x)
        for k, (low, high) in enumerate(zip(self.low, self.high, strict=True)):
            if not self.walled[k]:
                continue
            if math.isfinite(low) and math.isfinite(high):
                found = jnp.sin(math.pi * (x[k] - low) / (high - low))
            else:
                end = low if math.isfinite(low) else high
                found = (x[k] - end) / jnp.sqrt(1 + jnp.square(x[k] - end))
            factor = factor.at[k].set(found)
        return factor

    def contains(self, x: Points) -> Bool[Array, "..."]:
        """Whether points lie between the walls, up to rounding; on a circle every number does."""
        given = x[..., : self.dim]
        ends = np.where(self.periodic, [[-np.inf], [np.inf]], [self.low, self.high])
        size = np.abs(np.where(np.isfinite(ends), ends, 0.0)).max(axis=0)
        slack = _ROUNDING * float(jnp.finfo(x.dtype).eps) * size
        low, high = (jnp.broadcast_to(e, given.shape) for e in (ends[0] - slack, ends[1] + slack))
        return jnp.all((given >= low) & (given <= high), axis=-1)

    def covers(self, other: "AbstractDomain") -> bool:
        """Whether every circle and wall of another domain is one of this."""
        mine, its = ([*zip(one.low, one.high, one.periodic, strict=True)] for one in (self, other))
        free = (-math.inf, math.inf, False)
        return all(axis == free or axis in mine[k : k + 1] for k, axis in enumerate(its))

    def admit(self, owner: str, x: Points) -> Points:
        """Points on the domain, those on circles wrapped.

        Raises:
            ValueError: in the name of `owner`, for points beyond a wall.
        """
        if not self.bounded:
            return x
        folded = self.fold(x)
        if any(self.walled) and not isinstance(x, Tracer):
            off = ~np.asarray(self.contains(x))
            if off.any():
                moved = np.abs(np.asarray(folded - x))[off][:, np.flatnonzero(self.walled)].max()
                raise ValueError(
                    f"`{owner}` got {int(off.sum())} of {off.size} points beyond the walls of "
                    f"{self}, by up to {moved / 2:.3g}, expected all of them inside: drop them, or "
                    "declare a domain that holds the data."
                )
        return folded

    def __str__(self) -> str:
        words = []
        for low, high, turns, walls in zip(
            self.low, self.high, self.periodic, self.walled, strict=True
        ):
            kind = "circle" if turns else "walls" if walls else "line"
            words.append(kind if kind == "line" else f"{kind} [{low:.4g}, {high:.4g}]")
        return " x ".join(words) or "Euclidean space"


class DomainProduct(AbstractDomain):
    """The product of domains, written `Torus(6.28) * Box(0.0, 1.0)`.

    Arguments:
        factors: the domains, in the order of their axes.
    """

    low: tuple[float, ...] = eqx.field(static=True)
    high: tuple[float, ...] = eqx.field(static=True)
    periodic: tuple[bool, ...] = eqx.field(static=True)

    def __init__(self, factors: Sequence[AbstractDomain]):
        self.low = sum((one.low for one in factors), ())
        self.high = sum((one.high for one in factors), ())
        self.periodic = sum((one.periodic for one in factors), ())
