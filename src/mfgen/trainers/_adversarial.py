"""Training of a critic: ascent on the dual of a divergence between two laws.

    g <- g + optimiser( grad of  E_rho g - inf_nu { nu + E_pi f*(g - nu) }  - penalty )

The bound on the slope of g is part of its construction (`mfgen.models._critic`), or else there is a
penalty on slopes above it, one-sided since lower ones are allowed:

    weight * E max(0, |grad g(x)|^2 / L^2 - 1),     x uniform on segments from rho to pi

All steps run in one compiled scan. By default each sees all particles of both laws; with
`batch_size` fresh points are drawn from both. Then the inner infimum of a batch of the target is
too small on average, and the gradient biased by the order of one over the batch.

References: J. Birrell, P. Dupuis, M. A. Katsoulakis, Y. Pantazis, L. Rey-Bellet, "(f, Gamma)-
divergences" (2022), arXiv 2011.05953; I. Gulrajani, F. Ahmed, M. Arjovsky, V. Dumoulin,
A. Courville, "Improved training of Wasserstein GANs" (2017), arXiv 1704.00028 (penalty).
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.core import Tracer
from jaxtyping import Array, Float, PyTree

from mfgen._types import Key, Scalar, State
from mfgen.densities._base import AbstractDensity
from mfgen.densities._empirical import Empirical
from mfgen.dynamics._dynamics import positive
from mfgen.functionals._lipschitz import AbstractDual
from mfgen.math._count import count
from mfgen.trainers._gradient import descended


class GradientPenalty(eqx.Module):
    """weight * E max(0, |grad g|^2 / lipschitz^2 - 1) on segments between the two laws.

    Arguments:
        weight: of the penalty.
        lipschitz: L, the slope up to which nothing is paid.
        points: segments on which it is averaged.
    """

    weight: float = 10.0
    lipschitz: float = 1.0
    points: int = eqx.field(static=True, default=256)

    def __call__(self, dual: AbstractDual, rho: AbstractDensity, *, key: Key) -> Scalar:
        keys = jax.random.split(key, 3)
        here = rho.sample(self.points, key=keys[0])
        there = dual.target.sample(self.points, key=keys[1])
        part = jax.random.uniform(keys[2], (self.points, 1), here.dtype)
        slopes = jax.vmap(jax.grad(dual.critic))((1 - part) * here + part * there)
        squares = jnp.sum(slopes**2, axis=1) / self.lipschitz**2
        return self.weight * jnp.mean(jnp.maximum(squares - 1, 0.0))


class CriticFit(NamedTuple):
    """A trained critic.

    Attributes:
        dual: the functional with it.
        values: of the dual before each step, `[steps]`: lower bounds of the divergence of the
            particles, if the slope of the critic is bounded.
        state: of the optimiser, from which `fit_critic` can go on.
    """

    dual: AbstractDual
    values: Float[Array, "steps"]
    state: PyTree


def fit_critic(
    dual: AbstractDual,
    population: AbstractDensity,
    *,
    steps: int,
    key: Key,
    learning_rate: float = 2e-3,
    optimiser: optax.GradientTransformation | None = None,
    batch_size: int | None = None,
    penalty: GradientPenalty | None = None,
    state: PyTree = None,
) -> CriticFit:
    """Trains the critic of a divergence between a population and its target.

    Arguments:
        dual: `LipschitzDivergence(critic, target)` or `Wasserstein1(critic, target)`.
        population: rho; `Empirical(points)` for particles.
        steps: steps of ascent.
        key: random key of the batches.
        learning_rate: of the default optimiser, Adam.
        optimiser: any optax transformation in place of it.
        batch_size: points drawn from each law for a step; all particles if not given.
        penalty: for a critic whose slope is not bounded by construction.
        state: of an earlier fit, to go on with the momentum it had.

    Returns:
        The `CriticFit`.

    Raises:
        ValueError: for sizes below one.
        FloatingPointError: if a value is not finite; the dual of an unbounded critic may be.
    """
    for name, size in (("steps", steps), ("batch_size", batch_size)):
        if size is not None:
            count("fit_critic", name, size, wanted="a whole number of at least 1")
    if optimiser is None:
        positive("fit_critic", "learning_rate", learning_rate)
        optimiser = _adam(float(learning_rate))
    if state is None:
        state = optimiser.init(eqx.filter(dual.critic, eqx.is_inexact_array))
    fit = _ascend(dual, population, penalty, state, key, optimiser, steps, batch_size)
    if not isinstance(fit.values, Tracer) and not bool(jnp.isfinite(fit.values).all()):
        first = int(jnp.argmin(jnp.isfinite(fit.values)))
        raise FloatingPointError(
            f"`fit_critic` got a value that is not finite at step {first}: bound the slope of the "
            "critic, `lipschitz_critic(...)`, or lower the learning rate."
        )
    return fit


@functools.lru_cache(maxsize=16)
def _adam(learning_rate: float) -> optax.GradientTransformation:
    """The same rate gives the same object, by which the compiled scan is known again."""
    return optax.adam(learning_rate)


@eqx.filter_jit
def _ascend(
    dual: AbstractDual,
    population: AbstractDensity,
    penalty: GradientPenalty | None,
    state: PyTree,
    key: Key,
    optimiser: optax.GradientTransformation,
    steps: int,
    batch_size: int | None,
) -> CriticFit:
    moving, fixed = eqx.partition(dual.critic, eqx.is_inexact_array)
    with_critic = lambda moving: eqx.tree_at(lambda d: d.critic, dual, eqx.combine(moving, fixed))

    def step(carry, key: Key):
        moving, state = carry
        here_key, there_key, penalty_key = jax.random.split(key, 3)
        seen, rho = with_critic(moving), population
        if batch_size is not None:
            rho = Empirical(rho.sample(batch_size, key=here_key))
            drawn = Empirical(dual.target.sample(batch_size, key=there_key))
            seen = eqx.tree_at(lambda d: d.target, seen, drawn)
        critic, state, value = ascended(seen, rho, optimiser, state, penalty, key=penalty_key)
        return (eqx.filter(critic, eqx.is_inexact_array), state), value

    keys = jax.random.split(key, steps)
    (moving, state), values = jax.lax.scan(step, (moving, state), keys)
    return CriticFit(with_critic(moving), values, state)


def ascended(
    dual: AbstractDual,
    rho: AbstractDensity,
    optimiser: optax.GradientTransformation,
    state: PyTree,
    penalty: GradientPenalty | None = None,
    *,
    key: Key,
) -> tuple[Callable[[State], Scalar], PyTree, Scalar]:
    """The critic and the optimiser's state after a step, and the value before it."""
    moving, fixed = eqx.partition(dual.critic, eqx.is_inexact_array)

    def loss(moving: PyTree) -> tuple[Scalar, Scalar]:
        seen = eqx.tree_at(lambda d: d.critic, dual, eqx.combine(moving, fixed))
        value = seen.value(rho)
        paid = 0.0 if penalty is None else penalty(seen, rho, key=key)
        return paid - value, value

    gradient, value = jax.grad(loss, has_aux=True)(moving)
    moving, state = descended(optimiser, gradient, moving, state)
    critic: Any = eqx.combine(moving, fixed)
    return critic, state, value
