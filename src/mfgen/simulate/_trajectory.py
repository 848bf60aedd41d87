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

On circles and between walls a step is one of the extended field (`mfgen.math._space`), folded at
its end: every node lies on the domain.

A path is differentiated through its steps, each computed again in the reverse pass. Long paths are
computed again in blocks of some sqrt(K) steps: the reverse pass then keeps what is known at the
beginning of each block and, within one, of each step. What is wanted of a node is taken on the way
(`follow`), so that the points themselves need not be kept.

Reference: P. E. Kloeden, E. Platen, "Numerical solution of stochastic differential equations"
(1992), sections 14.1 and 15.1.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mfgen import _check
from mfgen._types import Batch, Key, Scalar, State, Time
from mfgen.derive._hamiltonian import steered
from mfgen.games._game import MFG
from mfgen.math._linear_map import image, source_size
from mfgen.models._base import AbstractModel
from mfgen.simulate._base import at_points, check_played, check_points
from mfgen.simulate._clock import time_grid
from mfgen.simulate._diffusion import StochasticHeun
from mfgen.simulate._divergence import AbstractDivergence, moving_directions
from mfgen.simulate._integrator import AbstractStep, RungeKutta4, positive_count
from mfgen.simulate._solved import of_solutions

Method = AbstractStep
_SHORT = 32  # steps that are not laid out in blocks


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


class Particles(NamedTuple):
    """Particles on their way, or one of them: position, what was paid, and log |det|."""

    x: Float[Array, "*n dim"]
    paid: Float[Array, "*n"]
    log_det: Float[Array, "*n"]


@of_solutions
def trajectories(
    game: MFG,
    model: AbstractModel,
    x: Batch,
    *,
    key: Key,
    method: AbstractStep | None = None,
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
    check_played("trajectories", game, model)
    _check.a_key("trajectories", key)
    if nodes is not None:
        positive_count("trajectories", "nodes", nodes)
    x = check_points("trajectories", game, x)
    noisy = not game.dynamics.deterministic
    method = method or (StochasticHeun(100) if noisy else RungeKutta4(40))
    check_method("trajectories", game, method, divergence is not None)
    keep = lambda total, node: (total, (node.state, node.kick))
    with at_points("trajectories", game, model, x.shape[1]):
        found = follow(game, model, x, keep, (), key=key, method=method, divergence=divergence,
                       nodes=nodes)  # fmt: skip
    begin, (rest, kicks) = found.begin, found.kept
    path = jax.tree.map(lambda first, later: jnp.concatenate([first[None], later]), begin, rest)
    return Trajectories(found.times, path.x, path.paid, path.log_det, kicks)


class Node(NamedTuple):
    """All particles after a step.

    Attributes:
        number: of the node, from 1.
        time: t.
        state: positions `[n, dim]`, what was paid `[n]` and log |det| `[n]`.
        kick: the increment of W in the step, `[n, noise]`.
    """

    number: Int[Array, ""]
    time: Scalar
    state: Particles
    kick: Float[Array, "n noise"]


class Followed(NamedTuple):
    """Paths, and what was taken of them: times, first and last state, total, and what was kept."""

    times: Float[Array, "nodes"]
    begin: Particles
    end: Particles
    total: Any
    kept: Any


def follow(
    game: MFG,
    model: AbstractModel,
    x: Batch,
    visit: Callable[[Any, Node], tuple[Any, Any]],
    total: Any,
    *,
    key: Key,
    method: AbstractStep,
    divergence: AbstractDivergence | None = None,
    nodes: int | None = None,
) -> Followed:
    """Follows particles as `trajectories` does, and takes at each node what is wanted of it.

    Arguments:
        game, model, x, key, method, divergence, nodes: as of `trajectories`.
        visit: (total, node) -> (total, what to keep of the node), in the manner of a scan.
        total: at the beginning.
    """
    noisy, steps = not game.dynamics.deterministic, method.count(nodes)
    times = time_grid(game.dynamics, steps).astype(x.dtype)
    kick_key, probe_key = jax.random.split(key)
    size = source_size(game.dynamics.diffusion(times[0]), x.shape[1]) if noisy else 0
    directions = jnp.zeros((len(x), 0, x.shape[1]), x.dtype)
    if divergence is not None:
        probed = lambda start, key: moving_directions(game, divergence, start, key=key)
        directions = jax.vmap(probed)(x, jax.random.split(probe_key, len(x)))

    def advance(state: Particles, kick: State, directions, t: Scalar, after: Scalar) -> Particles:
        def rates(t: Time, state: Particles) -> Particles:
            at, sign = game.domain.folded(state.x)
            v = model.control(game, t, at)
            paid = jnp.exp(-game.discount * t) * game.lagrangian(t, at, v)
            if divergence is None:
                b, spread = sign * steered(game, t, at, v), jnp.zeros((), x.dtype)
            else:
                slope = divergence(game, model, t, at, directions)
                b, spread = sign * slope.velocity, jnp.mean(slope.divergence)
            return jax.tree.map(lambda part: jnp.asarray(part, x.dtype), Particles(b, paid, spread))

        still = jax.tree.map(jnp.zeros_like, state)
        noise = still, still
        if noisy:
            push = lambda t: image(game.dynamics.diffusion(t), kick).astype(x.dtype)
            noise = still._replace(x=push(t)), still._replace(x=push(after))
        state = method.advance(rates, state, t, after, noise)
        return state._replace(x=game.domain.fold(state.x))

    def step(carry: tuple[Particles, Any], index: Int[Array, ""]):
        state, total = carry
        t, after = times[index], times[index + 1]
        kick = jax.random.normal(jax.random.fold_in(kick_key, index), (len(x), size), x.dtype)
        kick = kick * jnp.sqrt(after - t)
        alone = lambda state, kick, directions: advance(state, kick, directions, t, after)
        state = jax.vmap(alone)(state, kick, directions)
        total, kept = visit(total, Node(index + 1, after, state, kick))
        return (state, total), kept

    zero = jnp.zeros(len(x), x.dtype)
    begin = Particles(x, zero, zero)
    (end, total), kept = block_scan(step, (begin, total), steps)
    return Followed(times, begin, end, total, kept)


def block_scan(step: Callable, carry: Any, steps: int) -> tuple[Any, Any]:
    """A scan over range(steps) that computes again, in the reverse pass, blocks and their steps."""
    once = jax.checkpoint(step)
    if steps <= _SHORT:
        return jax.lax.scan(once, carry, jnp.arange(steps))
    # The divisor next to the square root; a prime number of steps has no blocks.
    size = min((n for n in range(1, steps + 1) if steps % n == 0), key=lambda n: abs(n * n - steps))
    block = jax.checkpoint(lambda carry, row: jax.lax.scan(once, carry, row))
    carry, kept = jax.lax.scan(block, carry, jnp.arange(steps).reshape(-1, size))
    return carry, jax.tree.map(lambda leaf: leaf.reshape(steps, *leaf.shape[2:]), kept)


def check_method(owner: str, game: MFG, method: AbstractStep, follows: bool) -> None:
    """Refuses a method that does not integrate the game, in the name of `owner`.

    Raises:
        TypeError: names the method and what fits.
    """
    if not isinstance(method, AbstractStep):
        raise TypeError(
            f"`{owner}` got the method `{type(method).__name__}`, expected `RungeKutta4(40)`, "
            "`Adaptive(1e-5)`, `EulerMaruyama(200)` or `StochasticHeun(100)`."
        )
    if game.dynamics.deterministic:
        return
    if not method.random:
        raise TypeError(
            f"`{owner}` got the method `{type(method).__name__}` for a game with noise, expected "
            "one for random paths: pass `StochasticHeun(100)` or `EulerMaruyama(200)`."
        )
    if follows:
        raise TypeError(
            f"`{owner}` got a divergence for a game with noise, expected none: densities are not "
            "known along random paths."
        )
