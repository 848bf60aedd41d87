"""The training loop: stochastic gradient descent on an objective, many steps per dispatch.

    J(theta) = sum_k weight_k objective_k(theta)  ->  records, validations, checkpoints

Steps run inside one compiled loop on the device (`mfgen.train.step`); the host looks in only to
report, validate and save. The random numbers of a step follow from the run's key and the number of
the step, so any way of cutting the run into pieces gives the same parameters. With validation, the
best average of all records is returned; with several weights to choose from, the best of all
trainings (`mfgen.train.selection`).

References: L. Prechelt (1998), "Early stopping, but when?"; those of `mfgen.train.step`.
"""

import math
import time
import warnings
from collections.abc import Mapping, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from mfgen import _check
from mfgen._types import Batch, Count, Given, Key
from mfgen.data.repeats import shared
from mfgen.data.validate import check_samples
from mfgen.math.count import count
from mfgen.models.base import AbstractModel
from mfgen.problem.dynamics import positive
from mfgen.problem.game import MFG
from mfgen.simulate.base import at_points
from mfgen.train import selection
from mfgen.train.coverage import check_coverage
from mfgen.train.failure import NonFiniteError
from mfgen.train.history import Callback, History
from mfgen.train.objective import AbstractObjective, Combination
from mfgen.train.settings import described
from mfgen.train.state import Checkpoints, TrainState, begin
from mfgen.train.step import Plan, compiled, default_optimiser, initial
from mfgen.train.validation import Validation


def fit(
    game: MFG,
    model: AbstractModel,
    objective: AbstractObjective,
    data: Given | None = None,
    *,
    steps: Count,
    key: Key,
    learning_rate: float = 5e-3,
    optimiser: optax.GradientTransformation | None = None,
    batch_size: Count = 256,
    average: float = 0.999,
    clip: float = 10.0,
    validation: Given | None = None,
    select: Mapping[str, Sequence[float]] | None = None,
    callback: Callback | None = None,
    every: Count = 100,
    checkpoints: Checkpoints | None = None,
    resume: bool = False,
) -> tuple[AbstractModel, History]:
    """Trains a model and returns it with averaged parameters, and the history.

    Arguments:
        game, model, objective: what is trained on what.
        data: samples, shape `[n, dim]`; left out where no term looks at any, as for a game from
            its initial density to an energy.
        steps: the number of optimiser steps.
        key: random key of the run (batches, noise, probes).
        learning_rate: the peak of a cosine decay to zero, for the default optimiser (Adam).
        optimiser: any optax transformation; replaces the default one and its clipping.
        batch_size: samples in a step, drawn with replacement.
        average: decay of the running average of the parameters; 0 switches averaging off.
        clip: largest norm of the gradient, for the default optimiser.
        validation: held-out samples `[m, dim]`; if given, the averaged parameters that fit them
            best (at records) are returned instead of the last. Regularisers do not count, see
            `mfgen.train.validation`. Rows that are rows of `data` as well are warned of.
        select: weights of a regulariser to choose from by validation, `{"HJB": (0.0, 0.1, 1.0)}`:
            the model is trained with each in place of the weight in `objective`, 0 for without,
            and the one that fits `validation` best is returned. A training that meets a value
            which is not finite is passed over.
        callback: called with a `Progress` at each record.
        every: steps from record to record.
        checkpoints: where to save the run as it goes.
        resume: continue from the latest of `checkpoints`, with the data and settings that the run
            was begun with; `steps` may be more, and the rate then follows the decay to those.

    Returns:
        The trained model and its `History`; `history.selection` has the weights that were tried.

    Raises:
        ValueError, TypeError: for data or an energy that cannot be trained on, settings out of
            range, or an objective that is not the game's: a part of the game that it leaves out,
            pays twice or contradicts is named (`mfgen.train.coverage`).
        NonFiniteError: if a loss term or the gradient is not finite, with every weight of `select`.
        CheckpointError: if `checkpoints` cannot be resumed from, hold a run already, or that of
            other settings or of more steps.
    """
    _check_kinds(game, model, objective, optimiser, checkpoints, key)
    data = _checked_data(game, objective, data)
    held_out = None
    if validation is not None:
        held_out = jnp.asarray(check_samples(validation, name="validation"))
        held_out = game.domain.admit("fit", held_out)
    steps, batch_size, every = _checked_settings(steps, batch_size, average, every)
    for name, samples in (("data", data), ("validation", held_out)):
        _check_dimension(game, name, samples)
    _check_apart(held_out, data)
    default = optimiser is None
    if optimiser is None:
        positive("fit", "learning_rate", learning_rate)
        positive("fit", "clip", clip)
        optimiser = default_optimiser(float(learning_rate), steps, float(clip))
    weighted = 1.0 * objective
    choice = _checked_choice(game, weighted, select, held_out is not None, data.shape[1])
    chosen = optimiser
    parameters, static = eqx.partition(model, eqx.is_inexact_array)
    # What a run that is resumed must share with the one that was begun.
    settings = {
        "game": game,
        "model": eqx.combine(jax.eval_shape(lambda arrays: arrays, parameters), static),
        "data": data,
        "key": key,
        "learning_rate": learning_rate if default else None,
        "clip": clip if default else None,
        "optimiser": None if default else optimiser,
        "batch_size": batch_size,
        "average": average,
        "validation": held_out,
        "every": every,
    }

    def train(objective: Combination, callback: Callback | None, checkpoints: Checkpoints | None):
        plan = Plan(
            game, objective, static, chosen, batch_size, average, jnp.asarray(float(max(steps, 1)))
        )
        judge = None
        if held_out is not None:
            judge = Validation(game, objective, static, held_out, key=key)
        state, history = initial(parameters, chosen), History()
        if checkpoints is not None:
            began = described(objective=objective, **settings)
            state, history = begin(checkpoints, state, history, resume, steps, began)
        with at_points("fit", game, model, data.shape[1]):
            state = _run(
                plan, state, history, data, judge, steps, key, callback, every, checkpoints
            )
        return eqx.combine(state.average if judge is None else state.best, static), history

    if choice is None:
        return train(weighted, callback, checkpoints)
    return selection.select(train, weighted, choice, callback, checkpoints)


def _run(plan, state, history, data, judge, steps, key, callback, every, checkpoints):
    began = time.perf_counter() - (history.records[-1].seconds if history.records else 0.0)
    step, advance = int(state.step), None
    while step < steps:
        stops = [steps, every * (step // every + 1)]
        if checkpoints is not None:
            stops.append(checkpoints.every * (step // checkpoints.every + 1))
        count = min(stops) - step
        if advance is None:
            advance = compiled(plan, state, data, key)
        clock = time.perf_counter()
        state, terms, finite = jax.block_until_ready(
            advance(plan, state, data, key, jnp.asarray(count))
        )
        milliseconds = 1e3 * (time.perf_counter() - clock)
        step = int(state.step)
        if not bool(jnp.all(jnp.stack(list(finite.values())))):
            term = next(name for name, value in finite.items() if not bool(value))
            raise _not_finite(plan, step, term, checkpoints)
        history.pending.add({name: float(value) for name, value in terms.items()}, milliseconds)
        # A stop for a checkpoint alone is no record: what is validated, and so what is best, must
        # not depend on how often the run is saved.
        if step % every == 0 or step == steps:
            loss = None
            if judge is not None:
                state, loss = _judged(judge, plan, state, history, checkpoints)
            record = history.record(step, steps, loss, time.perf_counter() - began)
            if callback is not None:
                callback(record)
        if checkpoints is not None and (step % checkpoints.every == 0 or step == steps):
            checkpoints.save(state, history)
    return state


def _judged(judge: Validation, plan: Plan, state: TrainState, history: History, checkpoints):
    """The state with the best parameters so far, and the validation loss of its average."""
    step, loss = int(state.step), judge(state.average)
    if not math.isfinite(loss):
        raise _not_finite(plan, step, "validation", checkpoints)
    if loss < float(state.best_loss):
        best = (state.average, jnp.asarray(loss, state.best_loss.dtype))
        state = eqx.tree_at(lambda s: (s.best, s.best_loss), state, best)
        history.best_step = step
    return state, loss


def _not_finite(plan: Plan, step: int, term: str, checkpoints) -> NonFiniteError:
    advice = plan.objective.advice_on(term, plan.game)
    return NonFiniteError(step, term, _last_saved(checkpoints), advice=advice)


def _last_saved(checkpoints: Checkpoints | None) -> str | None:
    if checkpoints is None or checkpoints.latest is None:
        return None
    return str(checkpoints.directory / str(checkpoints.latest))


def _check_kinds(game, model, objective, optimiser, checkpoints, key) -> None:
    of_kind = _check.of_kind
    of_kind("fit", "game", game, MFG, "pass the game first, such as `score_based(VP(), data)`")
    fix = "pass a model such as `score_potential(game, key=key)`, or the `value` of a solution"
    of_kind("fit", "model", model, AbstractModel, fix)
    of_kind("fit", "objective", objective, AbstractObjective, "pass `DenoisingScoreMatching()`")
    if optimiser is not None:
        kind = optax.GradientTransformation
        of_kind("fit", "optimiser", optimiser, kind, "pass one of optax, such as optax.adam(1e-3)")
    if checkpoints is not None:
        of_kind("fit", "checkpoints", checkpoints, Checkpoints, "pass `Checkpoints(folder)`")
    _check.a_key("fit", key)


def _checked_data(game: MFG, objective: AbstractObjective, data: Given | None) -> Batch:
    """The data; where none are needed a single row that nothing looks at."""
    if data is not None:
        return game.domain.admit("fit", jnp.asarray(check_samples(data, name="data")))
    if objective.needs_data(game):
        raise ValueError(
            "`fit` got no data for an objective that is evaluated on them, expected samples: pass "
            "data of shape [n, dim], or take losses of paths from the initial density, such as "
            "`GameCost()`."
        )
    (1.0 * objective).check(game)
    assert game.initial is not None
    return jnp.zeros((1, game.initial.dim))


def _checked_choice(
    game: MFG,
    objective: Combination,
    select: Mapping[str, Sequence[float]] | None,
    validated: bool,
    dim: int,
) -> selection.Choice | None:
    """What `select` asks for, once every objective that is trained on is known to be the game's."""
    if select is not None and not validated:
        raise ValueError(
            "`fit` got select without validation, expected held-out samples to choose by: pass "
            "validation=..., samples that are not among `data`."
        )
    choice = selection.choice(objective, select)
    for tried in selection.candidates(objective, choice):
        check_coverage(game, tried, dim)
    return choice


def _checked_settings(
    steps: Count, batch_size: Count, average: float, every: Count
) -> tuple[int, int, int]:
    if not 0 <= average < 1:
        raise ValueError(
            f"`fit` got average = {average}, expected a decay in [0, 1): pass average=0.999, or 0 "
            "for no averaging."
        )
    counts = (("steps", steps, 0), ("batch_size", batch_size, 1), ("every", every, 1))
    steps, batch_size, every = (
        count("fit", name, value, least=least, advice=f"pass {name}={max(least, 100)}")
        for name, value, least in counts
    )
    return steps, batch_size, every


def _check_apart(validation: Float[Array, "m dim"] | None, data: Batch) -> None:
    if validation is None:
        return
    known = shared(np.asarray(validation), np.asarray(data))
    if known:
        warnings.warn(
            f"`fit` got {known} of {len(validation)} rows of validation that are rows of data as "
            "well, expected none: they are known, and judge too well; leave them out of one.",
            stacklevel=3,
        )


def _check_dimension(game: MFG, name: str, samples: Batch | None) -> None:
    if samples is None or game.initial is None or samples.shape[1] == game.initial.dim:
        return
    raise ValueError(
        f"`fit` got {name} of {samples.shape[1]} features for a game in {game.initial.dim} "
        "dimensions, expected as many: declare the game with these data."
    )
