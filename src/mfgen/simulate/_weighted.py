"""Points with importance weights for exp(-U), U the potential of a score-based game at its end.

A potential gives a density up to its integral Z = int exp(-U(T, x)) dx. Z is a mean over points
that something known draws,

    Z = E[w],

of weights that differ with the proposal:

    `FlowProposal`       w = exp(-U(T, x)) / q(x),   x, q from the probability flow of the model
    `AnnealedProposal`   w = prod_k exp(ell_k(x_k) - ell_(k-1)(x_k)),   x_(k+1) a Metropolis move
                         at level k from x_k, and ell_k = -U(t_k, .)
    `SequentialProposal` populations that are resampled on the way: `mfgen.simulate._sequential`

The flow needs the divergence of its velocity: dim products with the Hessian of U at each of its
stages. It is the better one in few dimensions. Annealing needs gradients of U alone, and no
integration has to be exact: its weights are unbiased for any number of levels, and vary less the
more there are and the better U satisfies its Hamilton-Jacobi-Bellman equation. The x of both,
weighted, follow exp(-U) / Z.

ell_k is in the coordinate w of the game's frame, where the noised law keeps its size, so that the
points of one level are near to those of the next. The steps of the moves are found by a pilot run
of chains of their own; a step that depends on the chain would make the weights wrong.

References: R. M. Neal (2001), "Annealed importance sampling"; F. Noé, S. Olsson, J. Köhler, H. Wu
(2019), arXiv 1812.01729 (weights of a flow).
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen import _check
from mfgen._types import Batch, Key, Scalar, State
from mfgen.games._game import MFG
from mfgen.math._count import plain
from mfgen.models._base import AbstractModel
from mfgen.simulate._base import check_finished, map_chunks
from mfgen.simulate._diffusion import end_time
from mfgen.simulate._divergence import AbstractDivergence, ExactDivergence
from mfgen.simulate._ends import evaluable_reference
from mfgen.simulate._flow import transport
from mfgen.simulate._frame import AbstractFrame, from_frame, smooth_frame, to_frame
from mfgen.simulate._integrator import AbstractIntegrator, RungeKutta4, positive_count
from mfgen.simulate._metropolis import WANTED, Energy, energy_of, move, walker_at

_PILOTS = 128  # chains by which the steps of the moves are found
_FIRST, _GAIN = 0.1, 0.5  # the first step in the frame, and what log step gains by a move


class Weighted(eqx.Module):
    """Points with the logarithms of their weights.

    Attributes:
        points: `[n, dim]`.
        log_weights: log w, whose mean exponential is Z, `[n]`.
        populations: 1 where points are independent; else the number of independent populations of
            equally many, one after the other, the points of each of which hang together.
    """

    points: Batch
    log_weights: Float[Array, "n"]
    populations: int = eqx.field(static=True, default=1)


class AbstractProposal(eqx.Module):
    """A way to draw points with weights for the density of a potential.

    To add one, give `__call__`, whose weights have the mean Z: E[w f(x)] = int f exp(-U(T, .)).
    """

    def __check_init__(self):
        _check.declared(self)

    @abstractmethod
    def __call__(
        self, game: MFG, model: AbstractModel, n: int, *, key: Key, chunk: int
    ) -> Weighted:
        """n points of a score-based game with their weights."""


class FlowProposal(AbstractProposal):
    """Points of the probability flow, weighted by exp(-U) over the flow's own density.

    Arguments:
        integrator: `RungeKutta4(steps)` or `Adaptive(tolerance)`; its error is one of the weights.
        divergence: `ExactDivergence()`; an estimate would make the weights wrong in the mean.
    """

    integrator: AbstractIntegrator = RungeKutta4(40)
    divergence: AbstractDivergence = ExactDivergence()

    def __check_init__(self):
        _check.of_kinds(
            self,
            integrator=(AbstractIntegrator, "pass `RungeKutta4(40)`"),
            divergence=(AbstractDivergence, "pass `ExactDivergence()`"),
        )
        if not self.divergence.exact:
            raise ValueError(
                f"`FlowProposal` got the divergence `{type(self.divergence).__name__}`, whose "
                "errors bias the weights exp(-U) / q, expected an exact one: pass "
                "`ExactDivergence()`, or anneal by `AnnealedProposal()`, which needs none."
            )

    def __call__(
        self, game: MFG, model: AbstractModel, n: int, *, key: Key, chunk: int
    ) -> Weighted:
        points, weights, times = _carried(self, game, model, n, key, chunk)
        check_finished("FlowProposal", points, times, game.dynamics.horizon)
        return Weighted(points, weights)


class AnnealedProposal(AbstractProposal):
    """Points of the reference, annealed to exp(-U) through the potentials of the noise levels.

    Arguments:
        levels: the number of noise levels.
        moves: Metropolis-adjusted Langevin moves at each of them.
    """

    levels: int = eqx.field(static=True, default=200, converter=plain)
    moves: int = eqx.field(static=True, default=2, converter=plain)

    def __check_init__(self):
        positive_count("AnnealedProposal", "levels", self.levels)
        positive_count("AnnealedProposal", "moves", self.moves)

    def __call__(
        self, game: MFG, model: AbstractModel, n: int, *, key: Key, chunk: int
    ) -> Weighted:
        return Weighted(*_annealed(self, game, model, n, key, chunk))


@eqx.filter_jit
def _carried(
    proposal: FlowProposal, game: MFG, model: AbstractModel, n: int, key: Key, chunk: int
) -> tuple[Batch, Float[Array, "n"], Float[Array, "n"]]:
    reference = evaluable_reference("FlowProposal", game)
    energy = energy_of("FlowProposal", model, end_time(game), jnp.zeros(0))

    def one(x: State) -> tuple[State, Scalar, Scalar]:
        moved = transport(
            game, model, x, integrator=proposal.integrator, divergence=proposal.divergence
        )
        own = reference.log_density(x) - jnp.mean(moved.log_det)
        return moved.point, -energy(moved.point) - own, moved.time

    return map_chunks(one, reference.sample(n, key=key), chunk)


@eqx.filter_jit
def _annealed(
    proposal: AnnealedProposal, game: MFG, model: AbstractModel, n: int, key: Key, chunk: int
) -> tuple[Batch, Float[Array, "n"]]:
    reference = evaluable_reference("AnnealedProposal", game)
    frame = smooth_frame(game)
    levels = jnp.arange(1, proposal.levels + 1)
    keys = jax.random.split(key, 4)

    def energy(index: Array) -> Energy:
        """-ell at a level, in the frame."""
        t = frame.clock.time(frame.clock.span * (index / proposal.levels))
        inner = energy_of("AnnealedProposal", model, t, jnp.zeros(0))
        size = reference.dim * jnp.log(frame.scale(t))
        return lambda w: (inner(from_frame(frame, t, w)) - size).astype(w.dtype)

    def begun(x: State) -> tuple[State, Scalar]:
        """A draw of the reference in the frame, with its weight for the first level."""
        w = to_frame(frame, 0.0, x)
        own = reference.log_density(x) + reference.dim * jnp.log(frame.scale(0.0))
        return w, (-energy(jnp.asarray(0))(w) - own).astype(x.dtype)

    starts = jax.vmap(lambda x: begun(x)[0])(reference.sample(_PILOTS, key=keys[0]))
    steps = _pilot(energy, starts, levels, proposal.moves, keys[1])

    def one(row: tuple[State, Key]) -> tuple[State, Scalar]:
        x, key = row

        def level(state: tuple[State, Scalar], now: tuple[Array, Scalar]):
            (w, weight), (index, step) = state, now
            weight = weight + energy(index - 1)(w) - energy(index)(w)
            go = lambda walker, key: (move(energy(index), walker, step, key)[0], None)
            keys = jax.random.split(jax.random.fold_in(key, index), proposal.moves)
            walker, _ = jax.lax.scan(go, walker_at(energy(index), w), keys)
            return (walker.point, weight), None

        (w, weight), _ = jax.lax.scan(level, begun(x), (levels, steps))
        return _out(frame, game, w), weight

    rows = reference.sample(n, key=keys[2]), jax.random.split(keys[3], n)
    return map_chunks(one, rows, chunk)


def _pilot(energy, starts: Batch, levels: Array, moves: int, key: Key) -> Float[Array, "levels"]:
    """The step at each level, adapted to the acceptance of many chains together."""

    def level(state: tuple[Batch, Scalar], index: Array):
        places, log_step = state

        def go(state, key):
            walkers, log_step = state
            keys = jax.random.split(key, places.shape[0])
            one = lambda walker, key: move(energy(index), walker, jnp.exp(log_step), key)
            walkers, chances = jax.vmap(one)(walkers, keys)
            return (walkers, log_step + _GAIN * (jnp.mean(chances) - WANTED)), None

        begin = jax.vmap(lambda w: walker_at(energy(index), w))(places), log_step
        keys = jax.random.split(jax.random.fold_in(key, index), moves)
        (walkers, log_step), _ = jax.lax.scan(go, begin, keys)
        return (walkers.point, log_step), log_step

    begin = starts, jnp.log(jnp.asarray(_FIRST, starts.dtype))
    return jnp.exp(jax.lax.scan(level, begin, levels)[1])


def _out(frame: AbstractFrame, game: MFG, w: State) -> State:
    return from_frame(frame, game.dynamics.horizon, w)
