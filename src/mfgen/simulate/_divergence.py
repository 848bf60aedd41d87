"""The divergence of a flow, integrated along its paths to get the change of the log-density.

    d/dt log rho(t, X(t)) = -div b(t, X(t))            (instantaneous change of variables)

`ExactDivergence` sums the d diagonal entries of the Jacobian by forward mode. For a potential whose
control is proportional to its gradient p = grad U it takes the potential's own jet instead: with
the mobility m (v = -m g p) of a game without noise, and with noising rate r and diffusion g of a
score-based one,

    b = a - g^2 m p,                                           div b = div a - g^2 m lap U,
    b = a - g^2 p + (g^2 / 2) p = a - (g^2 / 2) p,             div b = div a - (g^2 / 2) lap U,

where a = -r x and div a = -r d for a noising of rate r.

`Hutchinson` averages z . (Db z) over random signs z, E[z z^T] = I. The probes are drawn once and
kept for the whole path: the integrand is then a smooth function of time. An estimate for each probe
is carried, which gives a standard error at no cost.

References: R. T. Q. Chen et al. (2018), arXiv 1806.07366 (instantaneous change of variables);
W. Grathwohl et al., "FFJORD" (2019), arXiv 1810.01367 (frozen probes).
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen._types import Key, Scalar, State, Time
from mfgen.derive._hamiltonian import drift
from mfgen.derive._score_based import is_score_based, score_dynamics
from mfgen.games._game import MFG
from mfgen.math._autodiff import divergence
from mfgen.math._count import count, plain
from mfgen.math._linear_map import image, square
from mfgen.models._base import AbstractModel, AbstractPotential, probability_flow, velocity

Directions = Float[Array, "k dim"]

# Jacobian columns at once: bounds the memory of exact divergences in high dimension.
_COLUMNS = 64


class Slope(NamedTuple):
    """A velocity and its divergence.

    Attributes:
        velocity: b(t, x), shape `[dim]`.
        divergence: `[k]` estimates of div b: none, one exact, or one for each probe.
    """

    velocity: State
    divergence: Float[Array, "k"]


class AbstractDivergence(eqx.Module):
    """A way to get the divergence of a game's flow along with its velocity.

    To add one, give `count`, the number of estimates, `directions(x, key)`, what is drawn once for
    a path, and `__call__`.

    Attributes:
        exact: whether an estimate is the divergence itself, so that estimates have no spread.
    """

    exact: ClassVar[bool] = True

    @property
    @abstractmethod
    def count(self) -> int:
        """k, the number of estimates of the divergence."""

    @abstractmethod
    def directions(self, x: State, *, key: Key | None) -> Directions:
        """The directions of one path, `[m, dim]`, drawn with the key if they are random."""

    @abstractmethod
    def __call__(
        self, game: MFG, model: AbstractModel, t: Time, x: State, directions: Directions
    ) -> Slope:
        """Velocity and divergence of the flow at time t in x."""


class NoDivergence(AbstractDivergence):
    """The velocity alone: paths without their density."""

    @property
    def count(self) -> int:
        return 0

    def directions(self, x: State, *, key: Key | None) -> Directions:
        return jnp.zeros((0, x.size), x.dtype)

    def __call__(
        self, game: MFG, model: AbstractModel, t: Time, x: State, directions: Directions
    ) -> Slope:
        return Slope(flow_field(game, model)(t, x), jnp.zeros(0, x.dtype))


class ExactDivergence(AbstractDivergence):
    """The exact divergence: a Laplacian where control follows a gradient, else forward mode."""

    @property
    def count(self) -> int:
        return 1

    def directions(self, x: State, *, key: Key | None) -> Directions:
        return jnp.eye(x.size, dtype=x.dtype)

    def __call__(
        self, game: MFG, model: AbstractModel, t: Time, x: State, directions: Directions
    ) -> Slope:
        if isinstance(model, AbstractPotential):
            if is_score_based(game) and game.dynamics.of_points.diffusion(t).ndim == 0:
                return _laplacian_slope(game, model, t, x)
            mobility, gain = game.lagrangian.mobility(t), game.dynamics.uniform_gain(t)
            if game.dynamics.deterministic and mobility is not None and gain is not None:
                return _gradient_slope(game, model, t, x, gain * gain * mobility)
        slope = _projected_slope(game, model, t, x, directions)
        return Slope(slope.velocity, jnp.sum(slope.divergence)[None])


class Hutchinson(AbstractDivergence):
    """An unbiased estimate with random signs, exact in one dimension.

    Arguments:
        probes: the number of sign vectors; each gives one estimate for the whole path.
    """

    exact: ClassVar[bool] = False

    probes: int = eqx.field(static=True, default=8, converter=plain)

    def __check_init__(self):
        count("Hutchinson", "probes", self.probes)

    @property
    def count(self) -> int:
        return self.probes

    def directions(self, x: State, *, key: Key | None) -> Directions:
        if key is None:
            raise ValueError(
                "`Hutchinson` got key = None, expected a random key for its probes: pass "
                "key=jax.random.key(0), or use `ExactDivergence`."
            )
        return jax.random.rademacher(key, (self.probes, x.size), x.dtype)

    def __call__(
        self, game: MFG, model: AbstractModel, t: Time, x: State, directions: Directions
    ) -> Slope:
        return _projected_slope(game, model, t, x, directions)


def moving_directions(
    game: MFG, method: AbstractDivergence, x: State, *, key: Key | None
) -> Directions:
    """The method's directions of one path, `[m, dim]`, none along a label.

    A label does not move: along it there is nothing to sum, and a probe would only add noise.
    """
    fixed = game.dynamics.fixed
    if not fixed:
        return method.directions(x, key=key)
    return jnp.pad(method.directions(x[:-fixed], key=key), ((0, 0), (0, fixed)))


def check_flow(owner: str, game: MFG) -> None:
    """Raises a `TypeError` in the name of `owner` for a game with noise that is not score-based."""
    if not game.dynamics.deterministic:
        score_dynamics(owner, game)


def flow_field(game: MFG, model: AbstractModel) -> Callable[[Time, State], State]:
    """The velocity field (t, x) -> b whose flow carries the densities of the game.

    Without diffusion it is the drift b*; in a score-based game b* + (sigma^2 / 2) p.

    Raises:
        TypeError: for other games with diffusion, where grad log rho is not known.
    """
    check_flow("ProbabilityFlow", game)
    if game.dynamics.deterministic:
        return lambda t, x: velocity(game, model, t, x)
    return lambda t, x: probability_flow(game, model, t, x)


def _projected_slope(
    game: MFG, model: AbstractModel, t: Time, x: State, directions: Directions
) -> Slope:
    field = flow_field(game, model)
    value, push = jax.linearize(lambda x: field(t, x), x)
    columns = min(_COLUMNS, directions.shape[0])
    return Slope(value, jax.lax.map(lambda z: z @ push(z), directions, batch_size=columns))


def _gradient_slope(
    game: MFG, model: AbstractPotential, t: Time, x: State, spread: Scalar
) -> Slope:
    potential = model.jet(t, x, game.dynamics.fixed)
    free = divergence(lambda x: game.dynamics.free(t, x))(x)
    b = drift(game, t, x, potential.gradient)
    return Slope(b, (free - spread * potential.laplacian)[None])


def _laplacian_slope(game: MFG, model: AbstractPotential, t: Time, x: State) -> Slope:
    dynamics, fixed = score_dynamics("ExactDivergence", game), game.dynamics.fixed
    potential = model.jet(t, x, fixed)
    half_variance = 0.5 * square(game.dynamics.diffusion(t))
    b = drift(game, t, x, potential.gradient) + image(half_variance, potential.gradient)
    spread = 0.5 * jnp.square(dynamics.diffusion(t))
    free = -dynamics.noising.divergence(dynamics.noising_time(t), x[: x.size - fixed])
    return Slope(b, (free - spread * potential.laplacian)[None])
