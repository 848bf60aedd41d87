"""How a trained run is judged, certified, drawn and summed up.

A certificate is made with few points, so that it takes seconds: it tells a per cent from ten. Games
in many dimensions, particles without a control, and games without a first density have none.
"""

import time
from typing import Any

import equinox as eqx
import jax

from mfgen._types import Key
from mfgen.games._game import MFG
from mfgen.lab import _arrays, _figures
from mfgen.lab._case import Case, Watcher
from mfgen.lab._context import Context, NotApplicable
from mfgen.lab._measures import Measure, measure
from mfgen.lab._store import RunFolder
from mfgen.metrics._certificate import certify
from mfgen.models._base import AbstractModel
from mfgen.simulate._base import Unfinished
from mfgen.simulate._solution import Result, Solution, Status, solution
from mfgen.trainers._history import History
from mfgen.zoo import _ranges

_AXES = 16  # above which second and third derivatives take longer than seconds
_FEW: dict[str, Any] = {"times": 3, "points": 64, "steps": 6}


def judge(
    folder: RunFolder,
    case: Case,
    wanted: dict[str, Measure],
    history: History,
    watcher: Watcher,
) -> dict[str, Any]:
    """Finishes a run with the measures that are wanted of it, and returns its summary."""
    began, context, experiment = time.perf_counter(), Context(case), case.experiment
    metrics, skipped, points = {}, {}, {}
    for name, info in wanted.items():
        watcher.stage(f"judging, {info.title}")
        try:
            found, values = measure(info, context)
        except NotApplicable as reason:
            skipped[name] = str(reason)
            continue
        metrics[name] = found._asdict()
        if values is not None:
            points[name] = values
    folder.write_arrays("points.npz", points)
    verdict = None
    if case.evaluation.metrics is None:
        watcher.stage("certificate")
        verdict = certified(folder, case, key=context.key)
    if case.evaluation.figures:
        watcher.stage("figures")
        _arrays.keep(folder, context)
        _figures.keep(folder)
    weights = eqx.filter(case.model, eqx.is_inexact_array)
    summary = {
        "spec": experiment.name,
        "data": experiment.data.name,
        "seed": experiment.seed,
        "steps": experiment.training.steps,
        "best_step": history.best_step,
        "weights": _choice(history),
        "wall_seconds": history.seconds,
        "evaluation_seconds": time.perf_counter() - began,
        "ms_per_step": history.milliseconds_per_step,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(weights)),
        "descent": _arrays.descent(folder),
        "metrics": metrics,
        "skipped": skipped,
        "certificate": verdict,
        "warnings": _ranges.warnings(case.samples),
    }
    folder.finish(summary)
    return summary


def solved(game: MFG, model: Any, said: str, *, key: Key, particles: int) -> Solution:
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


def certified(folder: RunFolder, case: Case, *, key: Key) -> str | None:
    """Writes certificate.json, and returns its verdict or why there is none."""
    game, model, initial = case.game, case.model, case.game.initial
    if case.moved or initial is None:
        return None
    if initial.dim > _AXES:
        return f"Not certified: the game has {initial.dim} axes, more than {_AXES}."
    said = f"{case.experiment.name}, trained {case.experiment.training.steps} steps."
    try:
        found = certify(solved(game, model, said, key=key, particles=512), key=key, **_FEW)
    except (TypeError, ValueError, Unfinished, FloatingPointError) as refusal:
        return f"Not certified: {str(refusal).splitlines()[0]}"
    folder.write_json("certificate.json", found.to_dict())
    return found.verdict


def _choice(history: History) -> dict[str, Any] | None:
    """The weight that was chosen and all that were tried; `None` if it was given."""
    if not history.selection:
        return None
    chosen = next(candidate for candidate in history.selection if candidate.chosen)
    names = ("weight", "loss", "step", "seconds")
    tried = [{name: getattr(one, name) for name in names} for one in history.selection]
    return {"term": chosen.term, "chosen": chosen.weight, "candidates": tried}
