"""The training step, and many of them in one compiled loop.

    theta <- theta - optimiser( grad J(theta; batch_k, key_k) ),   average <- EMA of theta

Batch and key of step k are functions of the run's key and k alone. The loop stops by itself before
a step whose loss or gradient is not finite; the parameters are then still those of the last good
step.

References: D. Kingma, J. Ba (2015), arXiv 1412.6980 (Adam); B. Polyak, A. Juditsky (1992)
(averaging); Y. Song et al. (2021), arXiv 2011.13456, appendix G (averages in score models).
"""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PyTree

from mfgen._types import Batch, Key, Scalar
from mfgen.problem.game import MFG
from mfgen.train.objective import Combination
from mfgen.train.state import TrainState


class Plan(eqx.Module):
    """What the compiled loop needs besides the state; the optimiser and sizes are static.

    `steps` is the length of the whole training, for objectives that change on the way.
    """

    game: MFG
    objective: Combination
    static: PyTree
    optimiser: optax.GradientTransformation = eqx.field(static=True)
    batch_size: int = eqx.field(static=True)
    average: float = eqx.field(static=True)
    steps: Scalar | float = 1.0


@functools.lru_cache(maxsize=64)
def default_optimiser(
    learning_rate: float, steps: int, clip: float
) -> optax.GradientTransformation:
    """Adam with a cosine decay to zero over `steps` and the gradient clipped in norm.

    The same settings give the same object, by which a compiled loop is known again.
    """
    schedule = optax.cosine_decay_schedule(learning_rate, max(steps, 1))
    return optax.chain(optax.clip_by_global_norm(clip), optax.adam(schedule))


def initial(parameters: PyTree, optimiser: optax.GradientTransformation) -> TrainState:
    """The state before the first step."""
    return TrainState(
        parameters,
        parameters,
        parameters,
        jnp.asarray(jnp.inf),
        optimiser.init(parameters),
        jnp.asarray(0, jnp.int32),
    )


def compiled(plan: Plan, state: TrainState, data: Batch, key: Key):
    """`advance`, compiled; once for all runs that differ in data, weights and key alone."""
    # Compiled ahead, so that the time of the first record is that of its steps alone.
    return _PROGRAM.lower(plan, state, data, key, jnp.asarray(1)).compile()


def advance(plan: Plan, state: TrainState, data: Batch, key: Key, count: Array):
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
    objective = plan.objective.during(state.step / plan.steps)

    def loss(parameters) -> tuple[Scalar, dict[str, Scalar]]:
        model = eqx.combine(parameters, plan.static)
        weighted = objective.evaluate(plan.game, model, batch, key=loss_key)
        return weighted.total, dict(zip(objective.names, weighted.terms, strict=True))

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


_PROGRAM: Any = eqx.filter_jit(advance)
