"""JKO steps by networks: a gradient flow as a chain of normalizing flows, in any dimension.

    rho_(k+1) = argmin over rho of  KL(rho || pi) + W2^2(rho, rho_k) / (2 h)

Each step is a game of its own, from the particles of the step before,

    dX = v dt on [0, 1],   rho(0) = rho_k,   L = |v|^2 / (2 h),   M = KL(rho(1) || pi)

since the least kinetic energy between two laws is W2^2 / 2. It is a potential flow with k = 1 / h
and pi as its reference; log rho_k at the particles is a constant of the step, so pi need only be
known up to one. Log-densities are carried along, log rho_(k+1) = log rho_k - log |det|.

References: C. Xu, X. Cheng, Y. Xie, "Normalizing flow neural networks by JKO scheme" (2023), arXiv
2212.14424; R. Jordan, D. Kinderlehrer, F. Otto (1998).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen._types import Batch, Key, Scalar, State
from mfgen.density.base import AbstractEvaluable
from mfgen.density.empirical import Empirical
from mfgen.models.base import AbstractModel, velocity
from mfgen.models.potential import ot_flow_potential
from mfgen.problem.cost import Kinetic
from mfgen.problem.dynamics import positive
from mfgen.problem.game import MFG
from mfgen.simulate.integrator import RungeKutta4, positive_count
from mfgen.train.flow import PathLikelihood, TransportCost
from mfgen.train.loop import fit
from mfgen.train.paths import Paths
from mfgen.zoo.flows import flow_game

_PATHS = Paths(RungeKutta4(8, unroll=True))
_FINE = RungeKutta4(20)


class Chain(NamedTuple):
    """A gradient flow by steps of networks.

    Attributes:
        game: of one step; its data are those of the first.
        models: the potential of each step.
        points: particles after each step, the first ones included, `[steps + 1, n, dim]`.
        log_densities: at these particles, `[steps + 1, n]`.
        divergences: KL(rho_k || pi) up to the constant of pi, `[steps + 1]`.
    """

    game: MFG
    models: tuple[AbstractModel, ...]
    points: Float[Array, "laws n dim"]
    log_densities: Float[Array, "laws n"]
    divergences: Float[Array, "laws"]


def jko_chain(
    target: AbstractEvaluable,
    start: AbstractEvaluable,
    *,
    step: float,
    steps: int,
    particles: int = 4096,
    iterations: int = 300,
    key: Key,
    learning_rate: float = 2e-2,
    batch_size: int = 256,
    callback: Callable[[int, float], Any] | None = None,
    **network: Any,
) -> Chain:
    """JKO steps of KL(. || target) by networks.

    Arguments:
        target: pi, with a log-density, which need not be normalised.
        start: rho_0, which is drawn from and evaluated.
        step: h, in units of the flow's time.
        steps: the number of steps.
        particles: points that are carried from step to step.
        iterations: of the training of a step; each begins at the network of the step before.
        key: random key.
        learning_rate, batch_size: of the training.
        callback: called with the steps taken and the divergence.
        network: options of `ot_flow_potential`.

    Raises:
        ValueError: for settings out of range.
        NonFiniteError: if a training breaks down.
    """
    positive("jko_chain", "step", step)
    counts = {"steps": steps, "particles": particles, "iterations": iterations}
    for name, count in counts.items():
        positive_count("jko_chain", name, count)
    draw_key, model_key, key = jax.random.split(key, 3)
    points = start.sample(particles, key=draw_key)
    density = jax.vmap(start.log_density)(points)
    game = flow_game(Empirical(points), Kinetic(1 / step), reference=target)
    model: AbstractModel = ot_flow_potential(game, key=model_key, **network)
    objective = PathLikelihood(_PATHS) + TransportCost(_PATHS)
    models: list[AbstractModel] = []
    laws = [(points, density)]
    divergences = [_divergence(target, points, density)]
    for index in range(steps):
        at = eqx.tree_at(lambda game: game.initial, game, Empirical(points))
        model, _ = fit(
            at,
            model,
            objective,
            points,
            steps=iterations,
            key=jax.random.fold_in(key, index),
            learning_rate=learning_rate,
            batch_size=batch_size,
            average=0.99,
            every=iterations,
        )
        points, gone = _carried(at, model, points)
        density = density - gone
        models.append(model)
        laws.append((points, density))
        divergences.append(_divergence(target, points, density))
        if callback is not None:
            callback(index + 1, float(divergences[-1]))
    places, densities = (jnp.stack(part) for part in zip(*laws, strict=True))
    return Chain(game, tuple(models), places, densities, jnp.stack(divergences))


@eqx.filter_jit
def _carried(game: MFG, model: AbstractModel, points: Batch) -> tuple[Batch, Float[Array, "n"]]:
    """Where particles of a step end, and log |det| of the way."""
    term = PathLikelihood(Paths(_FINE))

    def one(x: State) -> tuple[State, Scalar]:
        along = lambda t, x: velocity(game, model, jnp.asarray(t, x.dtype), x)
        end = _FINE(along, x, jnp.asarray(1.0, x.dtype)).value
        paid = term(game, model, x[None], key=jax.random.key(0))
        goal = game.terminal.goal
        assert isinstance(goal, AbstractEvaluable)
        return end, -paid - goal.log_density(end)

    return jax.lax.map(one, points, batch_size=256)


@eqx.filter_jit
def _divergence(target: AbstractEvaluable, points: Batch, density: Float[Array, "n"]) -> Scalar:
    return jnp.mean(density - jax.vmap(target.log_density)(points))
