"""Any declared game by a network: the value function trained on the residuals of its equations.

    minimise over theta   E |R(t, X)|^2 + w E |U_theta(T, X) - dM/drho(rho(T))(X)|^2
    R = -dt U + r U + H(t, x, grad U) - (sigma^2/2) lap U - dI/drho(rho(t))(x)

at particles X that play the control of U_theta itself, drawn anew as it learns; their law is
rho(t). Where M is linear in rho the terminal condition is built in, U = dM/drho + (T - t) N, and
the second term is absent. With a discount r the time left counts as what it costs,

    U = e^{-r (T - t)} dM/drho + (T + 1/r) (1 - e^{-r (T - t)}) N,

so that the layer of width 1/r at the end is not left to the network, which stays of the size of U;
R is divided by 1 + r T, which keeps it of the size of U / T.

Particles have no log-density: costs that need one get a kernel estimate. Nothing is discretised in
space, so the dimension is free; the price is an error that is sampled, not bounded, which `certify`
measures.

References:
    J. Sirignano, K. Spiliopoulos, "DGM: a deep learning algorithm for solving partial differential
    equations" (2018), arXiv 1708.07469; A. T. Lin et al., "APAC-Net" (2021), arXiv 2002.10113, for
    networks on mean-field games; L. Ruthotto et al. (2020), arXiv 1912.01825, for residuals along
    the particles' own paths.
"""

import math
from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from mfgen import _check
from mfgen._types import Key, Scalar, State, Time
from mfgen.derive._residual import hjb
from mfgen.dynamics._dynamics import positive
from mfgen.functionals._functional import needs_log_density, needs_population
from mfgen.games._game import MFG
from mfgen.math._axes import Euclidean
from mfgen.math._chunk import chunked_mean
from mfgen.math._count import count
from mfgen.math._domain import in_time
from mfgen.math._linear_map import matrix, square
from mfgen.math._space import AbstractDomain
from mfgen.models._base import AbstractPotential
from mfgen.models._mlp import MLP
from mfgen.simulate._diffusion import EulerMaruyama
from mfgen.simulate._ends import initial_density
from mfgen.simulate._particle_path import ParticlePath, particle_path
from mfgen.simulate._trajectory import trajectories
from mfgen.solvers._base import AbstractSolver, Result, Solution, Status
from mfgen.trainers._gradient import descended
from mfgen.trainers._run import run
from mfgen.trainers._trainer import AbstractTrainer, Problem, Terms

_WIDE = 0.5  # how far every fourth point is moved off its particle, in deviations


class NetworkValue(AbstractPotential):
    """U = final(x) + (T - t) N, or N alone where the end is learned too; see above for r > 0."""

    network: MLP
    final: Callable[[State], Scalar] | None
    horizon: float = eqx.field(static=True)
    centre: State
    scale: State
    discount: float = eqx.field(static=True, default=0.0)
    domain: AbstractDomain = Euclidean()

    def __call__(self, t: Time, x: State) -> Scalar:
        x = self.domain.fold(x)
        known = in_time("Solution.value", t, 0.0, self.horizon)
        left = (self.horizon - jnp.asarray(t, x.dtype) * known) / self.horizon
        z = (self.domain.features(x) - self.centre) / self.scale
        learned = self.network(z, 2 * left - 1)[0]
        if self.final is None:
            return learned
        if self.discount == 0:
            return self.final(x) + self.horizon * left * learned
        gone = -jnp.expm1(-self.discount * self.horizon * left)
        return (1 - gone) * self.final(x) + (self.horizon + 1 / self.discount) * gone * learned


class Neural(AbstractSolver):
    """Solves a game by training a network on the residuals of its equations.

    Arguments:
        width, depth: size and number of the network's hidden layers.
        steps: of the optimiser, Adam with a cosine schedule.
        learning_rate: its peak.
        batch: points of a step.
        particles: drawn anew every `refresh` steps.
        stages: Euler-Maruyama steps of a particle's path.
        refresh: steps of the optimiser between drawings.
        terminal_weight: w, where the terminal condition is not built in.
        tolerance: the root mean square residual, relative to that of its parts, up to which the
            result counts as converged.

    Raises (on `solve`):
        ValueError: no initial density, or no key.
        TypeError: a terminal condition without a first variation.
        NonFiniteError: a residual that is not finite; it names the step.
    """

    width: int = eqx.field(static=True, default=64)
    depth: int = eqx.field(static=True, default=3)
    steps: int = eqx.field(static=True, default=3000)
    learning_rate: float = eqx.field(static=True, default=3e-3)
    batch: int = eqx.field(static=True, default=256)
    particles: int = eqx.field(static=True, default=1024)
    stages: int = eqx.field(static=True, default=64)
    refresh: int = eqx.field(static=True, default=100)
    terminal_weight: float = eqx.field(static=True, default=1.0)
    tolerance: float = eqx.field(static=True, default=0.03)

    def __check_init__(self):
        sizes = ("width", "depth", "steps", "batch", "particles", "stages", "refresh")
        for name in sizes:
            count("Neural", name, getattr(self, name))
        for name in ("learning_rate", "tolerance"):
            positive("Neural", name, getattr(self, name))
        _check.numbers(self, "terminal_weight")

    def solve(self, game: MFG, *, key: Key | None = None) -> Solution:
        if game.initial is None or key is None:
            raise ValueError(
                "`Neural` got a game without an initial density or no key, expected both: declare "
                "`MFG(..., initial=density)` and pass `key=jax.random.key(0)`."
            )
        start_key, network_key, train_key = jax.random.split(key, 3)
        starts = game.initial.sample(self.particles, key=start_key)
        dim = starts.shape[1]
        smoothed = any(needs_log_density(cost, dim) for cost in (game.interaction, game.terminal))
        value = self._untrained(game, starts, key=network_key)
        found = run(
            _Rounds(self, value, smoothed),
            Problem(game),
            steps=self.steps,
            key=train_key,
            every=max(1, self.refresh // 2),
        )
        last = found.history.records[-1].terms
        residual = math.sqrt(last["residual"] / (last["change"] + 1e-12))
        ending = math.sqrt(last["terminal"] / (last["height"] + 1e-12))
        stats = {"residual": residual, "terminal": ending, "steps": float(self.steps)}
        value, path = found.solution
        return Solution(game, value, path, self._result(residual, ending), stats)

    def _untrained(self, game: MFG, starts: Float[Array, "n dim"], *, key: Key) -> NetworkValue:
        spread = jnp.std(starts, axis=0)
        noise = matrix(square(game.dynamics.diffusion(jnp.zeros(()))), starts.shape[1])
        walk = game.dynamics.horizon * jnp.diag(noise)
        scale = jnp.sqrt(jnp.square(spread) + walk) + 1e-6
        centre = jnp.mean(starts, axis=0)
        if game.domain.bounded:
            # Of the features where particles will be, which are of another number than coordinates.
            far = starts + jnp.sqrt(walk)[None] * jax.random.normal(key, starts.shape)
            features = jax.vmap(game.domain.features)(far)
            centre, scale = jnp.mean(features, axis=0), jnp.std(features, axis=0) + 1e-6
        network = MLP(scale.size, 1, width=self.width, depth=self.depth, frequencies=0, key=key)
        free = not needs_population(game.terminal, starts[0])
        final = eqx.Partial(game.terminal.variation, None) if free else None
        horizon, domain = game.dynamics.horizon, game.domain
        return NetworkValue(network, final, horizon, centre, scale, game.discount, domain)

    def _result(self, residual: float, ending: float) -> Result:
        said = (
            f"Trained {self.steps} steps: the HJB residual is {residual:.1%} of its parts, the "
            f"terminal mismatch {ending:.1%} (root mean squares over the particles)."
        )
        worst = max(residual, ending)
        if worst <= self.tolerance:
            return Result(Status.CONVERGED, said)
        if worst < 1e3:
            fix = " Train longer, with a wider network, or with a smaller learning rate."
            return Result(Status.STALLED, said + fix)
        return Result(Status.DIVERGED, said + " Take a smaller learning rate.")


class _State(eqx.Module):
    """Parameters of the network, the optimiser's state, and the paths of particles."""

    parameters: PyTree
    optimiser: optax.OptState
    path: ParticlePath


class _Rounds(AbstractTrainer):
    """Descent on the residuals at particles that are drawn anew every `refresh` steps."""

    owner: ClassVar[str] = "Neural"

    solver: Neural
    value: NetworkValue
    smoothed: bool = eqx.field(static=True)

    @property
    def period(self) -> int:
        return self.solver.refresh

    def init(self, problem: Problem, *, key: Key) -> _State:
        parameters = eqx.filter(self.value.network, eqx.is_inexact_array)
        path = _paths(self.solver, problem.declared(self.owner), self.value, self.smoothed, key)
        return _State(parameters, self._optimiser.init(parameters), path)

    def step(self, problem: Problem, state: _State, *, key: Key) -> tuple[_State, Terms]:
        solver, game = self.solver, problem.declared(self.owner)

        def loss(parameters: PyTree) -> tuple[Scalar, Terms]:
            learned = self._learned(parameters)
            residual, change = _residual(solver, game, learned, state.path, key)
            ending, height = _ending(solver, game, learned, state.path, key)
            terms = {"residual": residual, "change": change, "terminal": ending, "height": height}
            return residual + solver.terminal_weight * ending, terms

        gradient, terms = jax.grad(loss, has_aux=True)(state.parameters)
        parameters, optimiser = descended(
            self._optimiser, gradient, state.parameters, state.optimiser
        )
        return _State(parameters, optimiser, state.path), terms

    def turned(self, problem: Problem, state: _State, *, key: Key) -> _State:
        value = self._learned(state.parameters)
        path = _paths(self.solver, problem.declared(self.owner), value, self.smoothed, key)
        return _State(state.parameters, state.optimiser, path)

    def solution(self, problem: Problem, state: _State) -> tuple[NetworkValue, ParticlePath]:
        return self._learned(state.parameters), state.path

    def _learned(self, parameters: PyTree) -> NetworkValue:
        network = eqx.combine(parameters, self.value.network)
        return eqx.tree_at(lambda value: value.network, self.value, network)

    @property
    def _optimiser(self) -> optax.GradientTransformation:
        return optax.adam(optax.cosine_decay_schedule(self.solver.learning_rate, self.solver.steps))


@eqx.filter_jit
def _paths(
    solver: Neural, game: MFG, value: NetworkValue, smoothed: bool, key: Key
) -> ParticlePath:
    """Particles that play the control of the value function."""
    start_key, noise_key = jax.random.split(key)
    start = initial_density("Neural", game).sample(solver.particles, key=start_key)
    method = EulerMaruyama(solver.stages)
    found = trajectories(game, value, start, key=noise_key, method=method)
    return particle_path(game, found, smoothed=smoothed)


def _residual(solver: Neural, game: MFG, value: NetworkValue, path: ParticlePath, key: Key):
    """Mean square of the HJB residual, and of the time derivative dt U - r U it is made of."""
    stage_key, row_key, time_key, move_key = jax.random.split(key, 4)
    stages = len(path.times) - 1
    stage = jax.random.randint(stage_key, (solver.batch,), 0, stages + 1)
    row = jax.random.randint(row_key, (solver.batch,), 0, path.points.shape[1])
    shift = jax.random.uniform(time_key, (solver.batch,), minval=-0.5, maxval=0.5)
    times = jnp.interp(stage + shift, jnp.arange(stages + 1), path.times)
    unit = 1 + game.discount * path.horizon
    wide = _WIDE * (jnp.arange(solver.batch) % 4 == 0)
    noise = jax.random.normal(move_key, (solver.batch, path.points.shape[2]))
    reach = jnp.std(path.points, axis=(0, 1)) if game.domain.bounded else value.scale
    points = path.points[stage, row] + wide[:, None] * noise * reach[None]
    points = game.domain.fold(points)

    def at(value: NetworkValue, sample):
        t, x = sample
        found, slope = jax.value_and_grad(lambda t: value(t, x))(t)
        change = (slope - game.discount * found) / unit
        residual = hjb(game, value, path, t, x) / unit
        return jnp.square(residual), jax.lax.stop_gradient(jnp.square(change))

    return chunked_mean(at, value, (times, points), reports=True)


def _ending(solver: Neural, game: MFG, value: NetworkValue, path: ParticlePath, key: Key):
    """Mean square of the terminal mismatch, and of U(T)."""
    if value.final is not None:
        return jnp.zeros(()), jnp.ones(())
    rows = jax.random.randint(key, (solver.batch,), 0, path.points.shape[1])
    rho = path(path.horizon)

    def at(x: State):
        wanted = game.terminal.variation(rho, x)
        return jnp.square(value(path.horizon, x) - wanted), jnp.square(wanted)

    mismatch, size = jax.vmap(at)(game.domain.fold(path.points[-1, rows]))
    return jnp.mean(mismatch), jnp.mean(size)
