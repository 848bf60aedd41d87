"""Laws of a population, estimated from a batch of particles.

    Empirical     the particles alone: kernels, pairs, transport costs, means and linear costs
    `Followed`    the particles with log rho at each, known where paths are deterministic
    `Smoothed`    the particles with their kernel estimate, whose bias is of the order of width^2

A functional of n particles is biased where it is not linear in rho: of a quadratic one by c / n, by
the pairs of a particle with itself. Two halves of the batch tell how much, and

    F_n  ->  2 F_n - ( F_{n/2} + F'_{n/2} ) / 2

has none left if F is quadratic, where it is the mean over all pairs across the halves, and a bias
of the order 1 / n^2 else.

Reference: M. H. Quenouille, "Notes on bias in estimation", Biometrika 43 (1956).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from mfgen._types import Batch, Key, Scalar, State
from mfgen.densities._base import (
    AbstractDensity,
    AbstractEvaluable,
    Matrix,
    Weights,
    weighted_moments,
)
from mfgen.densities._empirical import Empirical
from mfgen.densities._smoothed import by_kernels
from mfgen.functionals._functional import AbstractFunctional
from mfgen.math._space import AbstractDomain


class Followed(AbstractEvaluable):
    """Particles with the logarithm of the density at each, and nowhere else.

    Arguments:
        points: `[n, dim]`.
        logarithms: log rho at each, `[n]`.
    """

    points: Batch
    logarithms: Float[Array, "n"]

    def __init__(self, points: Batch, logarithms: Float[Array, "n"]):
        self.points, self.logarithms = points, logarithms

    @property
    def dim(self) -> int:
        return self.points.shape[1]

    def log_density(self, x: State) -> Scalar:
        """That of the particle at x. Derivatives go along the paths, none to other places."""
        gaps = jnp.sum(jnp.square(jax.lax.stop_gradient(self.points - x[None])), axis=1)
        return self.logarithms[jnp.argmin(gaps)]

    def sample(self, n: int, *, key: Key) -> Batch:
        return self.points[jax.random.randint(key, (n,), 0, len(self.points))]

    def moments(self) -> tuple[State, Matrix]:
        return weighted_moments(*self.particles())

    def particles(self) -> tuple[Batch, Weights]:
        n = len(self.points)
        return self.points, jnp.full(n, 1.0 / n, self.points.dtype)


Crowd = Callable[[Batch, Float[Array, "n"]], AbstractDensity]


def empirical(points: Batch, logarithms: Float[Array, "n"]) -> AbstractDensity:
    """The particles alone."""
    return Empirical(points)


def followed(points: Batch, logarithms: Float[Array, "n"]) -> AbstractDensity:
    """The particles with log rho at each."""
    return Followed(points, logarithms)


def smoothed(domain: AbstractDomain) -> Crowd:
    """The particles with their kernel estimate on a domain."""
    return lambda points, logarithms: by_kernels(points, domain)


def suits(functional: AbstractFunctional, crowd: Crowd, dim: int, *, varied: bool) -> bool:
    """Whether value, or first variation, can be had of such a crowd; nothing is computed."""
    points, logarithms = jax.ShapeDtypeStruct((2, dim), float), jax.ShapeDtypeStruct((2,), float)

    def tried(points: Batch, logarithms: Float[Array, "n"]) -> Scalar:
        rho = crowd(points, logarithms)
        return functional.variation(rho, points[0]) if varied else functional.value(rho)

    try:
        jax.eval_shape(tried, points, logarithms)
    except (TypeError, AttributeError):  # a user's cost asks for what such a law has not
        return False
    return True


def shifts(functional: AbstractFunctional, dim: int) -> bool:
    """Whether F(rho) = c E log rho + E h for a number c: told from its slopes in log rho.

    Along deterministic paths E log rho is then that of the start less E log |det|, and the start's
    part, which no control changes, may be left out: particles that begin at samples will do.
    """
    with jax.ensure_compile_time_eval():
        key, other = jax.random.split(jax.random.key(0))
        draws = lambda key: (jax.random.normal(key, (8, dim)), jax.random.normal(key, (8,)))
        slope = jax.grad(lambda logs, points: functional.value(followed(points, logs)))
        try:
            found = jnp.stack([slope(*draws(one)[::-1]) for one in (key, other)])
            return bool(jnp.ptp(found) <= 1e-4 * jnp.max(jnp.abs(found)))
        except jax.errors.ConcretizationTypeError:  # traced: it was looked at before
            return True
        except TypeError:
            return False


def moving(
    functional: AbstractFunctional, crowd: Crowd, points: Batch, logarithms: Float[Array, "n"]
) -> Scalar:
    """F of the population, less the bias of a finite crowd; its derivative moves all particles."""
    value = lambda part: functional.value(crowd(points[part], logarithms[part]))
    return value(slice(1)) if len(points) < 2 else unbiased(value, len(points))


def unbiased(value: Callable[[slice], Scalar], n: int) -> Scalar:
    """2 F_n - (F_{n/2} + F'_{n/2}) / 2, F being known of any part of n points."""
    half = n // 2
    apart = 0.5 * (value(slice(half)) + value(slice(half, 2 * half)))
    return 2 * value(slice(2 * half)) - apart


def frozen(
    functional: AbstractFunctional, crowd: Crowd, points: Batch, logarithms: Float[Array, "n"]
) -> Scalar:
    """E dF/drho in a crowd that is held still; its derivative moves each particle alone."""
    return jnp.mean(prices(functional, crowd, points, logarithms))


def prices(
    functional: AbstractFunctional, crowd: Crowd, points: Batch, logarithms: Float[Array, "n"]
) -> Float[Array, "n"]:
    """dF/drho for each particle in the half of the crowd that it is not in, held still."""
    price = lambda others, logs, x, log: functional.variation(crowd(others, logs), x)
    return by_halves(price, points, logarithms)


def by_halves(f: Callable, points: Batch, logarithms: Float[Array, "n"]) -> PyTree:
    """f(others, their log rho, x, its log rho) for each particle, the others of the other half."""
    half = max(1, len(points) // 2)
    still = jax.lax.stop_gradient((points, logarithms))
    first, second = slice(half), slice(half, None)

    def found(mine: slice, others: slice) -> PyTree:
        rho = jax.tree.map(lambda part: part[others], still)
        return jax.vmap(lambda x, log: f(*rho, x, log))(points[mine], still[1][mine])

    if len(points) < 2:
        return found(first, first)
    apart = found(first, second), found(second, first)
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), *apart)
