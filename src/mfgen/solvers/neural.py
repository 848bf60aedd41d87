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

import functools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from mfgen import _check
from mfgen._types import Key, Scalar, State, Time
from mfgen.derive.residual import hjb
from mfgen.math.chunk import chunked_mean
from mfgen.math.count import count
from mfgen.math.domain import in_time
from mfgen.math.linear_map import matrix, square
from mfgen.models.base import AbstractPotential
from mfgen.models.mlp import MLP
from mfgen.problem.dynamics import positive
from mfgen.problem.functional import AbstractFunctional, needs_log_density, needs_population
from mfgen.problem.game import MFG
from mfgen.simulate.diffusion import EulerMaruyama
from mfgen.simulate.particle_path import ParticlePath, particle_path
from mfgen.simulate.trajectory import trajectories
from mfgen.solvers.base import AbstractSolver, Result, Solution, Status

_WIDE = 0.5  # how far every fourth point is moved off its particle, in deviations


class NetworkValue(AbstractPotential):
    """U = final(x) + (T - t) N, or N alone where the end is learned too; see above for r > 0."""

    network: MLP
    final: Callable[[State], Scalar] | None
    horizon: float = eqx.field(static=True)
    centre: State
    scale: State
    discount: float = eqx.field(static=True, default=0.0)

    def __call__(self, t: Time, x: State) -> Scalar:
        known = in_time("Solution.value", t, 0.0, self.horizon)
        left = (self.horizon - jnp.asarray(t, x.dtype) * known) / self.horizon
        learned = self.network((x - self.centre) / self.scale, 2 * left - 1)[0]
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
        optimiser = _optimiser(self.learning_rate, self.steps)
        state = optimiser.init(eqx.filter(value.network, eqx.is_inexact_array))
        parts = (jnp.nan, jnp.nan)
        for turn in range(-(-self.steps // self.refresh)):
            turn_key = jax.random.fold_in(train_key, turn)
            value, state, parts = _round(self, game, value, optimiser, state, smoothed, turn_key)
        last_key = jax.random.fold_in(train_key, self.steps)
        path = _paths(self, game, value, smoothed, last_key)
        residual, ending = (float(part) for part in parts)
        stats = {"residual": residual, "terminal": ending, "steps": float(self.steps)}
        return Solution(game, value, path, self._result(residual, ending), stats)

    def _untrained(self, game: MFG, starts: Float[Array, "n dim"], *, key: Key) -> NetworkValue:
        spread = jnp.std(starts, axis=0)
        noise = matrix(square(game.dynamics.diffusion(jnp.zeros(()))), starts.shape[1])
        walk = game.dynamics.horizon * jnp.diag(noise)
        scale = jnp.sqrt(jnp.square(spread) + walk) + 1e-6
        network = MLP(
            starts.shape[1], 1, width=self.width, depth=self.depth, frequencies=0, key=key
        )
        free = not needs_population(game.terminal, starts[0])
        final = _Final(game.terminal) if free else None
        centre = jnp.mean(starts, axis=0)
        return NetworkValue(network, final, game.dynamics.horizon, centre, scale, game.discount)

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


class _Final(eqx.Module):
    """The first variation of a terminal cost that does not depend on the population."""

    terminal: AbstractFunctional

    def __call__(self, x: State) -> Scalar:
        return self.terminal.variation(None, x)


@functools.cache  # the same one for the same settings, so that rounds are not compiled again
def _optimiser(rate: float, steps: int) -> optax.GradientTransformation:
    return optax.adam(optax.cosine_decay_schedule(rate, steps))


@eqx.filter_jit
def _paths(
    solver: Neural, game: MFG, value: NetworkValue, smoothed: bool, key: Key
) -> ParticlePath:
    """Particles that play the control of the value function."""
    assert game.initial is not None
    start_key, noise_key = jax.random.split(key)
    start = game.initial.sample(solver.particles, key=start_key)
    method = EulerMaruyama(solver.stages)
    found = trajectories(game, value, start, key=noise_key, method=method)
    return particle_path(game, found, smoothed=smoothed)


@eqx.filter_jit
def _round(
    solver: Neural,
    game: MFG,
    value: NetworkValue,
    optimiser: optax.GradientTransformation,
    state: optax.OptState,
    smoothed: bool,
    key: Key,
):
    """`refresh` steps at particles of the control as it is now; relative residuals at the end."""
    path_key, step_key = jax.random.split(key)
    path = _paths(solver, game, value, smoothed, path_key)
    moving, fixed = eqx.partition(value.network, eqx.is_inexact_array)

    def loss(moving, key):
        learned = eqx.tree_at(lambda v: v.network, value, eqx.combine(moving, fixed))
        residual, size = _residual(solver, game, learned, path, key)
        ending, height = _ending(solver, game, learned, path, key)
        return residual + solver.terminal_weight * ending, (residual, size, ending, height)

    def step(carry, key):
        moving, state = carry
        gradient, parts = jax.grad(loss, has_aux=True)(moving, key)
        updates, state = optimiser.update(gradient, state, moving)
        return (optax.apply_updates(moving, updates), state), jnp.stack(parts)

    keys = jax.random.split(step_key, solver.refresh)
    (moving, state), parts = jax.lax.scan(step, (moving, state), keys)
    residual, size, ending, height = jnp.mean(parts[-(solver.refresh // 2 or 1) :], axis=0)
    relative = (jnp.sqrt(residual / (size + 1e-12)), jnp.sqrt(ending / (height + 1e-12)))
    learned = eqx.tree_at(lambda v: v.network, value, eqx.combine(moving, fixed))
    return learned, state, relative


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
    points = path.points[stage, row] + wide[:, None] * noise * value.scale[None]

    def at(value: NetworkValue, sample):
        t, x = sample
        found, slope = jax.value_and_grad(lambda t: value(t, x))(t)
        slope = slope - game.discount * found
        residual = hjb(game, value, path, t, x) / unit
        return jnp.square(residual), jnp.square(slope / unit)

    def both(value: NetworkValue, sample):
        square, size = at(value, sample)
        return square, jax.lax.stop_gradient(size)

    return chunked_mean(both, value, (times, points), reports=True)


def _ending(solver: Neural, game: MFG, value: NetworkValue, path: ParticlePath, key: Key):
    """Mean square of the terminal mismatch, and of U(T)."""
    if value.final is not None:
        return jnp.zeros(()), jnp.ones(())
    rows = jax.random.randint(key, (solver.batch,), 0, path.points.shape[1])
    rho = path(path.horizon)

    def at(x: State):
        wanted = game.terminal.variation(rho, x)
        return jnp.square(value(path.horizon, x) - wanted), jnp.square(wanted)

    mismatch, size = jax.vmap(at)(path.points[-1, rows])
    return jnp.mean(mismatch), jnp.mean(size)
