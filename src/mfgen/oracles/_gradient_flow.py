"""Gradient flows as discounted games, solved exactly: that of a parabola, and that of a divergence.

The game is that of `mfgen.zoo._gradient_flow` with the terminal cost that stands for all that would
be paid after T, so that the solution is that of the infinite horizon.

1. F = (c/2) E |X|^2:      U = a |x|^2 / 2,  v* = -a x,  X_t = e^{-a t} X_0,

    a / e + a^2 = c / e,      a = ( sqrt(1 + 4 e c) - 1 ) / (2 e)  ->  c  as e -> 0.

2. F = KL(rho || N(0, 1)) and rho = N(m, s^2), in any dimension coordinate by coordinate: U is
quadratic, U = P |x|^2 / 2 + q.x + k. Put into the equation, with P = -s' / s and P m + q = -m',

    e m'' = m' + m,                     so  m = e^{-a t} m_0  with a for c = 1,
    e s'' = s' + s - 1 / s,             a saddle at s = 1, whose stable orbit is followed,
    k' = k / e + |q|^2 / 2 - ( 1 - d log s - |m|^2 / (2 s^2) ) / e.

Near s = 1 the deviation decays at the rate a for c = 2, the curvature of F there. As e -> 0 both
become m' = -m, s' = 1 / s - s: the Ornstein-Uhlenbeck process, whose law is the gradient flow of F.

References:
    R. Rossi, G. Savare, A. Segatti, U. Stefanelli (2019), arXiv 1801.04988, section 1, for the
    value function of the infinite horizon.
    R. Jordan, D. Kinderlehrer, F. Otto, SIAM J. Math. Anal. 29 (1998), for the gradient flow of KL.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float
from scipy.integrate import solve_ivp

from mfgen._types import Scalar, State, Time
from mfgen.densities._gaussian import Gaussian
from mfgen.dynamics._dynamics import positive
from mfgen.functionals._functional import KL, Linear
from mfgen.math._hermite import Hermite
from mfgen.math._quadrature import gauss_exponential
from mfgen.oracles._base import Oracle, box, check_dim, exact
from mfgen.solvers._base import Solution
from mfgen.zoo._gradient_flow import gradient_flow_game

_NODES = 2000  # of a path in time
_EARLY = 12.0  # e-foldings of the orbit between the saddle and the horizon
_PRECISE = {"method": "DOP853", "rtol": 1e-12, "atol": 1e-14, "dense_output": True}


def decay_rate(epsilon: float, curvature: float = 1.0) -> float:
    """a = (sqrt(1 + 4 e c) - 1) / (2 e), the rate at which distances from the minimum decay."""
    return 2 * curvature / (1 + math.sqrt(1 + 4 * epsilon * curvature))


def quadratic_flow(
    dim: int = 1, epsilon: float = 0.1, curvature: float = 1.0, horizon: float = 1.0
) -> Oracle:
    """The gradient flow of a parabola as a discounted game.

    It is the game of `discounted_flow` without weights, so that no epsilon is too small.

    Arguments:
        dim: dimension of the space.
        epsilon: e, how far particles look ahead.
        curvature: c > 0 of the parabola.
        horizon: T.

    Raises:
        ValueError: a number that is not positive.
    """
    check_dim("quadratic_flow", dim)
    positive("quadratic_flow", "epsilon", epsilon)
    positive("quadratic_flow", "curvature", curvature)
    rate = decay_rate(epsilon, curvature)
    mean, variance = 1.2 * (-0.7) ** np.arange(dim), 0.25
    value = lambda t, x: 0.5 * rate * x @ x

    def path(t: Time) -> Gaussian:
        shrunk = jnp.exp(-rate * jnp.asarray(t, float))
        return Gaussian(shrunk * mean, shrunk**2 * variance)

    energy = Linear(lambda x: 0.5 * curvature * x @ x)
    end = Linear(lambda x: value(horizon, x))
    game = gradient_flow_game(energy, Gaussian(mean, variance), epsilon, horizon, end)
    return Oracle(
        exact(game, value, path),
        0.5 * rate * float(mean @ mean + dim * variance),
        box(path, horizon),
        "oracle-quadratic-flow",
        "the gradient flow of a parabola as a game with a discount",
        "U = a |x|^2 / 2, a = (sqrt(1 + 4 e c) - 1) / (2 e), X_t = e^{-at} X_0",
        "R. Rossi et al. (2019), arXiv 1801.04988",
    )


def entropic_flow(
    dim: int = 1, epsilon: float = 0.1, horizon: float = 1.0, deviation: float = 0.5
) -> Oracle:
    """The gradient flow of KL(. || N(0, I)) from a normal law as a discounted game.

    Arguments:
        dim: dimension of the space.
        epsilon: e, how far particles look ahead.
        horizon: T.
        deviation: s_0 of the initial law, in each coordinate.

    Raises:
        ValueError: a number that is not positive.
    """
    check_dim("entropic_flow", dim)
    for name, number in (("epsilon", epsilon), ("horizon", horizon), ("deviation", deviation)):
        positive("entropic_flow", name, number)
    rate, start = decay_rate(epsilon), 1.2 * (-0.7) ** np.arange(dim)
    orbit, times = _orbit(epsilon, horizon, deviation), np.linspace(0.0, horizon, _NODES + 1)
    means = np.exp(-rate * times)[:, None] * start
    spread = _path(orbit, epsilon, horizon)
    constant = _constant(orbit, means, epsilon, horizon, rate)
    mean = lambda t: jnp.exp(-rate * jnp.asarray(t, float)) * start

    def value(t: Time, x: State) -> Scalar:
        deviation, speed = spread(t)
        steep = speed / deviation
        return x @ (0.5 * steep * x + (rate - steep) * mean(t)) + constant(t)

    path = lambda t: Gaussian(mean(t), spread(t)[0] ** 2)
    energy = KL(Gaussian(np.zeros(dim), 1.0))
    end = Linear(lambda x: value(horizon, x))
    solution = exact(gradient_flow_game(energy, path(0.0), epsilon, horizon, end), value, path)
    return Oracle(
        solution,
        _paid(solution, path, epsilon, horizon),
        box(path, horizon),
        "oracle-entropic-flow",
        "the gradient flow of a divergence from a normal law as a game with a discount",
        "m_t = e^{-at} m_0, e s'' = s' + s - 1 / s on the stable orbit of s = 1",
        "R. Rossi et al. (2019), arXiv 1801.04988",
    )


@dataclass(frozen=True)
class _Arrival:
    """The event that ends the orbit: z is that of the initial law."""

    first: float
    terminal: bool = True

    def __call__(self, _, y) -> float:
        return (y[0] - self.first) / self.first


def _orbit(epsilon: float, horizon: float, deviation: float) -> Float[np.ndarray, "nodes 2"]:
    """(s, w) with w = -s' on the stable orbit of s = 1, from s(0) = deviation, at even times.

    It is followed backward from the saddle, where it is attracting, for z = s - 1, w ~ a z.
    """
    slow, first = decay_rate(epsilon, 2.0), deviation - 1
    if first == 0:
        return np.tile([1.0, 0.0], (_NODES + 1, 1))
    change = lambda _, y: [y[1], (_pull(y[0]) - y[1]) / epsilon]
    last = first * math.exp(-slow * horizon - _EARLY)
    # Far away s decays like e^{-at} with the a of c = 1, which is no less than half of that here.
    span = (0.0, 2 * (horizon + _EARLY / slow) + 10)
    found = solve_ivp(change, span, [last, slow * last], events=_Arrival(first), **_PRECISE)
    z, w = found.sol(found.t_events[0][0] - np.linspace(0.0, horizon, _NODES + 1))
    return np.stack([1 + z, w], -1)


def _pull(z: Float[ArrayLike, "..."]):
    """s - 1/s at s = 1 + z."""
    return z * (2 + z) / (1 + z)


def _path(orbit: Float[np.ndarray, "nodes 2"], epsilon: float, horizon: float) -> Hermite:
    """t -> (s, w), by the slopes that the equation gives."""
    s, w = orbit.T
    slopes = np.stack([-w, (w - _pull(s - 1)) / epsilon], -1)
    return Hermite(jnp.asarray(orbit), jnp.asarray(slopes), horizon)


def _constant(
    orbit: Float[np.ndarray, "nodes 2"],
    mean: Float[np.ndarray, "nodes dim"],
    epsilon: float,
    horizon: float,
    rate: float,
) -> Hermite:
    """The constant k of the value function, backward from where it nearly rests."""
    s, w = orbit.T
    square, dim = np.sum(mean**2, axis=1), mean.shape[1]
    # What k' holds besides k / e.
    rest = 0.5 * (rate - w / s) ** 2 * square
    rest = rest - (1 - dim * np.log(s) - square / (2 * s**2)) / epsilon
    # The integral of e^{-u / e} rest(t + u) over two nodes, by Simpson's rule.
    step, values = 2 * horizon / _NODES, [-epsilon * rest[-1]]
    fade = math.exp(-0.5 * step / epsilon)
    parts = step / 6 * (rest[:-2:2] + 4 * fade * rest[1::2] + fade**2 * rest[2::2])
    for part in parts[::-1]:
        values.append(fade**2 * values[-1] - part)
    found = np.asarray(values[::-1])
    return Hermite(jnp.asarray(found), jnp.asarray(found / epsilon + rest[::2]), horizon)


def _paid(
    oracle: Solution, density: Callable[[Time], Gaussian], epsilon: float, horizon: float
) -> float:
    """The cost by the moments: kinetic energy, divergence / e and terminal cost, discounted."""
    rule = gauss_exponential(64, horizon, 1 / epsilon)

    def rates(t: Time) -> Scalar:
        """Of kinetic energy and divergence; both are quadratic, so moments say all."""
        mean, covariance = density(t).moments()
        slope = oracle.costate(t, mean)
        bend = jax.jacfwd(lambda x: oracle.costate(t, x))(mean)
        moved = 0.5 * (slope @ slope + jnp.trace(bend @ covariance @ bend))
        apart = 0.5 * (mean @ mean + jnp.trace(covariance) - mean.size)
        return moved + (apart - 0.5 * jnp.linalg.slogdet(covariance)[1]) / epsilon

    last, covariance = density(horizon).moments()
    final = lambda x: oracle.value(horizon, x)
    end = final(last) + 0.5 * jnp.trace(jax.hessian(final)(last) @ covariance)
    paid = jnp.asarray(rule.weights) @ jax.vmap(rates)(jnp.asarray(rule.nodes))
    return float(paid + math.exp(-horizon / epsilon) * end)
