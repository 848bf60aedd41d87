"""Residuals of a game's equations at the answer of `Riccati`.

The coefficients that Riccati's equations are made of are read off a game at some points, and are
trusted elsewhere. Here nothing of them is used: value and density are put into the equations of the
declared game, with its own L, I, M and drift, at random times of every piece and at random places,

    hjb         -dt U + r U + H(t, x, grad U) - (sigma^2/2) lap U - dI/drho(N(m, C))(x)
    terminal    U(T, x) - dM/drho(N(m, C)(T))(x)
    mean        m' - b(t, m),     b = a + g v*(t, ., grad U)
    covariance  C' - Db C - C Db^T - sigma^2 I

each relative to the sizes of its terms. As U is quadratic and b affine in a linear-quadratic game,
that the derivatives are right at every place is what makes the moments right.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfgen._types import Scalar, State
from mfgen.derive._hamiltonian import drift, optimal_control
from mfgen.derive._residual import diffusivity
from mfgen.games._game import MFG
from mfgen.math._linear_map import image, matrix, trace

_TIMES = 64  # of each kind: at nodes, and between them
_REACH = (0.1, 6.0)  # of places, in deviations of the population
_NAMES = (
    "Hamilton-Jacobi-Bellman equation",
    "terminal condition",
    "equation of the mean",
    "equation of the covariance",
)


class Residual(NamedTuple):
    """The largest relative residual, infinite if one is not finite, and whose it is.

    Attributes:
        nodes: at times where the derivatives of the answer are those of its equations: rounding.
        between: at random times between them: what the cubic pieces leave, too.
        equation: the one with the largest residual.
    """

    nodes: float
    between: float
    equation: str


def residual(game: MFG, value, density) -> Residual:
    """The residuals of the equations.

    Arguments:
        game: the game.
        value: a `QuadraticPotential`.
        density: a `GaussianPath`.
    """
    pieces, dim = density.mean.values.shape[0] - 1, density.mean.values.shape[1]
    rng = np.random.default_rng(_TIMES + dim)
    at_nodes = np.concatenate([[0, pieces], rng.integers(0, pieces + 1, _TIMES - 2)]) / pieces
    between = (np.arange(_TIMES) + rng.uniform(size=_TIMES)) / _TIMES
    sizes = rng.permutation(np.geomspace(*_REACH, 2 * _TIMES))
    places = sizes[:, None] * rng.normal(size=(2 * _TIMES, dim))
    times = jnp.asarray(np.concatenate([at_nodes, between]) * game.dynamics.horizon, float)
    found = np.asarray(_relative(game, value, density, times, jnp.asarray(places, times.dtype)))
    found = np.where(np.isfinite(found), found, np.inf)
    worst = _NAMES[int(found.max(0).argmax())]
    return Residual(float(found[:_TIMES].max()), float(found[_TIMES:].max()), worst)


@eqx.filter_jit
def _relative(game: MFG, value, density, times: Array, places: Array) -> Float[Array, "n 4"]:
    def at(t: Scalar, z: State) -> Float[Array, "4"]:
        there = lambda t: density.mean(t) + jnp.sqrt(jnp.diag(density.covariance(t))) * z
        hjb = _ratio(*_hjb(game, value, density, t, there(t)))
        last = jnp.asarray(game.dynamics.horizon, t.dtype)
        mean, covariance = _moving(game, value, density, t)
        return jnp.stack([hjb, _ratio(*_last(game, value, density, there(last))), mean, covariance])

    return jax.vmap(at)(times, places)


def _hjb(game: MFG, value, density, t: Scalar, x: State) -> tuple[Scalar, Scalar]:
    """The residual, and the sizes of its terms together."""
    hessian, slope, constant = value.hessian, value.slope, value.constant
    costate = hessian(t) @ x + slope(t)
    one = jnp.ones_like(t)
    change = lambda path: jax.jvp(path, (t,), (one,))[1]
    moving = 0.5 * x @ change(hessian) @ x, change(slope) @ x, change(constant)
    v = optimal_control(game, t, x, costate)
    terms = (
        *(-part for part in moving),
        game.discount * value(t, x),
        -costate @ image(game.dynamics.gain(t), v),
        -game.lagrangian(t, x, v),
        -costate @ game.dynamics.free(t, x),
        -trace(diffusivity(game, t), hessian(t)),
        -game.interaction.variation(density(t), x),
    )
    stacked = jnp.stack([jnp.asarray(term, x.dtype) for term in terms])
    return jnp.sum(stacked), jnp.sum(jnp.abs(stacked))


def _last(game: MFG, value, density, x: State) -> tuple[Scalar, Scalar]:
    horizon = jnp.asarray(game.dynamics.horizon, x.dtype)
    u, wanted = value(horizon, x), game.terminal.variation(density(horizon), x)
    hessian, slope = value.hessian(horizon), value.slope(horizon)
    size = 0.5 * jnp.abs(x) @ jnp.abs(hessian) @ jnp.abs(x) + jnp.abs(slope) @ jnp.abs(x)
    return u - wanted, size + jnp.abs(value.constant(horizon)) + jnp.abs(wanted)


def _moving(game: MFG, value, density, t: Scalar) -> tuple[Scalar, Scalar]:
    """Residuals of the equations of mean and covariance."""
    b = lambda x: drift(game, t, x, value.hessian(t) @ x + value.slope(t))
    one = jnp.ones_like(t)
    (mean, mean_change), (spread, change) = (
        jax.jvp(path, (t,), (one,)) for path in (density.mean, density.covariance)
    )
    jacobian = jax.jacfwd(b)(mean)
    flow = jacobian @ spread
    noise = 2 * matrix(diffusivity(game, t), mean.shape[0])
    size = jnp.abs(jacobian) @ jnp.abs(spread)
    return (
        _ratio(mean_change - b(mean), jnp.abs(jacobian) @ jnp.abs(mean) + jnp.abs(b(mean))),
        _ratio(change - flow - flow.T - noise, size + size.T + noise),
    )


def _ratio(left: Array, size: Array) -> Scalar:
    """The largest of what is left, relative to the largest of its terms and to one."""
    return jnp.max(jnp.abs(left)) / (jnp.max(size) + 1)
