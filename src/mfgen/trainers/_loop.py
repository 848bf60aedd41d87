"""Training of a model: a run of `Gradient`, with data and settings checked first.

    J(theta) = sum_k weight_k objective_k(theta)  ->  records, validations, checkpoints

With validation, the best average of all records is returned; with several weights to choose from,
the best of all trainings (`mfgen.trainers._selection`).

References: those of `mfgen.trainers._gradient`.
"""

import warnings
from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from mfgen import _check
from mfgen._types import Batch, Count, Given, Key
from mfgen.data._repeats import shared
from mfgen.data._validate import check_samples
from mfgen.games._game import MFG
from mfgen.losses._objective import AbstractObjective, Combination
from mfgen.models._base import AbstractModel
from mfgen.simulate._base import at_points, check_played
from mfgen.trainers import _selection
from mfgen.trainers._gradient import Gradient, check_objective, dimension
from mfgen.trainers._history import Callback, History
from mfgen.trainers._run import run
from mfgen.trainers._state import Checkpoints
from mfgen.trainers._trainer import Problem, check_dimension


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
            `mfgen.trainers._validation`. Rows that are rows of `data` as well are warned of.
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
            pays twice or contradicts is named (`mfgen.losses._coverage`).
        NonFiniteError: if a loss term or the gradient is not finite, with every weight of `select`.
        CheckpointError: if `checkpoints` cannot be resumed from, hold a run already, or that of
            other settings or of more steps.

    Example:

        game = score_based(VP(), Empirical(data))
        model = score_potential(game, key=key)
        loss = DenoisingScoreMatching() + 0.3 * HJB()
        model, history = fit(game, model, loss, data, steps=1000, key=key)
    """
    _check_kinds(game, model, objective, optimiser, checkpoints, key)
    if data is not None:
        data = game.domain.admit("fit", jnp.asarray(check_samples(data, name="data")))
    held_out = None
    if validation is not None:
        held_out = jnp.asarray(check_samples(validation, name="validation"))
        held_out = game.domain.admit("fit", held_out)
    for name, samples in (("data", data), ("validation", held_out)):
        check_dimension("fit", game, name, samples)
    _check_apart(held_out, data)
    problem, weighted = Problem(game, data, held_out), 1.0 * objective
    choice = _checked_choice(problem, weighted, select)

    def train(objective: Combination, callback: Callback | None, checkpoints: Checkpoints | None):
        sizes = learning_rate, optimiser, batch_size, average, clip
        done = run(
            Gradient(model, objective, *sizes),
            problem,
            steps=steps,
            key=key,
            every=every,
            callback=callback,
            checkpoints=checkpoints,
            resume=resume,
        )
        return done.solution, done.history

    with at_points("fit", game, model, dimension(problem)):
        if choice is None:
            return train(weighted, callback, checkpoints)
        return _selection.select(train, weighted, choice, callback, checkpoints)


def _check_kinds(game, model, objective, optimiser, checkpoints, key) -> None:
    of_kind = _check.of_kind
    check_played("fit", game, model)
    of_kind("fit", "objective", objective, AbstractObjective, "pass `DenoisingScoreMatching()`")
    if optimiser is not None:
        kind = optax.GradientTransformation
        of_kind("fit", "optimiser", optimiser, kind, "pass one of optax, such as optax.adam(1e-3)")
    if checkpoints is not None:
        of_kind("fit", "checkpoints", checkpoints, Checkpoints, "pass `Checkpoints(folder)`")
    _check.a_key("fit", key)


def _checked_choice(
    problem: Problem, objective: Combination, select: Mapping[str, Sequence[float]] | None
) -> _selection.Choice | None:
    """The choice that `select` asks for, every objective of it checked against the game."""
    if select is not None and problem.held_out is None:
        raise ValueError(
            "`fit` got select without validation, expected held-out samples to choose by: pass "
            "validation=..., samples that are not among `data`."
        )
    choice = _selection.choice(objective, select)
    for tried in _selection.candidates(objective, choice):
        check_objective(problem, tried)
    return choice


def _check_apart(validation: Float[Array, "m dim"] | None, data: Batch | None) -> None:
    if validation is None or data is None:
        return
    known = shared(np.asarray(validation), np.asarray(data))
    if known:
        warnings.warn(
            f"`fit` got {known} of {len(validation)} rows of validation that are rows of data as "
            "well, expected none: they are known, and judge too well; leave them out of one.",
            stacklevel=3,
        )
