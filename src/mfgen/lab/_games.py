"""Commands about games: whether they are well posed, and how they can be trained."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.markup import escape
from rich.text import Text

from mfgen._check import between
from mfgen.derive._check import check as examine
from mfgen.derive._verdict import Verdict
from mfgen.games._game import MFG
from mfgen.lab import _compiled
from mfgen.lab._answer import Answer, stack, table
from mfgen.lab._case import declared
from mfgen.lab._find import Source, folders, found, refuse
from mfgen.lab._imports import Imports
from mfgen.oracles import _named as oracles
from mfgen.oracles._named import ORACLES
from mfgen.planning._planner import plan as planned
from mfgen.zoo._samples import Points

_DIM = 2  # of an oracle, where none is said
_STYLES = {Verdict.HOLDS: "green", Verdict.FAILS: "bold red", Verdict.UNKNOWN: "yellow"}


@contextmanager
def game_of(owner: str, source: Source, dim: int = _DIM) -> Iterator[tuple[MFG, Points | None]]:
    """The game of an oracle, a recipe or a file, and the samples that it is trained on."""
    _compiled.keep()
    imports = Imports(folders(source.spec), allowed=source.allow_import)
    with imports.blamed():
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
    items = [{**item._asdict(), "status": item.status.value} for item in report]
    counts = {
        verdict.value: sum(i["status"] == verdict.value for i in items) for verdict in Verdict
    }
    rows = []
    for item in report:
        status = f"[{_STYLES[item.status]}]{item.status.value}[/]"
        rows.append([escape(item.name), status, escape(item.evidence), escape(item.repair)])
    view = stack(
        Text(source.spec, style="bold"),
        table("", ["condition", "verdict", "evidence", "repair"], rows),
        ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
        + "; `holds` means that no sample contradicts it",
    )
    return Answer({"name": source.spec, "counts": counts, "items": items}, view)


def plan(source: Source) -> Answer:
    """The ways in which a game can be trained: the first that fits, and what others lack."""
    with game_of("plan", source) as (game, points):
        entries = planned(game, points).entries
    first = next((way.name for way, lack in entries if lack is None), None)
    ways = [
        {"name": way.name, "fits": lack is None, "summary": way.summary, "lack": lack}
        for way, lack in entries
    ]
    rows = []
    for way, lack in entries:
        fits = "[bold green]taken[/]" if way.name == first else "[green]fits[/]"
        said = f"{way.summary} A step: {way.cost}." if lack is None else f"lacks: {lack}"
        rows.append([escape(way.name), fits if lack is None else "", escape(said)])
    view = stack(table(f"Ways of training {source.spec}", ["way", "", "what it is"], rows))
    return Answer({"name": source.spec, "first": first, "ways": ways}, view)
