"""Residuals of a candidate point by point: root mean squares over the game and its particles.

    hjb            -dt U + H - (sigma^2/2) lap U - dI/drho           cost per unit of time
    fokker_planck  (dt rho + div(rho b) - (sigma^2/2) lap rho)/rho   per unit of time
    terminal       U(T, x) - dM/drho(rho(T))(x)                      cost

    rms^2 = (1/T) int_0^T E_rho(t) r^2 dt,

in time by a Gauss-Legendre rule, in space by independent samples, or by particles that stay with
their paths, whose spread gives the standard error (`mean_of_rows`); of couplings of a sampled crowd
by products of independent crowds, with their error (`mfgen.metrics._crowds`). Each comes with a
scale, the root mean square of the terms that should cancel: their ratio says which part of the
equation is left over.

Reference: B. J. Zhang, M. A. Katsoulakis (2023), arXiv 2304.13534, section 2.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfgen._types import Batch, Key, Scalar, State, Time
from mfgen.densities._base import AbstractDensity
from mfgen.derive._hamiltonian import hamiltonian, steered
from mfgen.derive._residual import Path, continuity, game_jet, hjb_from_jet, terminal
from mfgen.games._game import MFG
from mfgen.math._quadrature import Rule
from mfgen.metrics._crowds import crowds, mean_square
from mfgen.metrics._estimate import Estimate, Profile, mean_estimate, root_in_reach
from mfgen.models._base import AbstractModel
from mfgen.simulate._solution import Solution

_CHUNK = 256

# Where a residual is taken: (t, key) -> points `[n, dim]`.
Places = Callable[[Time, Key], Batch]
Pair = tuple[Float[Array, "n"], Float[Array, "n"]]


class Residual(NamedTuple):
    """A residual over the game.

    Attributes:
        overall: its root mean square.
        profile: the same at each time.
        scale: the root mean square of the terms that should cancel.
        around: as `overall`, of the residual less its mean at each time.
    """

    overall: Estimate
    profile: Profile
    scale: float
    around: Estimate | None = None


class Mismatch(NamedTuple):
    """A function that should vanish: its root mean square, and its spread around its mean.

    Attributes:
        overall: the root mean square.
        spread: the standard deviation, what is left after the best constant is subtracted.
        offset: the mean.
        scale: standard deviations of the two sides, added; with that of U at the start where
            there is no cost of the end, beside which all of U(T) is wrong.
    """

    overall: Estimate
    spread: Estimate
    offset: Estimate
    scale: float


def hjb_residual(solution: Solution, rule: Rule, places: Places, *, key: Key) -> Residual:
    """The HJB residual at the nodes of a rule in time and at the places drawn there."""

    game, u = solution.game, solution.value

    def at(t: float, x: Batch) -> list[Pair]:
        law = None if solution.density is None else solution.density(t)
        seen = crowds(game.interaction, law)
        return [_hjb(game, u, crowd, jnp.asarray(t, x.dtype), x) for crowd in seen]

    return _over_time(at, rule, places, key)


def fokker_planck_residual(
    solution: Solution, density: Callable, rule: Rule, places: Places, *, key: Key
) -> Residual:
    """The relative Fokker-Planck residual of a path of log-densities, likewise.

    Raises:
        TypeError: the densities have no logarithm, or the path takes no traced time.
    """
    game, model = solution.game, solution.model
    at = lambda t, x: [_fokker_planck(game, model, density, jnp.asarray(t, x.dtype), x)]
    found = _over_time(at, rule, places, key)
    return found._replace(scale=found.scale + 1 / game.dynamics.horizon)


def terminal_mismatch(solution: Solution, places: Places, *, key: Key) -> Mismatch:
    """U(T, x) - dM/drho(x) at places drawn at the end of the game."""
    horizon = solution.game.dynamics.horizon
    law = None if solution.density is None else solution.density(horizon)
    x = places(horizon, key)
    seen = crowds(solution.game.terminal, law)
    pairs = [_terminal(solution.game, solution.value, crowd, x) for crowd in seen]
    value, missed = pairs[0][1], jnp.stack([missed for missed, _ in pairs])
    scale = jnp.std(value) + jnp.std(value - jnp.mean(missed, axis=0))
    if solution.game.terminal.vanishes:
        began = jax.vmap(solution.value, (None, 0))(jnp.zeros((), x.dtype), places(0.0, key))
        scale = scale + jnp.std(began)
    share, table = jnp.ones(1, missed.dtype), missed[:, None]
    overall, spread = (
        root_in_reach(mean_square(share, table)),
        root_in_reach(mean_square(share, _centred(table))),
    )
    return Mismatch(overall, spread, mean_estimate(jnp.mean(missed, axis=0)), float(scale))


def _over_time(at: Callable[[float, Batch], list[Pair]], rule: Rule, places: Places, key: Key):
    keys = jax.random.split(key, len(rule.nodes))
    columns, scales = [], []
    for t, time_key in zip(rule.nodes.tolist(), keys, strict=True):
        pairs = at(t, places(t, time_key))
        columns.append(jnp.stack([residual for residual, _ in pairs]))
        scales.append(float(jnp.mean(jnp.square(pairs[0][1]))))
    table = jnp.stack(columns, axis=1)
    share = jnp.asarray(rule.weights / rule.weights.sum(), table.dtype)
    alone = jnp.ones(1, table.dtype)
    found = [root_in_reach(mean_square(alone, table[:, k : k + 1])) for k in range(len(columns))]
    values, errors = (jnp.stack(column) for column in zip(*found, strict=True))
    profile = Profile(jnp.asarray(rule.nodes, table.dtype), values, errors)
    scale = float(np.sqrt(np.asarray(share) @ np.asarray(scales)))
    overall, around = (root_in_reach(mean_square(share, part)) for part in (table, _centred(table)))
    return Residual(overall, profile, scale, around)


def _centred(table: Float[Array, "b m n"]) -> Float[Array, "b m n"]:
    """Less the mean over the points of each time, in each crowd."""
    return table - jnp.mean(table, axis=-1, keepdims=True)


def _map(single: Callable, x: Batch) -> Pair:
    return jax.lax.map(single, x, batch_size=min(_CHUNK, x.shape[0]))


def _constant(law: AbstractDensity | None) -> Path | None:
    return None if law is None else lambda _: law


@eqx.filter_jit
def _hjb(game: MFG, u: Callable, law: AbstractDensity | None, t: Scalar, x: Batch) -> Pair:
    def single(x: State) -> tuple[Scalar, Scalar]:
        jet = game_jet(game, u, t, x)
        path = _constant(law)
        size = jnp.abs(jet.heat) + jnp.abs(hamiltonian(game, t, x, jet.gradient))
        size = size + game.discount * jnp.abs(jet.value)
        return hjb_from_jet(game, jet, path, t, x), size

    return _map(single, x)


@eqx.filter_jit
def _fokker_planck(game: MFG, model: AbstractModel, density: Callable, t: Scalar, x: Batch) -> Pair:
    def velocity(x: State) -> State:
        return steered(game, t, x, model.control(game, t, x))

    def single(x: State) -> tuple[Scalar, Scalar]:
        residual = continuity(game, velocity, density, t, x)
        log_density = lambda t: density(t).log_density(x)
        slope = jax.jvp(log_density, (t,), (jnp.ones_like(t),))[1]
        return residual, jnp.abs(slope) + jnp.abs(residual - slope)

    return _map(single, x)


@eqx.filter_jit
def _terminal(game: MFG, u: Callable, law: AbstractDensity | None, x: Batch) -> Pair:
    path = _constant(law)
    value = lambda x: u(game.dynamics.horizon, x)
    return _map(lambda x: (terminal(game, u, path, x), value(x)), x)
