"""The certificate of a run, and what was trained against a solver of the same game.

A certificate is made with few points, so that it takes seconds: it tells a per cent from ten. Games
in many dimensions, particles without a control, and games without a first density have none.
"""

from typing import Any

from mfgen._types import Key
from mfgen.games._game import MFG
from mfgen.lab._case import Case
from mfgen.lab._store import RunFolder
from mfgen.metrics._certificate import certify
from mfgen.models._base import AbstractModel
from mfgen.simulate._base import Unfinished
from mfgen.simulate._solution import Result, Solution, Status, solution

_NAME = "certificate.json"
_AXES = 16  # above which second and third derivatives take longer than seconds
_FEW: dict[str, Any] = {"times": 3, "points": 64, "steps": 6}
_PARTICLES = 512


def solved(game: MFG, model: Any, said: str, *, key: Key, particles: int = _PARTICLES) -> Solution:
    """What was trained as a solution of its game.

    Raises:
        ValueError: for particles, which have no control, or a game without a first density.
    """
    if not isinstance(model, AbstractModel):
        raise ValueError(
            "the run moved particles, which have no control, expected one that trained a model: "
            "compare their samples."
        )
    return solution(game, model, key=key, particles=particles, result=Result(Status.TRAINED, said))


def keep(folder: RunFolder, case: Case, *, key: Key) -> str | None:
    """Writes certificate.json, and returns its verdict or why there is none."""
    game, model, initial = case.game, case.model, case.game.initial
    if case.moved or initial is None:
        return None
    said = f"{case.experiment.name}, trained {case.experiment.training.steps} steps."
    if initial.dim > _AXES:
        return f"Not certified: the game has {initial.dim} axes, more than {_AXES}."
    try:
        found = certify(solved(game, model, said, key=key), key=key, **_FEW)
    except (TypeError, ValueError, Unfinished, FloatingPointError) as refusal:
        return f"Not certified: {str(refusal).splitlines()[0]}"
    folder.write_json(_NAME, found.to_dict())
    return found.verdict
