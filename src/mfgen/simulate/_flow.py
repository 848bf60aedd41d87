"""Transport along the deterministic flow of a game, with the change of the log-density.

The flow dx/dt = b(t, x) with

    b = b*                        in a game without diffusion
    b = b* + (sigma^2 / 2) p      in a score-based game (probability flow, grad log rho = -p)

carries the same densities rho(t) as the game. Along a path from t = 0 to the horizon

    log |det dx(T)/dx(0)| = int_0^T div b dt,      log rho(T, x(T)) = log rho(0, x(0)) - log |det|.

It is integrated in the game's frame on the saturating clock (`mfgen.simulate._clock`). Samples are
carried from the reference to where the data are: backward in a normalizing flow.

References: Y. Song et al. (2021), arXiv 2011.13456, eq. 13 and appendix D; R. T. Q. Chen et al.
(2018), arXiv 1806.07366.
"""

from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen import _check
from mfgen._types import Batch, Given, Key, Scalar, State, Time
from mfgen.games._game import MFG
from mfgen.models._base import AbstractModel
from mfgen.simulate._base import (
    AbstractSampler,
    Arrival,
    check_finished,
    check_points,
    map_chunks,
)
from mfgen.simulate._divergence import (
    AbstractDivergence,
    NoDivergence,
    check_flow,
    moving_directions,
)
from mfgen.simulate._frame import from_frame, smooth_frame, to_frame
from mfgen.simulate._integrator import AbstractIntegrator, RungeKutta4, Value

_PATH_ALONE = NoDivergence()
_DEFAULT = RungeKutta4()


class Transported(NamedTuple):
    """The end of a path of the flow.

    Attributes:
        point: the end, shape `[dim]`.
        log_det: log |det| of the derivative of the end by the start, `[k]`, an estimate each.
        time: the game time reached.
    """

    point: State
    log_det: Float[Array, "k"]
    time: Scalar


class ProbabilityFlow(AbstractSampler):
    """The deterministic flow with the densities of the game: one draw, the start, per sample.

    Arguments:
        integrator: `RungeKutta4(steps)` or `Adaptive(tolerance)`.

    Raises:
        TypeError: when used on a game with diffusion that is not score-based.
    """

    reversible: ClassVar[bool] = True
    integrator: AbstractIntegrator = RungeKutta4(25)

    def __check_init__(self):
        _check.of_kinds(self, integrator=(AbstractIntegrator, "pass `RungeKutta4(25)`"))

    def __call__(self, game: MFG, model: AbstractModel, x: State, *, key: Key) -> Arrival:
        backward = game.data_at == "start"
        moved = transport(game, model, x, integrator=self.integrator, reverse=backward)
        return Arrival(moved.point, moved.time)

    def check(self, game: MFG) -> None:
        check_flow("ProbabilityFlow", game)


def transport(
    game: MFG,
    model: AbstractModel,
    x: State,
    *,
    integrator: AbstractIntegrator,
    divergence: AbstractDivergence = _PATH_ALONE,
    key: Key | None = None,
    reverse: bool = False,
) -> Transported:
    """Carries a point along the flow, from time 0 to the horizon or back.

    Arguments:
        game, model: the game and the model of its costate.
        x: the start, shape `[dim]`.
        integrator: the method for the differential equation.
        divergence: how the divergence is computed, `NoDivergence()` if no density is wanted.
        key: for random divergences.
        reverse: start at the horizon and go back to time 0.

    Raises:
        TypeError: for games with diffusion that are not score-based.
    """
    frame = smooth_frame(game)
    span, moving = frame.clock.span, x.size - game.dynamics.fixed
    directions = moving_directions(game, divergence, x, key=key)

    def slope(tau: Time, state: Value) -> Value:
        # A reversed path is run on a clock that counts from the horizon.
        tau, sign = (span - tau, -1) if reverse else (tau, 1)
        w, _ = state
        t = frame.clock.time(tau).astype(x.dtype)
        b, div_b = divergence(game, model, t, from_frame(frame, t, w), directions)
        rates = frame.velocity(tau, w, b), frame.divergence(tau, moving, div_b)
        return jax.tree.map(lambda rate: (sign * rate).astype(x.dtype), rates)

    ends = jnp.zeros_like(span), jnp.asarray(game.dynamics.horizon)
    begin, end = ends[::-1] if reverse else ends
    start = to_frame(frame, begin, x), jnp.zeros(divergence.count, x.dtype)
    (w, log_det), tau = integrator(slope, start, span)
    time = frame.clock.time(span - tau if reverse else tau)
    # An unfinished path is told where it is, not where it would end.
    there = jnp.where(tau < span, time, end)
    log_scale = moving * jnp.log(frame.scale(there) / frame.scale(begin))
    return Transported(from_frame(frame, there, w), log_det + log_scale.astype(x.dtype), time)


def inverse_error(
    game: MFG,
    model: AbstractModel,
    x: Given,
    *,
    integrator: AbstractIntegrator = _DEFAULT,
    chunk: int = 1024,
) -> Float[Array, "n"]:
    """Distances of points of the data from their images, carried to the reference and back.

    The exact flow is inverted exactly, so the distances measure the error of the integrator.

    Arguments:
        game, model: the game and the model of its costate.
        x: points where the data are, `[n, dim]`.
        integrator: the method to be examined.
        chunk: points at once.

    Returns:
        Euclidean distances, `[n]`, in units of x.

    Raises:
        TypeError: for games with diffusion that are not score-based.
        Unfinished: a `RuntimeError`, if the integrator does not arrive.
    """
    points = check_points("inverse_error", game, x)
    check_flow("inverse_error", game)
    distances, times = _inverse_error(game, model, points, integrator, chunk)
    check_finished("inverse_error", points, times, 0.0, distances)
    return distances


@eqx.filter_jit
def _inverse_error(
    game: MFG, model: AbstractModel, x: Batch, integrator: AbstractIntegrator, chunk: int
) -> tuple[Float[Array, "n"], Float[Array, "n"]]:
    late = game.data_at == "end"

    def one(x: State) -> tuple[Scalar, Scalar]:
        there = transport(game, model, x, integrator=integrator, reverse=late)
        again = transport(game, model, there.point, integrator=integrator, reverse=not late)
        back, ahead = (there, again) if late else (again, there)
        left = jnp.maximum(back.time, game.dynamics.horizon - ahead.time)
        return jnp.linalg.norm(again.point - x), left

    return map_chunks(one, x, chunk)
