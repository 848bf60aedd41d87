"""The losses and the trainers, a row each; `tests/laws/test_training.py` runs over all of them.

A new loss or trainer is one more row here.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

import mfgen as mg
from mfgen.losses import (
    AbstractObjective,
    MaximumLikelihood,
    OwnPaths,
    PathCost,
    WeightedDissipation,
)
from mfgen.models import input_convex
from mfgen.solvers import LangevinFlow
from mfgen.trainers import (
    AbstractTrainer,
    Alternating,
    Ascent,
    Augmented,
    Gradient,
    MinimisingMovement,
    Particles,
)
from mfgen.zoo import jko_game
from mfgen.zoo._jko_convex import ConvexStep, Transport
from mfgen.zoo._proximal import _EndAlone

KEY = jax.random.key(0)
NORMAL = mg.Gaussian(jnp.zeros(2), 1.0)
GOAL = mg.Gaussian(jnp.ones(2), 0.5)
POINTS = GOAL.sample(32, key=KEY)
DATA = mg.Empirical(POINTS)
NOISY = mg.simulate.StochasticHeun(4)


class LossRow(NamedTuple):
    """A loss with a game that it trains and a model.

    `pays` is whether it says that it pays for a part of the game; a regulariser does not.
    """

    loss: Callable[[], AbstractObjective]
    game: Callable[[], mg.MFG]
    model: Callable[[mg.MFG], mg.models.AbstractModel]
    pays: bool = True


def scores() -> mg.MFG:
    return mg.score_based(mg.VP(), DATA)


def simulated_scores() -> mg.MFG:
    return mg.score_based(mg.dynamics.Diffusion(lambda s, y: -y, 1.4), DATA)


def from_data() -> mg.MFG:
    return mg.MFG(mg.Integrator(), mg.Kinetic(), mg.KL(NORMAL), initial=DATA, data_at="start")


def to_energy() -> mg.MFG:
    return mg.MFG(mg.Integrator(), mg.Kinetic(), mg.KL(GOAL), initial=NORMAL)


def to_bowl(sigma: float = 0.0) -> mg.MFG:
    bowl = mg.Linear(lambda x: x @ x)
    return mg.MFG(mg.Integrator(sigma=sigma), mg.Kinetic(), bowl, initial=NORMAL)


def with_noise() -> mg.MFG:
    return to_bowl(0.5)


def matched() -> mg.MFG:
    return mg.MFG(
        mg.Integrator(), mg.Kinetic(), mg.Prescribed(NORMAL), initial=DATA, data_at="start"
    )


def discounted() -> mg.MFG:
    return mg.zoo.gradient_flow_game(mg.KL(GOAL), NORMAL, 0.5)


def bridge() -> mg.MFG:
    return mg.MFG(mg.Integrator(sigma=0.5), mg.Kinetic(), mg.Prescribed(DATA), initial=NORMAL)


def dual() -> mg.MFG:
    critic = mg.models.lipschitz_critic(2, width=8, key=KEY)
    return mg.MFG(
        mg.Integrator(), mg.Kinetic(), mg.functionals.Wasserstein1(critic, DATA), initial=NORMAL
    )


def value(game):
    """A potential away from its start, where nothing moves yet."""
    model = mg.models.ot_flow_potential(game, width=8, key=KEY)
    return jax.tree.map(lambda leaf: leaf + 0.1 if eqx.is_inexact_array(leaf) else leaf, model)


def score(game):
    return mg.models.score_potential(game, width=8, depth=1, key=KEY)


def kernels(game):
    return mg.models.kernel_estimate(game, POINTS)


def convex(game):
    return Transport(input_convex(2, width=8, key=KEY), 0.5)


LOSSES: dict[str, LossRow] = {
    "FlowMatching": LossRow(mg.losses.FlowMatching, matched, value),
    "StochasticInterpolant": LossRow(mg.losses.StochasticInterpolant, matched, value),
    "ActionMatching": LossRow(mg.losses.ActionMatching, matched, value),
    "GameCost": LossRow(mg.GameCost, to_energy, value),
    "GameCost-noisy": LossRow(lambda: mg.GameCost(NOISY), with_noise, value),
    "PathLikelihood": LossRow(mg.losses.PathLikelihood, from_data, value),
    "ReverseKL": LossRow(mg.losses.ReverseKL, to_energy, value),
    "TransportCost": LossRow(mg.losses.TransportCost, from_data, value),
    "JacobianPenalty": LossRow(mg.losses.JacobianPenalty, from_data, value, pays=False),
    "PathCost": LossRow(PathCost, to_bowl, value),
    "WeightedDissipation": LossRow(WeightedDissipation, discounted, value),
    "MaximumLikelihood": LossRow(MaximumLikelihood, scores, kernels),
    "DenoisingScoreMatching": LossRow(mg.losses.DenoisingScoreMatching, scores, score),
    "ImplicitScoreMatching": LossRow(mg.losses.ImplicitScoreMatching, scores, score),
    "SlicedScoreMatching": LossRow(mg.losses.SlicedScoreMatching, scores, score),
    "SimulatedScoreMatching": LossRow(mg.losses.SimulatedScoreMatching, simulated_scores, score),
    "Residual-at-noised-data": LossRow(mg.losses.HJB, scores, score, pays=False),
    "Residual-along-paths": LossRow(mg.losses.PathHJB, from_data, value, pays=False),
    "Residual-martingale": LossRow(
        lambda: mg.Residual(OwnPaths(NOISY), "martingale"), with_noise, value, pays=False
    ),
    "Combination": LossRow(
        lambda: mg.losses.PathLikelihood() + mg.losses.TransportCost() + 0.1 * mg.losses.PathHJB(),
        from_data,
        value,
    ),
    "ConvexStep": LossRow(lambda: ConvexStep(GOAL), to_energy, convex),
    "EndAlone": LossRow(_EndAlone, to_bowl, value),
}


class TrainerRow(NamedTuple):
    """A trainer of a game."""

    trainer: Callable[[mg.MFG], AbstractTrainer]
    game: Callable[[], mg.MFG]
    data: Callable[[], jax.Array | None] = lambda: None


def descent(game, method=None):
    loss = mg.GameCost() if method is None else mg.GameCost(method)
    return Gradient(value(game), loss, batch_size=16)


TRAINERS: dict[str, TrainerRow] = {
    "Gradient": TrainerRow(
        lambda game: Gradient(score(game), mg.losses.DenoisingScoreMatching(), batch_size=16),
        scores,
        lambda: POINTS,
    ),
    "Gradient-without-data": TrainerRow(lambda game: descent(game, NOISY), with_noise),
    "Alternating": TrainerRow(lambda game: Alternating(Ascent(), descent(game)), dual),
    "Augmented": TrainerRow(
        lambda game: Augmented(descent(game, NOISY), particles=32, method=NOISY), bridge
    ),
    "Particles": TrainerRow(lambda game: Particles(LangevinFlow(GOAL), 32, step=0.01), to_energy),
    "MinimisingMovement": TrainerRow(
        lambda game: MinimisingMovement(
            Gradient(
                value(game), mg.losses.PathLikelihood() + mg.losses.TransportCost(), batch_size=16
            ),
            3,
        ),
        lambda: jko_game(DATA, 0.5, 3),
        lambda: POINTS,
    ),
}
