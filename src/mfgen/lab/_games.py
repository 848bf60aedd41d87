"""Commands about games: whether they are well posed, and how they can be trained."""

from collections.abc import Iterator
from contextlib import contextmanager

from mfgen._check import between
from mfgen.derive._check import check as examine
from mfgen.games._game import MFG
from mfgen.lab import _compiled
from mfgen.lab._answer import Answer, stack
from mfgen.lab._case import declared
from mfgen.lab._find import Source, found, refuse
from mfgen.oracles import _named as oracles
from mfgen.oracles._named import ORACLES
from mfgen.planning._planner import plan as planned
from mfgen.zoo._samples import Points

_DIM = 2  # of an oracle, where none is said


@contextmanager
def game_of(owner: str, source: Source, dim: int = _DIM) -> Iterator[tuple[MFG, Points | None]]:
    """The game of an oracle, a recipe or a file, and the samples that it is trained on."""
    _compiled.keep()
    with source.imports().blamed() as imports:
        if source.spec in ORACLES:
            refuse(owner, source)
            yield oracles.build(source.spec, dim).solution.game, None
        else:
            _, samples, game, _ = declared(found(owner, source, {"an oracle": ORACLES}), imports)
            yield game, None if samples.is_energy else samples.train


def check(source: Source, *, spacing: float | None, step: float | None) -> Answer:
    """Whether a game is well posed, with evidence and repairs."""
    between("check", 1e-9, 1e9, **{"--spacing": spacing, "--step": step})
    with game_of("check", source) as (game, _):
        report = examine(game, game.initial, spacing=spacing, step=step)
    document = report.to_dict()
    told = ", ".join(f"{count} {verdict}" for verdict, count in document["counts"].items() if count)
    view = stack(source.spec, str(report), f"{told}; `holds` means that no sample contradicts it")
    return Answer({"name": source.spec, **document}, view)


def plan(source: Source) -> Answer:
    """The ways in which a game can be trained: the first that fits, and what others lack."""
    with game_of("plan", source) as (game, points):
        found = planned(game, points)
    return Answer({"name": source.spec, **found.to_dict()}, str(found))
