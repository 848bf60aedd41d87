"""Laws on a domain: those of R^d folded onto circles and between walls, and the uniform one.

    X = fold(Y), Y ~ rho:     rho_fold(x) = sum over the preimages y of x of rho(y)

On a circle that is the wrapped law, sum_k rho(x + k p). Walls at a distance l cut the axis into
cells, numbered from the one between them; cell k holds x + k l for even k, the mirror image
2 low + (k + 1) l - x for odd. A folded normal law is the heat kernel of the domain. Images that are
further than some deviations from the mean are left out.

Reference: K. V. Mardia, P. E. Jupp, "Directional statistics" (2000), section 3.5.
"""

import math
from functools import singledispatch
from itertools import product
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from mfgen._types import Batch, Key, Scalar, State
from mfgen.densities._base import (
    AbstractDensity,
    AbstractEvaluable,
    Matrix,
    Weights,
)
from mfgen.densities._empirical import Empirical
from mfgen.densities._energy import Unnormalised
from mfgen.densities._labels import Labelled, LabelledPoints, labelled
from mfgen.math._space import AbstractDomain

_REACH = 9.0  # deviations of a law whose images are summed
_MOST = 4096  # images
_BEYOND = 1e-3  # mass beyond walls up to which a law is one between them
_LOOK = 1024
_SAME = 1e-4  # of log-densities a turn apart


class _AbstractFolded(AbstractDensity):
    """The law of fold(Y)."""

    law: eqx.AbstractVar[AbstractDensity]
    domain: eqx.AbstractVar[AbstractDomain]

    @property
    def dim(self) -> int:
        return self.law.dim

    def sample(self, n: int, *, key: Key) -> Batch:
        return self.domain.fold(self.law.sample(n, key=key))

    def particles(self) -> tuple[Batch, Weights]:
        points, weights = self.law.particles()
        return self.domain.fold(points), weights


class FoldedSamples(_AbstractFolded):
    """The law of fold(Y), Y of a law without a log-density.

    Arguments:
        law: of Y.
        domain: what it is folded onto.
    """

    law: AbstractDensity
    domain: AbstractDomain


class Folded(_AbstractFolded, AbstractEvaluable):
    """The law of fold(Y) with its log-density: wrapped around circles, reflected between walls.

    Arguments:
        law: of Y.
        domain: what it is folded onto.
        cells: the first and the last image on each axis; from the moments of the law if absent,
            the next neighbours if these are traced.
    """

    law: AbstractEvaluable
    domain: AbstractDomain
    cells: tuple[tuple[int, int], ...] = eqx.field(static=True)

    def __init__(self, law: AbstractEvaluable, domain: AbstractDomain, cells=None):
        self.law, self.domain = law, domain
        self.cells = _cells(law, domain) if cells is None else cells

    def log_density(self, x: State) -> Scalar:
        scale, shift = (jnp.asarray(part, x.dtype) for part in self._images())
        at = scale * x[None] + shift  # [images, dim]
        images = jax.vmap(self.law.log_density)(at)
        found = images[0] if len(images) == 1 else jax.nn.logsumexp(images)
        return jnp.where(self.domain.contains(x), found, -jnp.inf)

    def _images(self) -> tuple[np.ndarray, np.ndarray]:
        """scale and shift of each preimage scale x + shift, `[images, dim]`."""
        count = math.prod(last - first + 1 for first, last in self.cells)
        if count > _MOST:
            raise ValueError(
                f"`Folded` got a `{type(self.law).__name__}` whose log-density has {count} images "
                f"on {self.domain}, expected at most {_MOST}: take a narrower law, or one that is "
                "even, `Uniform(domain)`."
            )
        low, high = np.asarray(self.domain.low), np.asarray(self.domain.high)
        base = np.where(np.isfinite(low), low, np.where(np.isfinite(high), high, 0.0))
        side = np.where(np.isfinite(low) & np.isfinite(high), high - low, 0.0)
        places = np.asarray(list(product(*[range(a, b + 1) for a, b in self.cells])))
        odd = np.asarray(self.domain.walled) & (places % 2 == 1)
        scale = np.where(odd, -1.0, 1.0)
        shift = np.where(odd, 2 * base + (places + 1) * side, places * side)
        rest = ((0, 0), (0, self.dim - self.domain.dim))
        return np.pad(scale, rest, constant_values=1.0), np.pad(shift, rest)


class Uniform(AbstractEvaluable):
    """The uniform law on a domain of finite sides.

    Arguments:
        domain: such as `Torus(2 * jnp.pi)` or `Box(0.0, 1.0)`.

    Raises:
        ValueError: for a domain with an axis that has no end.
    """

    domain: AbstractDomain

    def __init__(self, domain: AbstractDomain):
        self.domain = domain
        if domain.sides is None:
            raise ValueError(
                f"`Uniform` got the domain {domain}, expected finite sides: pass a "
                "`Torus(periods)` or a `Box(low, high)`."
            )

    @property
    def dim(self) -> int:
        return self.domain.dim

    def log_density(self, x: State) -> Scalar:
        inside = self.domain.contains(x)
        sizes = np.subtract(self.domain.high, self.domain.low)
        return jnp.where(inside, -jnp.asarray(np.log(sizes).sum(), x.dtype), -jnp.inf)

    def sample(self, n: int, *, key: Key) -> Batch:
        low, high = (jnp.asarray(ends, float) for ends in (self.domain.low, self.domain.high))
        return jax.random.uniform(key, (n, self.dim), low.dtype, low, high)

    def moments(self) -> tuple[State, Matrix]:
        low, high = (jnp.asarray(ends, float) for ends in (self.domain.low, self.domain.high))
        return 0.5 * (low + high), jnp.diag(jnp.square(high - low) / 12)


def next_images(law: AbstractEvaluable, domain: AbstractDomain) -> Folded:
    """A law of points of the domain, each widened by less than a side: its next images alone."""
    pairs = zip(np.isfinite(domain.low), np.isfinite(domain.high), strict=True)
    return Folded(law, domain, tuple((-int(a or b), int(a and b)) for a, b in pairs))


@singledispatch
def folded(law: Any, domain: AbstractDomain) -> Any:
    """A law on the domain: itself where it is one already, else that of fold(Y).

    Arguments:
        law: the law of Y.
        domain: circles and walls.

    Raises:
        ValueError: for points beyond the walls.
    """
    return FoldedSamples(law, domain)


@folded.register
def _(law: AbstractEvaluable, domain: AbstractDomain):
    return law if _repeats(law, domain) else Folded(law, domain)


@folded.register
def _(law: Empirical, domain: AbstractDomain):
    return Empirical(domain.admit("Empirical", law.points))


@folded.register
def _(law: LabelledPoints, domain: AbstractDomain):
    points = law.rows[:, : law.dim - law.labels.shape[1]]
    rows = labelled(domain.admit("LabelledPoints", points), law.labels)
    return eqx.tree_at(lambda law: law.rows, law, rows)


@folded.register
def _(law: Labelled, domain: AbstractDomain):
    return Labelled(folded(law.law, domain), law.labels)


# An energy is a function on the domain as it is.
@folded.register
def _(law: Unnormalised, domain: AbstractDomain):
    return law


@folded.register(Folded)
@folded.register(FoldedSamples)
def _(law, domain: AbstractDomain):
    if law.domain.covers(domain):
        return law
    return Folded(law, domain) if isinstance(law, Folded) else FoldedSamples(law, domain)


def check_between_walls(owner: str, name: str, law: AbstractDensity, domain: AbstractDomain):
    """Refuses a law that has mass beyond the walls.

    Raises:
        ValueError: in the name of `owner`, with the mass and the fix.
    """
    if not any(domain.walled) or isinstance(law, Unnormalised):
        return
    points = law.sample(_LOOK, key=jax.random.key(0))
    if isinstance(points, Tracer):
        return
    outside = 1 - float(jnp.mean(domain.contains(points)))
    if outside > _BEYOND:
        raise ValueError(
            f"`{owner}` got {name} `{type(law).__name__}` with {outside:.1%} of its mass beyond "
            f"the walls of {domain}, expected a law between them: reflect it by `Folded(law, "
            "domain)`, take `Uniform(domain)`, or move the walls."
        )


def _cells(law: AbstractEvaluable, domain: AbstractDomain) -> tuple[tuple[int, int], ...]:
    mean, covariance = law.moments()
    if isinstance(mean, Tracer) or isinstance(covariance, Tracer):
        return next_images(law, domain).cells
    reach = _REACH * np.sqrt(np.diag(np.asarray(covariance)))
    found = []
    for k, (low, high) in enumerate(zip(domain.low, domain.high, strict=True)):
        first, last = float(mean[k]) - float(reach[k]), float(mean[k]) + float(reach[k])
        if math.isfinite(low) and math.isfinite(high):
            cell = lambda y, low=low, side=high - low: math.floor((y - low) / side)
            found.append((cell(first), cell(last)))
        else:
            found.append((-1 if first < low or last > high else 0, 0))
    return tuple(found)


def _repeats(law: AbstractEvaluable, domain: AbstractDomain) -> bool:
    """Whether a law is a function on the circles as it is, such as one of von Mises."""
    if not any(domain.periodic):
        return False
    points = law.sample(8, key=jax.random.key(1))
    if isinstance(points, Tracer):
        return False
    turn = np.where(domain.periodic, np.subtract(domain.high, domain.low), 0.0)
    turn = jnp.asarray(np.pad(turn, (0, points.shape[1] - domain.dim)), points.dtype)
    here, there = (jax.vmap(law.log_density)(at) for at in (points, points + turn[None]))
    return bool(jnp.all(jnp.abs(here - there) <= _SAME * (1 + jnp.abs(here))))
