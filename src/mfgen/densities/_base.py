"""The interfaces of densities: those that are sampled, evaluated, and noised exactly.

Capability is told by type. A law one can sample from is an `AbstractDensity`; one whose log density
is known is an `AbstractEvaluable`; one whose noised law

    alpha X + sigma N(0, I),    X ~ density,

is known exactly is an `AbstractNoisable`. The noised law is what a score-based game needs: with
`alpha = signal(s)` and `sigma = noise(s)` it is the density eta(s, .) of the noising process, and
`U(t, x) = -log eta(T - t, x)` is the value function of the game.

Integrals against a density are sums over its `particles()`: points and weights of a quadrature rule
where a good one exists, a sample drawn with a fixed key otherwise.
"""

import functools
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Inexact, Num, PyTree

from mfgen import _check
from mfgen._types import Batch, Given, Key, Scalar, State
from mfgen.math._count import count

Matrix = Float[Array, "dim dim"]
Weights = Float[Array, "n"]
Number = Num[ArrayLike, ""]
Values = Given

Part = TypeVar("Part")
Value = TypeVar("Value", bound=PyTree[Inexact[Array, "..."]])


class AbstractDensity(eqx.Module):
    """A probability law on R^dim that can be sampled.

    To add one, give `dim` and `sample`; where better ones are known also `particles`, points drawn
    with a fixed key otherwise, and `moments`, those of the particles otherwise.
    """

    if TYPE_CHECKING:  # for which a field would be an argument of every constructor
        dim: ClassVar[int]
    else:
        dim: eqx.AbstractVar[int]

    def __init_subclass__(cls, **keywords):
        # Draws of every law, a user's own too, are asked for at one door.
        super().__init_subclass__(**keywords)
        if "sample" in vars(cls) and not getattr(cls.sample, "__isabstractmethod__", False):
            cls.sample = _checked(cls.sample)

    @abstractmethod
    def sample(self, n: int, *, key: Key) -> Batch:
        """Draw `n` independent points, `[n, dim]`; `n` is static under `jax.jit`."""

    def moments(self) -> tuple[State, Matrix]:
        """Return the mean `[dim]` and the covariance `[dim, dim]`."""
        return weighted_moments(*self.particles())

    def particles(self) -> tuple[Batch, Weights]:
        """Return points `[n, dim]` and weights `[n]` that sum to one: E f(X) ~ sum_i w_i f(x_i)."""
        return sampled_particles(self)


def _checked(sample: Callable) -> Callable:
    """The method `sample`, with its number of points and its key looked at first."""

    @functools.wraps(sample)
    def checked(self: AbstractDensity, n: int, *, key: Key) -> Batch:
        owner = f"{type(self).__name__}.sample"
        n = count(owner, "n", n, least=0)
        _check.a_key(owner, key)
        return sample(self, n, key=key)

    return checked


class AbstractEvaluable(AbstractDensity):
    """A density whose logarithm is known, normalised: the integral of its exponential is one."""

    @abstractmethod
    def log_density(self, x: State) -> Scalar:
        """Return log rho(x) at one point `x` of shape `[dim]`."""


class AbstractNoisable(AbstractEvaluable):
    """A density whose noised laws are known exactly."""

    @abstractmethod
    def noised(self, alpha: Number, sigma: Number) -> AbstractEvaluable:
        """Return the law of `alpha X + sigma N(0, I)`; both numbers may be traced."""


def score(density: AbstractEvaluable) -> Callable[[State], State]:
    """Return the function x -> grad log rho(x)."""
    return jax.grad(density.log_density)


def expectation(density: AbstractDensity, f: Callable[[State], Value]) -> Value:
    """Integrate `f` against the density over its particles: sum_i w_i f(x_i).

    Arguments:
        density: the law of integration.
        f: a function of one point `[dim]`, with values in any pytree of arrays.

    Returns:
        A pytree like a value of `f`.
    """
    points, weights = density.particles()
    return jax.tree.map(lambda values: jnp.tensordot(weights, values, axes=1), jax.vmap(f)(points))


def densities(part: object) -> list[AbstractDensity]:
    """The densities in a tree, such as a game or a cost."""
    return [leaf for leaf in jax.tree.leaves(part, is_leaf=_is_density) if _is_density(leaf)]


def with_densities(part: Part, change: Callable[[AbstractDensity], AbstractDensity]) -> Part:
    """The same tree with each of its densities changed."""
    one = lambda leaf: change(leaf) if _is_density(leaf) else leaf
    return jax.tree.map(one, part, is_leaf=_is_density)


def _is_density(leaf: object) -> bool:
    return isinstance(leaf, AbstractDensity)


def sampled_particles(density: AbstractDensity, n: int = 4096) -> tuple[Batch, Weights]:
    """Return `n` points drawn with a fixed key, with equal weights."""
    points = density.sample(n, key=jax.random.key(n))
    return points, jnp.full(n, 1.0 / n, dtype=points.dtype)


def weighted_moments(points: Batch, weights: Weights) -> tuple[State, Matrix]:
    """Return mean and covariance of the discrete law sum_i w_i delta(x_i)."""
    # A sum of values far from zero is rounded by more than they vary, and perhaps otherwise where a
    # compiler computes it again: one of the points is itself everywhere.
    first = points[0]
    near = points - first[None, :]
    rough = weights @ near / jnp.sum(weights)
    centred = near - rough[None, :]
    shift = weights @ centred / jnp.sum(weights)
    centred = centred - shift[None, :]
    return first + (rough + shift), (weights[:, None] * centred).T @ centred
