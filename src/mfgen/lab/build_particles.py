"""From a specification to objects, for gradient flows: their games, where they start, and critics.

The game of a particle flow is the discounted one whose density follows the flow as it looks ahead
less and less (`mfgen.zoo.gradient_flow`): the equations that are shown and checked are its own, the
particles follow the limit.
"""

from typing import Any, cast

import jax
import jax.numpy as jnp

from mfgen._types import Batch, Key
from mfgen.density.base import AbstractDensity, AbstractEvaluable
from mfgen.density.gaussian import isotropic
from mfgen.lab import spec_particles
from mfgen.lab.cloud import Cloud
from mfgen.models.base import AbstractPotential
from mfgen.models.blocks import blocks
from mfgen.models.critic import LipschitzCritic, lipschitz_critic
from mfgen.problem.functional import KL, AbstractFunctional
from mfgen.problem.game import MFG
from mfgen.problem.kernel import DistanceKernel, MeanKernel
from mfgen.problem.kernel_energy import MMD
from mfgen.problem.lipschitz import LipschitzDivergence
from mfgen.zoo.gradient_flow import gradient_flow_game
from mfgen.zoo.jko import jko_game
from mfgen.zoo.proximal import ProximalGame


def by_density(part: spec_particles.ByDensity, goal: AbstractEvaluable) -> MFG:
    """The game of KL to a density that is known up to a constant."""
    return _flow(KL(goal), part.spread, goal.dim)


def discrepancy(part: spec_particles.Discrepancy, target: AbstractDensity, *_: Any) -> MFG:
    """The game of half the squared MMD."""
    kernel = DistanceKernel() if part.widths is None else MeanKernel(part.widths)
    return _flow(MMD(target, kernel), part.spread, target.dim)


def lipschitz(part: spec_particles.GenerativeParticles, target: AbstractDensity, *_: Any) -> MFG:
    """The game of the Lipschitz-regularised divergence, with a critic that is not trained."""
    found = critic(part, target, key=jax.random.key(0))
    return _flow(LipschitzDivergence(found, target), part.spread, target.dim)


def proximal(part: spec_particles.Proximal, target: AbstractDensity, *_: Any) -> MFG:
    """The game of a proximal flow, with a critic that is not trained."""
    found = critic(part, target, key=jax.random.key(0))
    return proximal_game(part, target.dim)(LipschitzDivergence(found, target))


def proximal_game(part: spec_particles.Proximal, dim: int) -> ProximalGame:
    """The game of a proximal flow, for any critic."""
    return ProximalGame(dim, part.cost, part.weight, part.spread)


def movement(part: spec_particles.Movement, target: AbstractDensity, *_: Any) -> MFG:
    """The game that JKO steps from the data to N(0, I) solve one after the other."""
    return jko_game(target, part.step, part.blocks)


def discounted(part: spec_particles.Discounted, goal: AbstractEvaluable) -> MFG:
    """The discounted game of KL to a density that is known up to a constant."""
    start = isotropic(jnp.zeros(goal.dim), part.spread)
    return gradient_flow_game(KL(goal), start, part.epsilon, part.horizon)


def critic(
    part: spec_particles.GenerativeParticles | spec_particles.Proximal,
    target: AbstractDensity,
    *,
    key: Key,
) -> LipschitzCritic:
    """A new critic."""
    return lipschitz_critic(
        target.dim,
        lipschitz=part.lipschitz,
        width=part.critic.width,
        depth=part.critic.depth,
        around=target,
        key=key,
    )


def cloud(part: spec_particles.Particles, game: MFG, data: Batch, _: Any, key: Key) -> Cloud:
    """Particles where a flow begins."""
    assert game.initial is not None
    return Cloud(game.initial.sample(part.count, key=key).astype(data.dtype))


def in_time(part: Any, model: Any) -> Any:
    """The model of a game's whole time: one in blocks where steps follow each other."""
    if not isinstance(part, spec_particles.Movement):
        return model
    return blocks([cast(AbstractPotential, model)] * part.blocks, part.step)


def _flow(functional: AbstractFunctional, spread: float, dim: int) -> MFG:
    return gradient_flow_game(functional, isotropic(jnp.zeros(dim), spread))
