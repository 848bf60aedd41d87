"""The training loop: stochastic gradient descent on an objective, many steps per dispatch.

    theta <- theta - optimiser( grad J(theta; batch_k, key_k) ),   average <- EMA of theta

Steps run inside one compiled loop on the device; the host looks in only to report, validate and
save. Batch and key of step k are functions of the run's key and k alone, so any way of cutting the
run into pieces gives the same numbers. The loop stops by itself before a step whose loss or
gradient is not finite; the parameters are then still those of the last good step.

References: D. Kingma, J. Ba (2015), arXiv 1412.6980 (Adam); B. Polyak, A. Juditsky (1992)
(averaging); Y. Song et al. (2021), arXiv 2011.13456, appendix G (averages in score models).
"""

import math
import numbers
import time
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, ArrayLike, PyTree

from mfgen._types import Batch, Key, Scalar
from mfgen.data.validate import check_samples
from mfgen.models.base import AbstractModel
from mfgen.problem.dynamics import positive
from mfgen.problem.game import MFG
from mfgen.train.history import Callback, History, Progress
from mfgen.train.objective import AbstractObjective, Combination
from mfgen.train.state import CheckpointError, Checkpoints, TrainState

VALIDATION = 2**32 - 1  # its key is that of a step which is never reached


class NonFiniteError(FloatingPointError):
    """A loss term or the gradient was not finite; attributes `step`, `term`, `checkpoint`."""

    def __init__(self, step: int, term: str, checkpoint: str | None):
        self.step, self.term, self.checkpoint = step, term, checkpoint
        kept = f"the last good checkpoint is {checkpoint}" if checkpoint else "no checkpoint kept"
        fix = f"lower the learning rate or the weight of {term!r}, or clip the gradient"
        if term == "validation":
            fix = "look for outliers in the validation data, or lower the learning rate"
        super().__init__(
            f"`fit` got a value that is not finite in term {term!r} at step {step}, expected "
            f"finite losses and gradients ({kept}): {fix}."
        )


class Plan(eqx.Module):
    """What the compiled loop needs besides the state; the optimiser and sizes are static."""

    game: MFG
    objective: Combination
    static: PyTree
    optimiser: optax.GradientTransformation = eqx.field(static=True)
    batch_size: int = eqx.field(static=True)
    average: float = eqx.field(static=True)


def fit(
    game: MFG,
    model: AbstractModel,
    objective: AbstractObjective,
    data: ArrayLike,
    *,
    steps: int,
    key: Key,
    learning_rate: float = 5e-3,
    optimiser: optax.GradientTransformation | None = None,
    batch_size: int = 256,
    average: float = 0.999,
    clip: float = 10.0,
    validation: ArrayLike | None = None,
    callback: Callback | None = None,
    every: int = 100,
    checkpoints: Checkpoints | None = None,
    resume: bool = False,
) -> tuple[AbstractModel, History]:
    """Trains a model and returns it with averaged parameters, and the history.

    Arguments:
        game, model, objective: what is trained on what.
        data: samples, shape `[n, dim]`.
        steps: the number of optimiser steps.
        key: random key of the run (batches, noise, probes).
        learning_rate: the peak of a cosine decay to zero, for the default optimiser (Adam).
        optimiser: any optax transformation; replaces the default one and its clipping.
        batch_size: samples in a step, drawn with replacement.
        average: decay of the running average of the parameters; 0 switches averaging off.
        clip: largest norm of the gradient, for the default optimiser.
        validation: held-out samples; if given, the averaged parameters with the smallest objective
            on them (at records) are returned instead of the last.
        callback: called with a `Progress` at each record.
        every: steps from record to record.
        checkpoints: where to save the run as it goes.
        resume: continue from the latest of `checkpoints`.

    Returns:
        The trained model and its `History`.

    Raises:
        ValueError: for data that cannot be trained on, or settings out of range.
        NonFiniteError: if a loss term or the gradient is not finite.
        CheckpointError: if `checkpoints` cannot be resumed from, or hold a run already.
    """
    data = jnp.asarray(check_samples(data, name="data"))
    held_out = None
    if validation is not None:
        held_out = jnp.asarray(check_samples(validation, name="validation"))
    _check_settings(steps, batch_size, average, every)
    for name, samples in (("data", data), ("validation", held_out)):
        _check_dimension(game, name, samples)
    parameters, static = eqx.partition(model, eqx.is_inexact_array)
    if optimiser is None:
        positive("fit", "learning_rate", learning_rate)
        positive("fit", "clip", clip)
        optimiser = default_optimiser(learning_rate, steps, clip)
    plan = Plan(game, 1.0 * objective, static, optimiser, batch_size, average)
    state = TrainState(
        parameters,
        parameters,
        parameters,
        jnp.asarray(jnp.inf),
        optimiser.init(parameters),
        jnp.asarray(0, jnp.int32),
    )
    history = History()
    if checkpoints is not None:
        state, history = _open(checkpoints, state, history, resume)
    try:
        state = _run(plan, state, history, data, held_out, steps, key, callback, every, checkpoints)
    finally:
        if checkpoints is not None:
            checkpoints.wait()
    chosen = state.average if held_out is None else state.best
    return eqx.combine(chosen, static), history


def default_optimiser(
    learning_rate: float, steps: int, clip: float
) -> optax.GradientTransformation:
    """Adam with a cosine decay to zero over `steps` and the gradient clipped in norm."""
    schedule = optax.cosine_decay_schedule(learning_rate, max(steps, 1))
    return optax.chain(optax.clip_by_global_norm(clip), optax.adam(schedule))


def _run(plan, state, history, data, held_out, steps, key, callback, every, checkpoints):
    began = time.perf_counter() - (history.records[-1].seconds if history.records else 0.0)
    step, advance = int(state.step), None
    while step < steps:
        stops = [steps, every * (step // every + 1)]
        if checkpoints is not None:
            stops.append(checkpoints.every * (step // checkpoints.every + 1))
        count = min(stops) - step
        if advance is None:
            advance = _compiled(plan, state, data, key)
        clock = time.perf_counter()
        state, terms, finite = jax.block_until_ready(
            advance(plan, state, data, key, jnp.asarray(count))
        )
        milliseconds = 1e3 * (time.perf_counter() - clock) / count
        step = int(state.step)
        if not bool(jnp.all(jnp.stack(list(finite.values())))):
            term = next(name for name, value in finite.items() if not bool(value))
            raise NonFiniteError(step, term, _last_saved(checkpoints))
        loss = None
        if held_out is not None:
            loss = float(_validation(plan, state.average, held_out, key))
            if not math.isfinite(loss):
                raise NonFiniteError(step, "validation", _last_saved(checkpoints))
            if loss < float(state.best_loss):
                best = (state.average, jnp.asarray(loss, state.best_loss.dtype))
                state = eqx.tree_at(lambda s: (s.best, s.best_loss), state, best)
                history.best_step = step
        means = {name: float(value) / count for name, value in terms.items()}
        seconds = time.perf_counter() - began
        history.records.append(Progress(step, steps, means, loss, seconds, milliseconds))
        if callback is not None:
            callback(history.records[-1])
        if checkpoints is not None and (step % checkpoints.every == 0 or step == steps):
            checkpoints.save(state, history)
    return state


def _compiled(plan: Plan, state: TrainState, data: Batch, key: Key):
    # Compiled ahead, so that the time of the first record is that of its steps alone.
    compiled: Any = eqx.filter_jit(_advance)
    return compiled.lower(plan, state, data, key, jnp.asarray(1)).compile()


def _advance(plan: Plan, state: TrainState, data: Batch, key: Key, count: Array):
    """Takes `count` steps, fewer if one is not finite; sums of terms and what was finite."""
    names = (*plan.objective.names, "gradient")
    zeros = dict.fromkeys(plan.objective.names, jnp.zeros(()))
    last = state.step + count

    def going(carry):
        state, _, finite = carry
        return (state.step < last) & jnp.all(jnp.stack(list(finite.values())))

    def body(carry):
        state, sums, _ = carry
        updated, terms, finite = _step(plan, state, data, jax.random.fold_in(key, state.step))
        good = jnp.all(jnp.stack(list(finite.values())))
        state = jax.tree.map(lambda new, old: jnp.where(good, new, old), updated, state)
        return state, jax.tree.map(jnp.add, sums, terms), finite

    return jax.lax.while_loop(going, body, (state, zeros, dict.fromkeys(names, jnp.asarray(True))))


def _step(plan: Plan, state: TrainState, data: Batch, key: Key):
    batch_key, loss_key = jax.random.split(key)
    batch = data[jax.random.randint(batch_key, (plan.batch_size,), 0, data.shape[0])]

    def loss(parameters) -> tuple[Scalar, dict[str, Scalar]]:
        model = eqx.combine(parameters, plan.static)
        weighted = plan.objective.evaluate(plan.game, model, batch, key=loss_key)
        return weighted.total, dict(zip(plan.objective.names, weighted.terms, strict=True))

    gradient, terms = jax.grad(loss, has_aux=True)(state.parameters)
    updates, optimiser = plan.optimiser.update(gradient, state.optimiser, state.parameters)
    parameters = optax.apply_updates(state.parameters, updates)
    # The average starts short and lengthens, so that it forgets the initial parameters.
    decay = jnp.minimum(plan.average, (1.0 + state.step) / (10.0 + state.step))
    average = optax.incremental_update(parameters, state.average, 1 - decay)
    finite = {name: jnp.isfinite(value) for name, value in terms.items()}
    finite["gradient"] = jnp.isfinite(optax.tree.norm(gradient))
    updated = TrainState(
        parameters, average, state.best, state.best_loss, optimiser, state.step + 1
    )
    return updated, terms, finite


@eqx.filter_jit
def _validation(plan: Plan, parameters: Any, held_out: Batch, key: Key) -> Scalar:
    model = eqx.combine(parameters, plan.static)
    return plan.objective(plan.game, model, held_out, key=jax.random.fold_in(key, VALIDATION))


def _open(checkpoints: Checkpoints, state: TrainState, history: History, resume: bool):
    if resume and checkpoints.latest is not None:
        return checkpoints.restore(state)
    if checkpoints.latest is not None:
        raise CheckpointError(
            f"`fit` got a folder that holds a run already ({checkpoints.directory}, step "
            f"{checkpoints.latest}), expected an empty one: pass resume=True to continue it, or "
            "choose another folder."
        )
    return state, history


def _last_saved(checkpoints: Checkpoints | None) -> str | None:
    if checkpoints is None or checkpoints.latest is None:
        return None
    checkpoints.wait()
    return str(checkpoints.directory / str(checkpoints.latest))


def _check_settings(steps: int, batch_size: int, average: float, every: int) -> None:
    for name, value, least in (
        ("steps", steps, 0),
        ("batch_size", batch_size, 1),
        ("every", every, 1),
    ):
        if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
            raise ValueError(
                f"`fit` got {name} = {value}, expected a whole number of at least {least}: pass "
                f"{name}={max(least, 100)}."
            )
    if not 0 <= average < 1:
        raise ValueError(
            f"`fit` got average = {average}, expected a decay in [0, 1): pass average=0.999, or 0 "
            "for no averaging."
        )


def _check_dimension(game: MFG, name: str, samples: Batch | None) -> None:
    if samples is None or game.initial is None or samples.shape[1] == game.initial.dim:
        return
    raise ValueError(
        f"`fit` got {name} of {samples.shape[1]} features for a game in {game.initial.dim} "
        "dimensions, expected as many: declare the game with these data."
    )
