"""The plan of a game: every way of training, the first that fits, and what the others lack.

A way fits a game if it has all that the way needs (`mfgen.planning._needs`), and if its losses are
the game's own: nothing left out, paid twice or contradicted (`mfgen.losses._coverage`). Nothing is
trained for it.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mfgen import _check
from mfgen._types import Batch, Given
from mfgen.data._validate import check_samples
from mfgen.densities._base import AbstractEvaluable
from mfgen.games._game import MFG
from mfgen.losses._payment import name_of
from mfgen.planning._ways import WAYS, Way
from mfgen.trainers._trainer import Problem, check_dimension


class Entry(NamedTuple):
    """A way of training, held against a game.

    Attributes:
        way: the way.
        lack: what the game lacks for it, in a sentence; `None` where it fits.
    """

    way: Way
    lack: str | None


class Plan(NamedTuple):
    """The ways in which a game can be trained.

    Attributes:
        game: the game.
        data: its samples, if there are any.
        entries: all ways in the order in which they are preferred.

    Example:

        print(mfgen.plan(game))
        run = mfgen.train(game, key=key, way=mfgen.plan(game).fitting[0])
    """

    game: MFG
    data: Batch | None
    entries: tuple[Entry, ...]

    @property
    def fitting(self) -> tuple[str, ...]:
        """The names of the ways that fit, the preferred first."""
        return tuple(entry.way.name for entry in self.entries if entry.lack is None)

    def way(self, name: str | None = None) -> Way:
        """The way of that name, or the first that fits.

        Raises:
            ValueError: if there is none, or it does not fit; what the game lacks is said.
        """
        known = {entry.way.name: entry for entry in self.entries}
        if name is None:
            for entry in self.entries:
                if entry.lack is None:
                    return entry.way
            nearest = max(self.entries, key=lambda entry: entry.way.met(self.game, self.data))
            raise ValueError(
                "`train` got a game that no way of training fits, expected one that does: for "
                f"{nearest.way.name!r}, the nearest, it lacks: {nearest.lack}; for the others see "
                "`mfgen plan`, or `print(plan(game))`."
            )
        if name not in known:
            raise ValueError(
                f"`train` got way = {name!r}, expected one of {', '.join(self.fitting)}: see "
                "`print(plan(game))`."
            )
        if known[name].lack is not None:
            raise ValueError(
                f"`train` got way = {name!r}, which does not fit the game ({known[name].lack}), "
                f"expected one of {', '.join(self.fitting)}: see `print(plan(game))`."
            )
        return known[name].way

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain data for JSON: the way that is taken, and all of them."""
        ways = [
            {"name": way.name, "fits": lack is None, "summary": way.summary, "lack": lack}
            for way, lack in self.entries
        ]
        return {"first": next(iter(self.fitting), None), "ways": ways}

    def __str__(self) -> str:
        game, first = self.game, next(iter(self.fitting), None)
        told = f"{name_of(game.dynamics)}, {name_of(game.lagrangian)}, {name_of(game.terminal)}"
        if not game.interaction.vanishes:
            told += f", interaction {name_of(game.interaction)}"
        wide = max(len(entry.way.name) for entry in self.entries)
        lines = [f"Ways of training {told}:"]
        for way, lack in self.entries:
            mark = ">" if way.name == first else " " if lack else "+"
            said = f"{way.summary} A step: {way.cost}." if lack is None else f"lacks: {lack}."
            lines.append(f"{mark} {way.name:{wide}}  {said}")
        last = "> is taken by `train`, + fit as well."
        if first is None:
            last = "No way fits: give the game what it lacks for one of them."
        return "\n".join([*lines, last])


def plan(game: MFG, data: Given | None = None) -> Plan:
    """Lists the ways of training a game, the first that fits, and what it lacks for the others.

    Arguments:
        game: the game.
        data: samples of the data, `[n, dim]`; those that the game was declared with if absent,
            where it keeps them.

    Raises:
        TypeError, ValueError: for what is no game, or no samples of its dimension.

    Example:

        print(mfgen.plan(game))
    """
    samples = _checked(game, data)
    return Plan(game, samples, tuple(Entry(way, _lack(way, game, samples)) for way in WAYS))


def preferred(game: MFG, data: Given | None = None) -> Way | None:
    """The first way of a plan that fits; the ways after it are not looked at."""
    samples = _checked(game, data)
    return next((way for way in WAYS if _lack(way, game, samples) is None), None)


def _checked(game: MFG, data: Given | None) -> Batch | None:
    """The samples of a game, as `plan` takes them."""
    _check.of_kind("plan", "game", game, MFG, "pass the game, MFG(dynamics, lagrangian, terminal)")
    samples = _samples(game, data)
    check_dimension("plan", game, "data", samples)
    return samples


def _samples(game: MFG, data: Given | None) -> Batch | None:
    """The data that are given, or those that the game was declared with."""
    if data is not None:
        return jnp.asarray(check_samples(data, name="data"))
    law = game.initial if game.data_at == "start" else game.terminal.goal
    if law is None or isinstance(law, AbstractEvaluable):
        return None
    return law.particles()[0]


def _lack(way: Way, game: MFG, data: Batch | None) -> str | None:
    for need in way.needs:
        if not need.met(game, data):
            return need.lack(game).removesuffix(".")
    key = jax.random.key(0)
    try:
        way.trainer(game, key=key).prepared(Problem(game, data), 1, key=key)
    except (TypeError, ValueError) as error:
        return _reason(error)
    return None


def _reason(error: Exception) -> str:
    """The first part of an error: what it got, without what is expected."""
    told = _check.reason(error).split(", expected")[0]
    return told.removesuffix(".")
