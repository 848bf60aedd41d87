"""First variations by differentiation, of a functional that gives its value alone.

    dF/drho(rho)(x) = d/dh F( (1 - h) rho + h delta_x )  at h = 0,

normalised so that its mean over rho is zero: a first variation is defined up to a constant. The
mixture is a law like any other. Its particles are those of rho and x, with the weights (1 - h) w_i
and h; its moments follow. Where F asks for log rho at its particles, x is one of them, of a small
weight W at h = 0, so that with more mass there the logarithm grows by h / W: then

    d/dh sum_i w_i f(log rho_i)  ->  f(log rho(x)) + f'(log rho(x)),

as it should, whatever W is. On a lattice the derivative is taken by the masses of all cells at
once. A functional that evaluates rho where rho has no particles (an average over its target) has a
variation that is not seen there, and is refused.

Reference: P. Cardaliaguet, F. Delarue, J.-M. Lasry, P.-L. Lions, "The master equation and the
convergence problem in mean field games" (2019), section 2.2.
"""

from typing import NoReturn, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen._types import Batch, Key, Scalar, State
from mfgen.densities._base import AbstractDensity, AbstractEvaluable, Matrix, Weights
from mfgen.densities._empirical import Empirical
from mfgen.densities._grid import GridDensity, nodal

_TAG = jnp.bfloat16  # of particles in a trial, to tell them from other places
_FEW = 8


@runtime_checkable
class Valued(Protocol):
    """A functional with a value at a population."""

    def value(self, rho: AbstractDensity | None) -> Scalar: ...


def first_variation(functional: Valued, rho: AbstractDensity | None, x: State) -> Scalar:
    """dF/drho(rho)(x) of mean zero over rho, by differentiation of the value.

    Arguments:
        functional: F.
        rho: the population.
        x: the place, `[dim]`.

    Raises:
        TypeError: without a population, or if F has no value at it, or evaluates it elsewhere than
            at its particles.
    """
    name = type(functional).__name__
    if rho is None:
        raise TypeError(f"`{name}` got no population, expected a density: pass `rho`.")
    asks = _asks_density(functional, rho.dim)
    if asks:
        functional.value(rho)  # refuses, by its name, a law without a log-density
        _check_places(functional, name, rho.dim)
    mixed = _MixedDensity if asks else _Mixed
    share = jnp.zeros((), x.dtype)
    along = lambda share: functional.value(mixed(rho, x, share))
    return jax.jvp(along, (share,), (jnp.ones_like(share),))[1]


def lattice_variation(functional: Valued, rho: GridDensity) -> Float[Array, "*points"]:
    """dF/drho at the centres of all cells of rho's lattice, by the masses of cells."""
    slope = jax.grad(lambda mass: functional.value(nodal(rho.lattice, mass)))(rho.mass)
    return slope - jnp.sum(slope * rho.mass)


def _asks_density(functional: Valued, dim: int) -> bool:
    """Whether F refuses a population known by its particles alone."""
    points = jax.ShapeDtypeStruct((_FEW, dim), jnp.result_type(float))
    try:
        jax.eval_shape(lambda points: functional.value(Empirical(points)), points)
    except (TypeError, AttributeError):  # refused, or asked for what it has not
        return True
    return False


def _check_places(functional: Valued, name: str, dim: int) -> None:
    points = jax.ShapeDtypeStruct((_FEW, dim), _TAG)
    try:
        jax.eval_shape(lambda points: functional.value(_Tagged(points)), points)
    except _ElsewhereError:
        raise TypeError(
            f"`{name}` gives its value alone and evaluates the density where it has no particles, "
            "so that its first variation cannot be had by differentiation, expected a sum over "
            "`rho.particles()`: give `variation(rho, x)`."
        ) from None


class _ElsewhereError(TypeError):
    """A law is evaluated elsewhere than at its particles."""


class _Tagged(AbstractEvaluable):
    """Particles of a type of number of their own, the only places at which there is a density."""

    points: Batch

    @property
    def dim(self) -> int:
        return self.points.shape[1]

    def log_density(self, x: State) -> Scalar:
        if x.dtype != _TAG:
            raise _ElsewhereError
        return jnp.zeros(())

    def sample(self, n: int, *, key: Key) -> Batch:
        return _no_sample()

    def particles(self) -> tuple[Batch, Weights]:
        return self.points, jnp.full(len(self.points), 1.0 / len(self.points))


class _AbstractMixed(AbstractDensity):
    """(1 - h) rho + h delta_x.

    Attributes:
        law: rho.
        place: x.
        share: h.
        atom: the weight W of x at h = 0.
    """

    law: eqx.AbstractVar[AbstractDensity]
    place: eqx.AbstractVar[State]
    share: eqx.AbstractVar[Scalar]

    @property
    def dim(self) -> int:
        return self.law.dim

    @property
    def atom(self) -> float:
        return 0.0

    def sample(self, n: int, *, key: Key) -> Batch:
        return _no_sample()

    def moments(self) -> tuple[State, Matrix]:
        mean, covariance = self.law.moments()
        gap, share = self.place - mean, self.share
        return mean + share * gap, (1 - share) * (covariance + share * jnp.outer(gap, gap))

    def particles(self) -> tuple[Batch, Weights]:
        points, weights = self.law.particles()
        both = jnp.concatenate([points, self.place[None].astype(points.dtype)])
        shares = jnp.append((1 - self.share) * weights, self.atom + self.share)
        return both, shares.astype(weights.dtype)


class _Mixed(_AbstractMixed):
    """The mixture known by its particles."""

    law: AbstractDensity
    place: State
    share: Scalar


class _MixedDensity(_AbstractMixed, AbstractEvaluable):
    """The mixture with log rho at its particles, x being one of a small weight."""

    law: AbstractDensity
    place: State
    share: Scalar

    @property
    def atom(self) -> float:
        return float(jnp.finfo(self.place.dtype).eps) ** 0.9

    def log_density(self, x: State) -> Scalar:
        assert isinstance(self.law, AbstractEvaluable)
        points, weights = self.law.particles()
        # Particles that lie at the place as well share what is added there.
        here = self.atom + weights @ jnp.all(points == self.place[None], axis=1)
        more = jnp.where(jnp.all(x == self.place), jnp.log1p(self.share / here), 0.0)
        return self.law.log_density(x) + jnp.log1p(-self.share) + more


def _no_sample() -> NoReturn:
    raise TypeError(
        "A first variation by differentiation got a value that draws samples of the population, "
        "expected sums over `rho.particles()` or moments: give `variation(rho, x)`."
    )
