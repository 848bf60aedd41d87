"""The needs of ways of training: a condition on the game each, and a sentence if it is not met.

A way of training is right for the games in which its loss has the game's optimum as its minimiser.
Which parts of a game that takes is known from the formulas (`mfgen.losses._payment`, by which sums
of losses are compared with a game); the needs here are those that tell one way from another.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from mfgen._types import Batch
from mfgen.costs._cost import ScoreLagrangian
from mfgen.densities._gaussian import Gaussian
from mfgen.derive._score_based import is_score_based
from mfgen.dynamics._noising import TimeReversal, reversed_noising
from mfgen.functionals._functional import Zero, needs_log_density, needs_population, refusal
from mfgen.functionals._lipschitz import duals
from mfgen.games._game import MFG
from mfgen.losses._flow import PathLikelihood, ReverseKL
from mfgen.losses._payment import kinetic_weight, name_of


class Need(NamedTuple):
    """A part of a game, or of what comes with it, that a way of training stands on.

    Attributes:
        met: whether a game, with samples or none, has it.
        lack: a sentence on a game that does not.
    """

    met: Callable[[MFG, Batch | None], bool]
    lack: Callable[[MFG], str]


def _pays(loss: PathLikelihood | ReverseKL, game: MFG) -> bool:
    try:
        return loss.pays(game).terminal > 0
    except (TypeError, ValueError):
        return False


def _end(game: MFG) -> str:
    return f"the terminal cost `{name_of(game.terminal)}`"


def _solved_by_value(game: MFG, data: Batch | None) -> bool:
    assert game.initial is not None
    return kinetic_weight(game, game.initial.dim) != 0


def _unknown(game: MFG) -> str | None:
    """The reason why a cost cannot be evaluated even at a population with a log-density."""
    assert game.initial is not None
    point = jnp.zeros(game.initial.dim)
    law = Gaussian(point, 1.0)
    reasons = (refusal(cost, law, point) for cost in (game.interaction, game.terminal))
    return next((reason for reason in reasons if reason is not None), None)


def _asks_density(game: MFG, data: Batch | None) -> bool:
    assert game.initial is not None
    costs = (game.interaction, game.terminal)
    return any(needs_log_density(cost, game.initial.dim) for cost in costs)


def _uncoupled(game: MFG, data: Batch | None) -> bool:
    assert game.initial is not None
    point = jnp.zeros(game.initial.dim)
    return not any(needs_population(cost, point) for cost in (game.interaction, game.terminal))


def with_score(game: MFG) -> MFG:
    """The score-based game of the same noising and data, at the costs that make it one."""
    points = game.dynamics.of_points
    assert isinstance(points, TimeReversal)
    lagrangian = ScoreLagrangian(points)
    return dataclasses.replace(game, lagrangian=lagrangian, interaction=Zero(), discount=0.0)


def _reverses(game: MFG, data: Batch | None) -> bool:
    # The names of the parts are looked at first: the comparison of games takes time.
    if reversed_noising(game.dynamics) is None or is_score_based(game):
        return False
    return is_score_based(with_score(game), named=True)


SAMPLES = Need(
    lambda game, data: data is not None,
    lambda game: "no samples of the data are given: pass them as `data`",
)
INITIAL = Need(
    lambda game, data: game.initial is not None,
    lambda game: "no initial density that particles start from",
)
SCORE = Need(
    lambda game, data: is_score_based(game),
    lambda game: "not score-based: its value function is not -log rho (see `score_based`)",
)
REVERSED = Need(
    _reverses,
    lambda game: "no game of reversed noising at costs other than those of the score",
)
FORWARD = Need(
    lambda game, data: game.data_at == "end",
    lambda game: 'the data are at the start (data_at = "start")',
)
BACKWARD = Need(
    lambda game, data: game.data_at == "start",
    lambda game: "the data are at the end, not at the start",
)
SMOOTH = Need(
    lambda game, data: game.dynamics.deterministic,
    lambda game: "particles move with noise",
)
NOISE = Need(
    lambda game, data: not game.dynamics.deterministic,
    lambda game: "particles move without noise",
)
KNOWN = Need(
    lambda game, data: _unknown(game) is None,
    lambda game: (_unknown(game) or "").partition("\n")[0],
)
UNCOUPLED = Need(
    _uncoupled,
    lambda game: "what is paid depends on the others",
)
COST = Need(
    lambda game, data: not game.terminal.constrains,
    lambda game: f"{_end(game)} is prescribed, zero or infinite",
)
PRESCRIBED = Need(
    lambda game, data: game.terminal.constrains,
    lambda game: f"{_end(game)} is a cost, no end that is prescribed",
)
DIVERGENCE = Need(
    lambda game, data: _pays(PathLikelihood(), game),
    lambda game: f"{_end(game)} is no multiple of `KL(goal)`",
)
ENERGY = Need(
    lambda game, data: _pays(ReverseKL(), game),
    lambda game: f"{_end(game)} is no multiple of `KL(goal)`",
)
CRITIC = Need(
    lambda game, data: bool(duals(game.terminal)),
    lambda game: f"{_end(game)} has no critic",
)
NO_CRITIC = Need(
    lambda game, data: not duals(game.terminal),
    lambda game: f"{_end(game)} has a critic, which is trained in turn",
)
ALONE = Need(
    lambda game, data: game.interaction.vanishes,
    lambda game: f"it pays for no interaction, and there is `{name_of(game.interaction)}`",
)
DISCOUNTED = Need(
    lambda game, data: game.discount * game.dynamics.horizon > 1,
    lambda game: "no discount that hides the end from the start",
)
DENSITY = Need(
    _asks_density,
    lambda game: "no cost that asks for log rho, which samples will do for",
)
HAMILTONIAN = Need(
    _solved_by_value,
    lambda game: f"the Lagrangian `{name_of(game.lagrangian)}` has no Hamiltonian",
)
