"""The side of mfgen in `flows`: the same networks at the same weights, and its own training loop.

A step is that of `fit`: drawing a batch, loss and gradient, Adam, the average of the parameters.
FFJORD's final time T is trained: its field is run on [0, 1] as T f(T t, x), which is the same flow.
"""

import time
from collections.abc import Callable, Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import torch
from jaxtyping import Array

import mfgen as mg
from benchmarks.flows.peer_ot_flow import (
    ALPHAS,
    FRESH,
    RATE,
    STEPS,
    Record,
    eight_gaussians,
    surprise,
)
from benchmarks.flows.peer_potential import Arrays, ot_flow_weights
from benchmarks.harness.timing import Steps
from mfgen.losses import AbstractObjective, Combination, FlowMatching, Independent, OptimalTransport
from mfgen.models import OTFlowPotential
from mfgen.trainers import Gradient, Problem
from mfgen.trainers._run import Carry, advance
from mfgen.zoo import bridge_game, flow_game

Loss = tuple[float, Mapping[str, np.ndarray]]
PATHS = mg.losses.Paths(mg.simulate.RungeKutta4(STEPS, unroll=True))
TRAINING_STEPS, TRAINING_BATCH, TRAINING_RATE = 2200, 1024, 0.05  # chosen on other seeds
_LIKELIHOOD, _RESIDUAL = ALPHAS


def ot_flow_objective() -> Combination:
    likelihood = _LIKELIHOOD * mg.losses.PathLikelihood(PATHS)
    return likelihood + mg.losses.TransportCost(PATHS) + _RESIDUAL * mg.losses.PathHJB(paths=PATHS)


def potential(weights: Mapping[str, Array]) -> OTFlowPotential:
    depth = sum(name.startswith("K") for name in weights)
    return OTFlowPotential(
        weights["K0"],
        tuple(weights[f"K{i}"] for i in range(1, depth)),
        tuple(weights[f"b{i}"] for i in range(depth)),
        weights["w"],
        weights["A"],
        weights["b"],
        weights["c"],
    )


def own_ot_flow_loss(weights: Arrays, batch: np.ndarray) -> Loss:
    """Loss and gradient by the names of the peer's weights; 8 steps, alphas 100 and 5."""
    game = flow_game(mg.Empirical(batch), mg.Kinetic(), weight=_LIKELIHOOD)
    loss = lambda held, x: ot_flow_objective()(game, potential(held), x, key=jax.random.key(0))
    return _with_gradients(loss, weights, jnp.asarray(batch))


def own_ot_flow_steps(dim: int, width: int, batch: int) -> Steps:
    """Training steps with Adam, as `peer_ot_flow.ot_flow_steps` takes."""
    data = mg.Gaussian(jnp.zeros(dim), jnp.ones(dim)).sample(batch, key=jax.random.key(0))
    points = _gaussians(batch) if dim == 2 else np.asarray(data)
    game = flow_game(mg.Empirical(points), mg.Kinetic(), weight=_LIKELIHOOD)
    model = potential(jax.tree.map(jnp.asarray, ot_flow_weights(dim, width)))
    return _steps(game, model, ot_flow_objective(), points, batch)


def own_training(iterations: int, seed: int) -> list[Record]:
    """A run of so many iterations, with records; the rate falls along a cosine."""
    points, fresh = _gaussians(1_000_000, seed), jnp.asarray(_gaussians(FRESH, seed + 100))
    game = flow_game(mg.Empirical(points[:1000]), mg.Kinetic(), weight=_LIKELIHOOD)
    model = mg.models.ot_flow_potential(game, key=jax.random.key(seed))
    static, key = eqx.filter(model, eqx.is_inexact_array, inverse=True), jax.random.key(seed)
    trainer = Gradient(
        model, ot_flow_objective(), TRAINING_RATE, batch_size=TRAINING_BATCH, average=0.99, clip=1e6
    )
    go = _advancing(trainer, Problem(game, jnp.asarray(points)), iterations, key)
    marks = jax.jit(
        lambda held: [
            term(game, eqx.combine(held, static), fresh, key=key)
            for term in (
                mg.losses.PathLikelihood(PATHS),
                mg.losses.TransportCost(PATHS),
                mg.losses.PathHJB(paths=PATHS),
            )
        ]
    )
    begun = time.process_time()
    go(0)
    training, records, every = time.process_time() - begun, [], 50
    truth = surprise(torch.from_numpy(np.array(fresh)))
    for i in range(every, iterations + 1, every):
        begun = time.process_time()
        state = go(every)
        training += time.process_time() - begun
        likelihood, cost, hjb = map(float, marks(state.average))
        records.append(Record(i, training, 0.0, likelihood, cost, hjb, truth))
    return records


def own_ffjord_loss(weights: Arrays, batch: np.ndarray) -> Loss:
    """Negative log-likelihood and gradient by the names of the peer's weights."""
    game = flow_game(mg.Empirical(batch), mg.costs.NoCost())
    term = mg.losses.PathLikelihood(mg.losses.Paths(mg.simulate.Adaptive(1e-5)))
    loss = lambda held, x: term(game, _squashed(held), x, key=jax.random.key(0))
    return _with_gradients(loss, weights, jnp.asarray(batch))


def own_ffjord_steps(weights: Arrays, batch: int) -> Steps:
    """Training steps at these weights with rate 0, as `peer_ffjord.ffjord_steps` takes."""
    points = _gaussians(100_000)
    game = flow_game(mg.Empirical(points[:batch]), mg.costs.NoCost())
    term = 1.0 * mg.losses.PathLikelihood(mg.losses.Paths(mg.simulate.Adaptive(1e-5)))
    model = _squashed(jax.tree.map(jnp.asarray, dict(weights)))
    return _steps(game, model, term, points, batch, rate=1e-30)


def own_matching_loss(weights: Arrays, t: np.ndarray, xt: np.ndarray, ut: np.ndarray) -> Loss:
    """Mean square of f(t, xt) - ut over points and coordinates, and its gradient."""

    def loss(held: Mapping[str, Array], points) -> Array:
        t, x, u = points
        return jnp.mean(jnp.square(jax.vmap(_selu(held))(t, x) - u))

    return _with_gradients(loss, weights, tuple(map(jnp.asarray, (t, xt, ut))))


def own_matching_steps(weights: Arrays, batch: int, blur: float, *, coupled: bool) -> Steps:
    """Training steps of flow matching on 8 Gaussians, pairs drawn apart or by an optimal plan."""
    points = _gaussians(100_000)
    game = bridge_game(mg.Empirical(points[:batch]))
    coupling = OptimalTransport() if coupled else Independent()
    model = mg.models.ControlField(_Network(_selu, jax.tree.map(jnp.asarray, dict(weights))))
    objective = 1.0 * FlowMatching(coupling=coupling, width=blur)
    return _steps(game, model, objective, points, batch, rate=1e-3)


class _Network(eqx.Module):
    """A function of weights, time and place whose weights are trained."""

    build: Callable = eqx.field(static=True)
    weights: Mapping[str, Array]

    def __call__(self, t: Array, x: Array) -> Array:
        return self.build(self.weights)(t, x)


def _selu(weights: Mapping[str, Array]) -> Callable:
    count = len(weights) // 2

    def field(t: Array, x: Array) -> Array:
        hidden = jnp.append(x, t)
        for i in range(count):
            hidden = weights[f"net.{2 * i}.weight"] @ hidden + weights[f"net.{2 * i}.bias"]
            hidden = jax.nn.selu(hidden) if i < count - 1 else hidden
        return hidden

    return field


def _squashed(weights: Mapping[str, Array]) -> mg.models.ControlField:
    return mg.models.ControlField(_Network(_concatsquash, weights))


def _concatsquash(weights: Mapping[str, Array]) -> Callable:
    count, end = (len(weights) - 1) // 5, jnp.square(weights["root"])

    def field(t: Array, x: Array) -> Array:
        t = end * t
        for i in range(count):
            W, b, g, a, v = (weights[f"{name}{i}"] for name in "Wbgav")
            x = (W @ x + b) * jax.nn.sigmoid(g * t + a) + v * t
            x = jnp.tanh(x) if i < count - 1 else x
        return end * x

    return field


def _steps(
    game: mg.MFG,
    model: mg.models.AbstractModel,
    objective: AbstractObjective,
    points: np.ndarray,
    batch: int,
    rate: float = RATE,
) -> Steps:
    trainer = Gradient(model, objective, rate, batch_size=batch, clip=1e6)
    steps = _advancing(trainer, Problem(game, jnp.asarray(points)), 10**9, jax.random.key(0))
    steps(0)
    return steps


def _advancing(trainer: Gradient, problem: Problem, steps: int, key) -> Callable:
    """Takes so many steps more, and returns the state."""
    trainer = trainer.prepared(problem, steps, key=key)
    carry = Carry(trainer.init(problem, key=key), jnp.asarray(0, jnp.int32))

    def go(count: int):
        nonlocal carry
        count = jnp.asarray(count)
        carry = jax.block_until_ready(advance(trainer, problem, carry, key, count))[0]
        return carry.state

    return go


def _with_gradients(loss: Callable, weights: Arrays, batch) -> Loss:
    held = jax.tree.map(jnp.asarray, dict(weights))
    value, gradient = jax.jit(jax.value_and_grad(loss))(held, batch)
    return float(value), jax.tree.map(np.asarray, gradient)


def _gaussians(count: int, seed: int = 0) -> np.ndarray:
    return eight_gaussians(count, torch.Generator().manual_seed(seed)).numpy()
