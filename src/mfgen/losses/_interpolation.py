"""Flow matching: the velocity of a prescribed path between data and reference, by regression.

    x_t = alpha(s) x + beta(s) z + gamma(s) eps,     s = t / T,   x ~ data,  z ~ reference
    loss = E | b(t, x_t) - dx_t/dt |^2,              b = a + g v the velocity of the model

The minimiser is b(t, y) = E[ dx_t/dt | x_t = y ], the velocity of the probability flow: with it
the densities of the path solve dt rho + div(rho b) = 0, from the data at t = 0 to the reference at
T. Samples are carried back from there. A path is prescribed here, not derived: it solves the game
only if it is the optimal one, which straight lines between pairs of optimal transport approach.

| objective | alpha, beta | noise |
|---|---|---|
| `FlowMatching` | 1 - s, s | constant `width`, not part of the velocity |
| `StochasticInterpolant` | `Straight`, `Trigonometric`, ... | gamma(s) = latent sqrt(2 s (1 - s)) |

Straight lines with latent noise, latent = sigma sqrt(T / 2), and pairs of
`EntropicTransport(sigma^2 T)` follow the Schrödinger bridge of sigma dW.

References: Y. Lipman et al., "Flow matching for generative modeling" (2023), arXiv 2210.02747;
A. Tong et al. (2024), arXiv 2302.00482; M. Albergo, N. Boffi, E. Vanden-Eijnden, "Stochastic
interpolants" (2023), arXiv 2303.08797.
"""

import math
from abc import abstractmethod
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen._types import Batch, Key, Scalar
from mfgen.games._game import MFG
from mfgen.losses._coupling import (
    AbstractCoupling,
    Independent,
    not_from_data,
    partners,
    stratified,
)
from mfgen.losses._objective import AbstractObjective
from mfgen.losses._payment import WHOLE, Pays, kinetic_weight, name_of, straight_ways
from mfgen.models._base import AbstractModel, velocity
from mfgen.simulate._ends import reference

Fractions = Float[Array, "n"]


class AbstractInterpolant(eqx.Module):
    """Weights of data and reference on the way; to add one, give `weights(s)`.

    They go from (1, 0) at s = 0 to (0, 1) at s = 1.
    """

    @abstractmethod
    def weights(self, s: Fractions) -> tuple[Fractions, Fractions]:
        """alpha(s) and beta(s), `[n]` each."""


class Straight(AbstractInterpolant):
    """alpha = 1 - s, beta = s: straight lines at constant speed."""

    def weights(self, s: Fractions) -> tuple[Fractions, Fractions]:
        return 1 - s, s


class Trigonometric(AbstractInterpolant):
    """alpha = cos(pi s / 2), beta = sin(pi s / 2): the variance stays if both ends have one."""

    def weights(self, s: Fractions) -> tuple[Fractions, Fractions]:
        return jnp.cos(0.5 * jnp.pi * s), jnp.sin(0.5 * jnp.pi * s)


class AbstractRegression(AbstractObjective):
    """E | b(t, x_t) - dx_t/dt |^2 along a path that is prescribed between pairs.

    To add one, give `path`.
    """

    euclidean: ClassVar[bool] = True
    coupling: eqx.AbstractVar[AbstractCoupling]

    @abstractmethod
    def path(
        self, s: Fractions, data: Batch, goal: Batch, *, key: Key
    ) -> tuple[Fractions, Batch, Batch]:
        """The fractions that are taken, x_t there, and its derivative by the fraction."""

    def pays(self, game: MFG) -> Pays:
        check_prescribed(self.name, game)
        _check_straight(self.name, game)
        return WHOLE

    def __call__(self, game: MFG, model: AbstractModel, batch: Batch, *, key: Key) -> Scalar:
        pair_key, time_key, noise_key = jax.random.split(key, 3)
        goal = partners(self.name, game, self.coupling, batch, key=pair_key)
        s = stratified(batch.shape[0], key=time_key, dtype=batch.dtype)
        s, x, move = self.path(s, batch, goal, key=noise_key)
        x, move = with_label(game, x, move, batch)
        horizon = game.dynamics.horizon

        def loss(s: Scalar, x: Array, move: Array) -> Scalar:
            return jnp.sum(jnp.square(velocity(game, model, horizon * s, x) - move / horizon))

        return jnp.mean(jax.vmap(loss)(s, x, move))


class FlowMatching(AbstractRegression):
    """E | b(t, x_t) - (z - x) / T |^2, x_t = (1 - t / T) x + (t / T) z, summed over coordinates.

    With `OptimalTransport()` it is OT-FM, whose paths are nearly straight.

    Arguments:
        coupling: how data are paired with points of the reference.
        width: deviation of noise added to x_t, in units of x.
    """

    coupling: AbstractCoupling = Independent()
    width: float = eqx.field(static=True, default=0.0)

    def __check_init__(self):
        _check_noise("FlowMatching", "width", self.width)

    def path(
        self, s: Fractions, data: Batch, goal: Batch, *, key: Key
    ) -> tuple[Fractions, Batch, Batch]:
        move = goal - data
        x = data + s[:, None] * move
        if self.width:
            x = x + self.width * jax.random.normal(key, x.shape, x.dtype)
        return s, x, move


class StochasticInterpolant(AbstractRegression):
    """E | b(t, x_t) - (alpha' x + beta' z + gamma' eps) |^2 with gamma = latent sqrt(2 s (1 - s)).

    gamma' grows like s^(-1/2) at the ends, its square is not integrable: with latent noise times
    keep a margin from both. The minimiser at a time is the same with any.

    Arguments:
        interpolant: alpha and beta.
        latent: factor of the latent noise, 0 for none.
        coupling: how data are paired with points of the reference.
        margin: part of the horizon at either end that is left out, with latent noise.
    """

    interpolant: AbstractInterpolant = Trigonometric()
    latent: float = eqx.field(static=True, default=0.1)
    coupling: AbstractCoupling = Independent()
    margin: float = eqx.field(static=True, default=1e-3)

    def __check_init__(self):
        _check_noise("StochasticInterpolant", "latent", self.latent)
        if not 0 < self.margin < 0.5:
            raise ValueError(
                f"`StochasticInterpolant` got margin = {self.margin}, expected a number between 0 "
                "and 0.5: pass margin=1e-3."
            )

    def path(
        self, s: Fractions, data: Batch, goal: Batch, *, key: Key
    ) -> tuple[Fractions, Batch, Batch]:
        if not self.latent:
            return s, *between(self.interpolant, s, data, goal)
        s = self.margin + (1 - 2 * self.margin) * s
        x, move = between(self.interpolant, s, data, goal)
        noise = jax.random.normal(key, x.shape, x.dtype)
        width, speed = _with_slopes(lambda s: self.latent * jnp.sqrt(2 * s * (1 - s)), s)
        return s, x + width[:, None] * noise, move + speed[:, None] * noise


def between(
    interpolant: AbstractInterpolant, s: Fractions, data: Batch, goal: Batch
) -> tuple[Batch, Batch]:
    """alpha x + beta z and alpha' x + beta' z at the fractions s, one for each row."""
    weights, slopes = _with_slopes(interpolant.weights, s)
    x, move = (alpha[:, None] * data + beta[:, None] * goal for alpha, beta in (weights, slopes))
    return x, move


def with_label(game: MFG, x: Batch, move: Batch, data: Batch) -> tuple[Batch, Batch]:
    """Places and velocities in which labels, where there are any, are those of the data at rest."""
    fixed = game.dynamics.fixed
    if not fixed:
        return x, move
    at_rest = jnp.zeros_like(move[:, -fixed:])
    x = jnp.concatenate([x[:, :-fixed], data[:, -fixed:]], axis=1)
    return x, jnp.concatenate([move[:, :-fixed], at_rest], axis=1)


def _with_slopes(f, s: Fractions):
    return jax.jvp(f, (s,), (jnp.ones_like(s),))


def check_prescribed(owner: str, game: MFG) -> None:
    """Refuses, in the name of `owner`, a game that a prescribed path has no meaning for.

    Raises:
        TypeError: for a game whose data are not at its start, or whose reference is not known.
        ValueError: for an end that is not prescribed, an interaction or a discount, none of which
            a path that is given can take into account.
    """
    if game.data_at != "start":
        raise not_from_data(owner, game)
    reference(owner, game)
    if not game.terminal.constrains:
        raise ValueError(
            f"`{owner}` got a game with the terminal cost `{name_of(game.terminal)}`, expected a "
            "prescribed end, which is where its paths arrive whatever they cost: declare "
            "`terminal=Prescribed(reference)`, or train a soft end by `PathLikelihood`."
        )
    if not game.interaction.vanishes:
        raise ValueError(
            f"`{owner}` got a game with the interaction `{name_of(game.interaction)}`, expected "
            "none: its path is prescribed, whatever a crowd costs; solve the game by `Neural()`, "
            "or by `Grid(box)` in one or two dimensions."
        )
    if game.discount:
        raise ValueError(
            f"`{owner}` got a game with discount = {game.discount:g}, expected 0: its path is "
            "prescribed, and does not wait for what counts less later; leave `discount` out, or "
            "solve the game by `Neural()`."
        )


def _check_straight(owner: str, game: MFG) -> None:
    """Refuses costs and drifts for which no straight line is the best way of a pair."""
    dim = reference(owner, game).dim
    if kinetic_weight(game, dim) is None:
        raise ValueError(
            f"`{owner}` got a game with the Lagrangian `{name_of(game.lagrangian)}`, expected "
            "`Kinetic(weight)`, or `NoCost()`: it regresses the same velocities whatever they "
            "cost; train by `ActionMatching`, whose control is that of the cost, or declare a "
            "soft end, `KL(reference)`, and train by `PathLikelihood` and `TransportCost`."
        )
    times, places, _ = straight_ways(game, dim)
    if jnp.any(jax.vmap(game.dynamics.free)(times, places) != 0):
        raise ValueError(
            f"`{owner}` got a game whose dynamics `{name_of(game.dynamics)}` have a drift, "
            "expected none: a straight line is not the way that costs least beside a drift; train "
            "by `ActionMatching`, or by `PathLikelihood` and `TransportCost`."
        )


def _check_noise(owner: str, name: str, value: float) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(
            f"`{owner}` got {name} = {value}, expected a finite number >= 0: pass {name}=0.0 for "
            "no noise."
        )
