"""The parts of a game's cost that a loss is made of, with their multiples.

    J = int_0^T e^{-r t} ( E L + I ) dt + e^{-r T} M

A loss states the multiples of the parts of J that it is made of, `Pays(lagrangian=1.0)` for E int L
say, where nothing depends on the particles' paths left out. Others are of no such form: a residual
asks for one of the equations of the game, score matching and the like train a model of the whole
game at once, and a regulariser of the parametrisation pays for nothing. `mfgen.losses._coverage`
compares what a sum of losses states with the game.

Reference: B. J. Zhang, M. A. Katsoulakis (2023), arXiv 2304.13534, section 2 (J).
"""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfgen._types import Batch, Scalar, State
from mfgen.densities._base import AbstractEvaluable
from mfgen.derive._probe import laws
from mfgen.functionals._functional import AbstractFunctional
from mfgen.functionals._local import local_curvature
from mfgen.games._game import MFG
from mfgen.math._linear_map import source_size

_PLACES = 8  # where a terminal cost is held against a divergence
_WAYS = 64  # straight ways on which a Lagrangian is looked at
_HEIGHTS = (-1.5, 0.5)  # log-densities there
_CLOSE = 1e-3  # relative; costs are evaluated in single precision


class Pays(NamedTuple):
    """The parts of a game's cost in a loss.

    Attributes:
        lagrangian, interaction, terminal: multiples of E int L, int I and M in it, as they stand
            in J, discount included.
        equations: which of the game's equations it asks for: "hjb", "terminal".
        whole: whether its minimiser is the solution of the game, whatever it is made of.
    """

    lagrangian: float = 0.0
    interaction: float = 0.0
    terminal: float = 0.0
    equations: frozenset[str] = frozenset()
    whole: bool = False

    @property
    def shares(self) -> dict[str, float]:
        """The multiples of the parts of J by their names."""
        return {name: getattr(self, name) for name in ("lagrangian", "interaction", "terminal")}


NOTHING, WHOLE = Pays(), Pays(whole=True)


def pays_divergence(owner: str, game: MFG, goal: AbstractEvaluable) -> Pays:
    """The parts in a loss that is KL(rho(T) || goal) up to a constant.

    Raises:
        ValueError: in the name of `owner`, if the terminal cost is no multiple of it.
    """
    weight = divergence_weight(game.terminal, goal, _places(game, goal))
    if weight is None:
        raise ValueError(
            f"`{owner}` got a game with the terminal cost `{name_of(game.terminal)}`, expected a "
            f"multiple of `KL(goal)`, which is all that it pays for: {remedy(game.terminal)}."
        )
    return Pays(terminal=undiscounted(game) / weight)


def undiscounted(game: MFG) -> float:
    """e^{r T}: what is paid at T counts e^{-r T} in the game; as large as numbers are, at most."""
    return math.exp(min(game.discount * game.dynamics.horizon, 700.0))


def divergence_weight(
    functional: AbstractFunctional, goal: AbstractEvaluable, places: Batch
) -> float | None:
    """c if the functional is c KL(. || goal) up to a constant, c > 0, and else `None`.

    It is told by the first variation, c (log rho - log goal) + constant, at some places.
    """

    heights = jnp.asarray(_HEIGHTS, places.dtype)
    try:
        found = _variations(functional, goal, places, heights)
    except TypeError:  # it asks for more of the population than its density at the place
        return None
    value, slope, log_goal = (np.asarray(part, float) for part in found)
    weight = float(np.median(slope))
    rest = value - weight * (heights[None] - log_goal)
    size = np.abs(value).max() + abs(weight) * np.abs(log_goal).max()
    linear = np.allclose(slope, weight, rtol=_CLOSE, atol=0)
    if not (weight > 0 and linear and np.ptp(rest) <= _CLOSE * size):
        return None
    return weight


def kinetic_weight(game: MFG, dim: int) -> float | None:
    """k if L = (k / 2) |v|^2 wherever one looks, 0 for L = 0, and else `None`.

    One looks on straight lines between where particles start and where they are to go.

    Arguments:
        game: the game.
        dim: the dimension of its state.
    """
    v, cost = _costs(game, *straight_ways(game, dim))
    found = 2 * np.asarray(cost, float) / np.sum(np.square(np.asarray(v, float)), axis=1)
    weight = float(found.mean())
    same = np.isfinite(weight) and np.allclose(found, weight, rtol=_CLOSE, atol=0)
    return weight if same else None


def straight_ways(game: MFG, dim: int) -> tuple[Float[Array, "n"], Batch, Batch]:
    """Times, places and velocities on straight lines from where particles start to their goal."""
    drawn = laws(game, game.initial)
    if drawn and drawn[0].dim == dim:
        keys = jax.random.split(jax.random.key(0))
        first, last = (
            jnp.asarray(law.sample(_WAYS, key=key), float)
            for law, key in zip((drawn[0], drawn[-1]), keys, strict=True)
        )
    else:
        first, last = jax.random.normal(jax.random.key(0), (2, _WAYS, dim), float)
    share = jax.random.uniform(jax.random.key(1), (_WAYS,), first.dtype)
    move = last - first
    horizon = game.dynamics.horizon
    return horizon * share, first + share[:, None] * move, move / horizon


def remedy(terminal: AbstractFunctional) -> str:
    """Advice for a terminal cost that a loss does not contain."""
    if terminal.constrains:
        return (
            "a prescribed end is trained by `Augmented(Gradient(model, GameCost()))`, or paid for "
            "by `FlowMatching`, `StochasticInterpolant` or `ActionMatching`; for a soft one "
            "declare `terminal=weight * KL(goal)`"
        )
    return (
        "train by `GameCost()`, declare `terminal=weight * KL(goal)`, or solve the game as it is "
        "by `Neural()` or `Grid(box)`"
    )


def name_of(part: object) -> str:
    """The class of a part of a game; of a scaled functional with its factor."""
    inner = getattr(part, "functional", None)
    if isinstance(inner, AbstractFunctional):
        return f"{float(getattr(part, 'scale', 1.0)):g} * {name_of(inner)}"
    terms = getattr(part, "terms", None)
    if isinstance(terms, tuple) and terms:
        return " + ".join(map(name_of, terms))
    return type(part).__name__


@eqx.filter_jit
def _variations(
    functional: AbstractFunctional, goal: AbstractEvaluable, places: Batch, heights: Array
) -> tuple[Array, Array, Array]:
    """dF/drho and its slope in log rho, and log goal: at all places, for all log-densities."""

    def at(x: State, height: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        return *local_curvature(functional, x, height), goal.log_density(x)

    return jax.vmap(jax.vmap(at, in_axes=(None, 0)), in_axes=(0, None))(places, heights)


@eqx.filter_jit
def _costs(
    game: MFG, t: Array, x: Batch, velocity: Batch
) -> tuple[Float[Array, "n control"], Float[Array, "n"]]:
    """Controls at places of straight ways, and L at them.

    Every other control is the velocity there; the others have speeds from .03 to 3 of those, since
    a cost may change its character with the speed.
    """
    dim = x.shape[1]
    control = source_size(game.dynamics.gain(jnp.asarray(0.5 * game.dynamics.horizon)), dim)
    speed = jnp.sqrt(jnp.mean(jnp.square(velocity)))
    sizes = jnp.where(speed > 0, speed, 1.0) * jnp.geomspace(0.03, 3.0, _WAYS)
    v = sizes[:, None] * jax.random.normal(jax.random.key(2), (_WAYS, control), x.dtype)
    if control == dim:
        taken = (jnp.arange(_WAYS) % 2 == 0) & jnp.any(velocity != 0, axis=1)
        v = jnp.where(taken[:, None], velocity, v)
    return v, jax.vmap(game.lagrangian)(t, x, v)


def _places(game: MFG, goal: AbstractEvaluable) -> Batch:
    drawn = goal if game.initial is None else game.initial
    return jnp.asarray(drawn.sample(_PLACES, key=jax.random.key(0)), float)
