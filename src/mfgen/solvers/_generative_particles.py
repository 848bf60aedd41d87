"""Generative particles: a cloud that goes down a divergence to data, as a critic sees it.

    dX/dt = -grad g(X),      g the critic of  D(rho || pi) = sup over Lip(g) <= L of { ... }

The best g is the first variation of the Lipschitz-regularised divergence (`problem.lipschitz`), so
this is its Wasserstein gradient flow: no particle is faster than L, and D is finite even where the
cloud and the data do not meet. No density of either is needed. In each step the critic takes some
steps of ascent from where it was, then the particles one step along its slope; so D is known from
below, by the critic's value, and the more steps it takes the closer. The first records are of a
critic that has been trained for a while before any particle moves.

Reference: H. Gu, P. Birmpa, Y. Pantazis, L. Rey-Bellet, M. A. Katsoulakis, "Lipschitz-regularized
gradient flows and generative particle algorithms for high-dimensional scarce data" (2022), arXiv
2210.17230.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from mfgen import _check
from mfgen._types import Batch, Given, Key
from mfgen.data._validate import check_samples
from mfgen.densities._empirical import Empirical
from mfgen.dynamics._dynamics import positive
from mfgen.functionals._generator import AbstractGenerator, Alpha
from mfgen.functionals._lipschitz import LipschitzDivergence
from mfgen.math._count import count
from mfgen.models._critic import lipschitz_critic
from mfgen.solvers._particle import (
    AbstractParticleFlow,
    Descent,
    Energy,
    Particles,
    descent,
    variance_of_mean,
)
from mfgen.trainers._adversarial import fit_critic
from mfgen.trainers._state import Checkpoints

_KL = Alpha(1.0)


def generative_particles(
    data: Given,
    start: Given,
    *,
    steps: int,
    step: float,
    key: Key,
    every: int = 50,
    callback: Callable[[int, Energy], None] | None = None,
    checkpoints: Checkpoints | None = None,
    resume: bool = False,
    **critic_options: Any,
) -> Descent:
    """Moves particles to data by the slope of a critic that is trained on the way.

    Arguments:
        data: a sample of pi, `[m, dim]`.
        start: first points, `[n, dim]`.
        steps: of the particles.
        step: h, in units of the flow's time; no particle moves farther than h L in one.
        key: random key of the critic's first weights and of the batches.
        every: steps from record to record.
        callback: called with the steps taken and the dual's value at each record.
        checkpoints, resume: as in `run`.
        critic_options: of the critic and its training, as of `critic_flow`.

    Returns:
        The `Descent`. Its energies are the dual at the critic of the time, on all points: lower
        bounds of D up to their standard errors.

    Raises:
        ValueError: for points that are not finite or of different dimensions, or settings out of
            range.
        FloatingPointError: if particles or the dual are not finite any more, with the steps taken.

    Example:

        found = generative_particles(data, start, steps=300, step=0.1, key=key)
        found.points, found.rise
    """
    critic_key, key = jax.random.split(key)
    _check.options("generative_particles", critic_flow, critic_options)
    flow = critic_flow(data, key=critic_key, **critic_options)
    count("generative_particles", "steps", steps)
    saved = {"checkpoints": checkpoints, "resume": resume}
    particles = Particles(flow, start, step)
    return descent(particles, steps=steps, key=key, every=every, callback=callback, **saved)


def critic_flow(
    data: Given,
    *,
    key: Key,
    critic_steps: int = 5,
    first_steps: int = 200,
    lipschitz: float = 1.0,
    generator: AbstractGenerator = _KL,
    critic: dict[str, Any] | None = None,
    learning_rate: float = 2e-3,
    batch_size: int | None = None,
) -> "CriticFlow":
    """The flow of `generative_particles`, for `Particles`.

    Arguments:
        data: a sample of pi, `[m, dim]`.
        key: random key of the critic's first weights.
        critic_steps, first_steps: of the critic before each step, and before the first one.
        lipschitz: L, the largest slope of the critic.
        generator: f of the divergence; `Alpha(1.0)` for KL.
        critic: options of `lipschitz_critic`.
        learning_rate: of the critic (Adam).
        batch_size: points of each law in a step of the critic; all of them if not given.

    Raises:
        ValueError: for points that are not finite, or settings out of range.
    """
    owner = "generative_particles"
    target = Empirical(jnp.asarray(check_samples(data, name="data")))
    count(owner, "critic_steps", critic_steps)
    if batch_size is not None:
        count(owner, "batch_size", batch_size)
    advice = "pass 0 for a critic that starts with the particles"
    count(owner, "first_steps", first_steps, least=0, advice=advice)
    positive(owner, "learning_rate", learning_rate)
    options = {"lipschitz": lipschitz, "around": target} | (critic or {})
    made = lipschitz_critic(target.dim, key=key, **options)
    dual = LipschitzDivergence(made, target, generator)
    return CriticFlow(dual, critic_steps, first_steps, float(learning_rate), batch_size)


class CriticFlow(AbstractParticleFlow):
    """Particles along the slope of a critic that is trained on the way.

    Arguments:
        dual: the divergence with an untrained critic; its target is the data.
        steps, first_steps: of the critic before each step, and before the first one.
        learning_rate: of the critic (Adam).
        batch_size: points of each law in a step of the critic; all of them if `None`.
    """

    owner: ClassVar[str] = "generative_particles"
    advice: ClassVar[str] = "lower the learning rate of the critic"

    dual: LipschitzDivergence
    steps: int = eqx.field(static=True)
    first_steps: int = eqx.field(static=True)
    learning_rate: float = eqx.field(static=True)
    batch_size: int | None = eqx.field(static=True, default=None)

    def check(self, points: Batch) -> None:
        if points.shape[1] != self.dual.target.dim:
            raise ValueError(
                f"`generative_particles` got start of dimension {points.shape[1]} for data of "
                f"dimension {self.dual.target.dim}, expected the same: start where the data live."
            )

    def velocity(self, points: Batch, *, key: Key) -> Batch:
        return -jax.vmap(jax.grad(self.dual.critic))(points)

    def energy(self, points: Batch) -> Energy:
        return _energy(self.dual, points)

    def first_memory(self, points: Batch, *, key: Key) -> PyTree:
        moving = eqx.filter(self.dual.critic, eqx.is_inexact_array)
        first = moving, optax.adam(self.learning_rate).init(moving)
        return self._trained(points, first, self.first_steps, key) if self.first_steps else first

    def learn(self, points: Batch, memory: PyTree, *, key: Key) -> PyTree:
        return self._trained(points, memory, self.steps, key)

    def at(self, memory: PyTree) -> "CriticFlow":
        critic = eqx.combine(memory[0], self.dual.critic)
        return eqx.tree_at(lambda flow: flow.dual.critic, self, critic)

    def _trained(self, points: Batch, memory: PyTree, steps: int, key: Key) -> PyTree:
        fit = fit_critic(
            self.at(memory).dual,
            Empirical(points),
            steps=steps,
            key=key,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            state=memory[1],
        )
        return eqx.filter(fit.dual.critic, eqx.is_inexact_array), fit.state


@eqx.filter_jit
def _energy(dual: LipschitzDivergence, points: Batch) -> Energy:
    here = jax.vmap(dual.critic)(points)
    data, weights = dual.target.particles()
    there = jax.vmap(dual.critic)(data)
    expected, influence = jax.value_and_grad(dual.expected, argnums=1)(there, weights)
    # By the delta method: g is the influence of a particle, f*(g - nu) that of a data point.
    spread = variance_of_mean(here) + jnp.var(influence, ddof=1) / there.size
    return Energy(jnp.mean(here) - expected, jnp.sqrt(spread))
