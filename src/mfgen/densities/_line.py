"""A law on the line by cells of equal mass: its quantile function at i/n, linear in between.

    mass 1/n on each [q_i, q_(i+1)],   rho = 1 / (n (q_(i+1) - q_i)) there

Distances of two such laws of n cells are those of their quantile functions, in closed form,

    W2^2 = int_0^1 (Q - P)^2 = (1/n) sum_i (a_i^2 + a_i a_(i+1) + a_(i+1)^2) / 3,    a = q - p

so that a gradient flow in W2 is one of the edges q in R^(n+1). Expectations are sums over the
middles of the cells, with an error of order 1/n^2 where the cells are narrow.

Reference: C. Villani, "Topics in optimal transportation" (2003), section 2.2.
"""

from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen._types import Batch, Key, Scalar, State
from mfgen.densities._base import AbstractEvaluable, Matrix, Weights, weighted_moments
from mfgen.math import _entry

Edges = Float[Array, "edges"]


class LineLaw(AbstractEvaluable):
    """The law with mass 1/n between each two neighbouring edges.

    Arguments:
        edges: increasing, `[n + 1]`.
    """

    edges: Edges
    dim: ClassVar[int] = 1

    @property
    def cells(self) -> int:
        """n, the number of cells."""
        return self.edges.size - 1

    def log_density(self, x: State) -> Scalar:
        x = _entry.point("LineLaw", x, self.dim)
        cell = jnp.searchsorted(self.edges, x[0], side="right") - 1
        inside = (cell >= 0) & (cell < self.cells)
        width = jnp.diff(self.edges)[jnp.clip(cell, 0, self.cells - 1)]
        return jnp.where(inside, -jnp.log(self.cells * width), -jnp.inf)

    def sample(self, n: int, *, key: Key) -> Batch:
        level = self.cells * jax.random.uniform(key, (n,), self.edges.dtype)
        return jnp.interp(level, jnp.arange(self.edges.size, dtype=level.dtype), self.edges)[
            :, None
        ]

    def particles(self) -> tuple[Batch, Weights]:
        middles = 0.5 * (self.edges[1:] + self.edges[:-1])
        return middles[:, None], jnp.full(self.cells, 1 / self.cells, self.edges.dtype)

    def moments(self) -> tuple[State, Matrix]:
        mean, covariance = weighted_moments(*self.particles())
        within = jnp.mean(jnp.square(jnp.diff(self.edges))) / 12
        return mean, covariance + within


def line_law(quantile: Callable[[Array], Array], cells: int) -> LineLaw:
    """The law whose quantile function is given, at levels i/n; at both ends a quarter of a cell in.

    Arguments:
        quantile: takes levels in (0, 1), returns points, increasing.
        cells: n.

    Raises:
        ValueError: for fewer than two cells, or points that do not increase.
    """
    if cells < 2:
        raise ValueError(f"`line_law` got cells = {cells}, expected at least 2: pass cells=200.")
    levels = jnp.linspace(0, 1, cells + 1).at[0].set(0.25 / cells).at[-1].set(1 - 0.25 / cells)
    edges = quantile(levels)
    if not bool(jnp.all(jnp.isfinite(edges)) & jnp.all(jnp.diff(edges) > 0)):
        raise ValueError(
            "`line_law` got a quantile function whose values do not increase or are not finite, "
            "expected those of a law with a density: see `jax.scipy.stats.norm.ppf`."
        )
    return LineLaw(edges)


def squared_distance(first: Edges, second: Edges) -> Scalar:
    """W2^2 of two laws with as many cells, by their edges."""
    apart = second - first
    left, right = apart[:-1], apart[1:]
    return jnp.mean(left * left + left * right + right * right) / 3
