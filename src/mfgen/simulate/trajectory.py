"""Paths of a game's particles under a control, with what they pay and how they spread on the way.

    dX = b dt + sigma dW,   b = a + g v(t, X)            the particle
    C_t = int_0^t e^{-r s} L(s, X, v) ds                 what it has paid, discounted
    log |det dX_t/dX_0| = int_0^t div b ds               without noise: log rho(t, X_t) less this
    M_t = int_0^t sigma dW                               what noise has added

All are integrated together, from node to node of the game's clock, by the same method:

    `EulerMaruyama(steps)`     weak order 1                   with noise
    `StochasticHeun(steps)`    weak order 2                   with noise
    `RungeKutta4(steps)`       order 4                        without
    `Adaptive(tolerance)`      to a tolerance, at given nodes  without

On circles and between walls a step is one of the extended field (`mfgen.math.space`), folded at its
end: every node lies on the domain.

A path is differentiated through its steps, each computed again in the reverse pass, so that memory
grows with the number of nodes only by one point and not by what the model computes there.

Reference: P. E. Kloeden, E. Platen, "Numerical solution of stochastic differential equations"
(1992), sections 14.1 and 15.1.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen import _check
from mfgen._types import Batch, Key, Scalar, State, Time
from mfgen.derive.hamiltonian import steered
from mfgen.math.linear_map import image, source_size
from mfgen.models.base import AbstractModel
from mfgen.problem.game import MFG
from mfgen.simulate.base import check_points
from mfgen.simulate.diffusion import EulerMaruyama, StochasticHeun
from mfgen.simulate.divergence import AbstractDivergence, moving_directions
from mfgen.simulate.frame import random_frame, smooth_frame
from mfgen.simulate.integrator import Adaptive, RungeKutta4
from mfgen.simulate.solved import of_solutions

Method = EulerMaruyama | StochasticHeun | RungeKutta4 | Adaptive


class Trajectories(NamedTuple):
    """Paths of n particles at the nodes 0 = t_0 < ... < t_K = T.

    Attributes:
        times: `[K + 1]`.
        points: X, `[K + 1, n, dim]`.
        paid: C, the discounted running cost so far, `[K + 1, n]`.
        log_det: log |det dX_t/dX_0|, `[K + 1, n]`; zero where it was not asked for.
        noise: the increments of W, `[K, n, noise]`; empty without noise.
    """

    times: Float[Array, "nodes"]
    points: Float[Array, "nodes n dim"]
    paid: Float[Array, "nodes n"]
    log_det: Float[Array, "nodes n"]
    noise: Float[Array, "steps n noise"]


class _State(NamedTuple):
    """A particle on its way."""

    x: State
    paid: Scalar
    log_det: Scalar


@of_solutions
def trajectories(
    game: MFG,
    model: AbstractModel,
    x: Batch,
    *,
    key: Key,
    method: Method | None = None,
    divergence: AbstractDivergence | None = None,
    nodes: int | None = None,
) -> Trajectories:
    """Follows particles of a game from time 0 to its horizon under a model's control.

    Arguments:
        game: the game.
        model: what plays: a potential, a control field, or the `value` of a solution.
        x: where particles start, `[n, dim]`.
        key: random key of the noise and of the divergence's directions.
        method: `StochasticHeun(100)` with noise and `RungeKutta4(40)` without, if absent.
        divergence: how div b is computed, `ExactDivergence()`, where log |det| is asked for.
        nodes: of an adaptive method, 16 if absent; others have one at every step.

    Returns:
        The paths.

    Raises:
        TypeError: for a method that is not of the game's kind, or a divergence of one with noise.

    Example:

        found = trajectories(game, solution.value, game.initial.sample(1000, key=key), key=key)
        jnp.mean(found.paid[-1])        # the running cost
    """
    fix = "pass a model such as `control_field(game, key=key)`, or the `value` of a solution"
    _check.of_kind("trajectories", "game", game, MFG, "pass the game first, then what plays it")
    _check.of_kind("trajectories", "model", model, AbstractModel, fix)
    _check.a_key("trajectories", key)
    x = check_points("trajectories", game, x)
    noisy, domain = not game.dynamics.deterministic, game.domain
    method = method or (StochasticHeun(100) if noisy else RungeKutta4(40))
    check_method("trajectories", game, method, divergence is not None)
    steps = (nodes or 16) if isinstance(method, Adaptive) else method.steps
    frame = random_frame(game) if noisy else smooth_frame(game)
    times = jax.vmap(frame.clock.time)(frame.clock.span * jnp.arange(steps + 1) / steps)
    times = times.astype(x.dtype)
    keys = jax.random.split(key, len(x))

    def one(start: State, key: Key):
        kick_key, probe_key = jax.random.split(key)
        size = source_size(game.dynamics.diffusion(times[0]), start.size) if noisy else 0
        normal = jax.random.normal(kick_key, (steps, size), x.dtype)
        kicks = normal * jnp.sqrt(jnp.diff(times))[:, None]
        directions = jnp.zeros((0, start.size), x.dtype)
        if divergence is not None:
            directions = moving_directions(game, divergence, start, key=probe_key)

        def rates(t: Time, state: _State) -> _State:
            at, sign = domain.folded(state.x)
            v = model.control(game, t, at)
            paid = jnp.exp(-game.discount * t) * game.lagrangian(t, at, v)
            if divergence is None:
                b, spread = sign * steered(game, t, at, v), jnp.zeros((), x.dtype)
            else:
                slope = divergence(game, model, t, at, directions)
                b, spread = sign * slope.velocity, jnp.mean(slope.divergence)
            return jax.tree.map(lambda part: jnp.asarray(part, x.dtype), _State(b, paid, spread))

        @jax.checkpoint
        def step(state: _State, row):
            t, after, kick = row
            state = _advanced(game, method, rates, state, t, after, kick)
            state = state._replace(x=domain.fold(state.x))
            return state, state

        zero = jnp.zeros((), x.dtype)
        begin = _State(start, zero, zero)
        _, rest = jax.lax.scan(step, begin, (times[:-1], times[1:], kicks))
        path = jax.tree.map(lambda first, later: jnp.concatenate([first[None], later]), begin, rest)
        return path, kicks

    path, kicks = jax.vmap(one, out_axes=1)(x, keys)
    return Trajectories(times, path.x, path.paid, path.log_det, kicks)


def check_method(owner: str, game: MFG, method: Method, follows: bool) -> None:
    """Refuses a method that does not integrate the game, in the name of `owner`.

    Raises:
        TypeError: names the method and what fits.
    """
    noisy = not game.dynamics.deterministic
    stochastic = isinstance(method, EulerMaruyama | StochasticHeun)
    if noisy and not stochastic:
        raise TypeError(
            f"`{owner}` got the method `{type(method).__name__}` for a game with noise, expected "
            "one for random paths: pass `StochasticHeun(100)` or `EulerMaruyama(200)`."
        )
    if noisy and follows:
        raise TypeError(
            f"`{owner}` got a divergence for a game with noise, expected none: densities are not "
            "known along random paths."
        )
    if not isinstance(method, Method):
        raise TypeError(
            f"`{owner}` got the method `{type(method).__name__}`, expected `RungeKutta4(40)`, "
            "`Adaptive(1e-5)`, `EulerMaruyama(200)` or `StochasticHeun(100)`."
        )


def _advanced(game: MFG, method: Method, rates, state: _State, t, after, kick) -> _State:
    """The state at the end of a step, `kick` being the increment of W."""
    h = after - t
    if isinstance(method, RungeKutta4 | Adaptive):
        inner = RungeKutta4(1) if isinstance(method, RungeKutta4) else method
        return inner(lambda tau, y: rates(t + tau, y), state, h).value
    added = jnp.zeros_like(state.x)
    if not game.dynamics.deterministic:
        added = image(game.dynamics.diffusion(t), kick).astype(state.x.dtype)
    first = rates(t, state)
    ahead = _moved(state, first, h)
    if isinstance(method, EulerMaruyama):
        return ahead._replace(x=ahead.x + added)
    if not game.dynamics.deterministic:
        later = image(game.dynamics.diffusion(after), kick).astype(state.x.dtype)
        added = 0.5 * (added + later)
    second = rates(after, ahead._replace(x=ahead.x + added))
    mean = jax.tree.map(lambda a, b: 0.5 * (a + b), first, second)
    ahead = _moved(state, mean, h)
    return ahead._replace(x=ahead.x + added)


def _moved(state: _State, rate: _State, h: Scalar) -> _State:
    return jax.tree.map(lambda y, d: y + h * d, state, rate)
