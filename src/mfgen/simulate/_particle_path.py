"""The law of particles over time: a cloud, its kernel estimate, or the density of their flow.

    `ParticlePath`   t -> particles, on the paths that were followed
    `FlowPath`       t -> the same with log rho(t, x) = log rho_0(x_0) - log |det dx/dx_0| at any x,
                     x_0 where the flow comes from: exact, in a game without noise

Between two stages particles are on the straight line, which leaves out what noise of variance q
adds on the way, q u (1 - u) at the part u of it; by that the cloud is widened about its mean.

References: R. T. Q. Chen et al. (2018), arXiv 1806.07366 (log rho along a flow).
"""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mfgen._types import Batch, Key, Scalar, State, Time
from mfgen.densities._base import (
    AbstractDensity,
    AbstractEvaluable,
    Matrix,
    Weights,
    weighted_moments,
)
from mfgen.densities._empirical import Empirical
from mfgen.densities._smoothed import by_kernels
from mfgen.functionals._functional import evaluable
from mfgen.games._game import MFG
from mfgen.math._axes import Euclidean
from mfgen.math._domain import in_time
from mfgen.math._linear_map import matrix, square
from mfgen.math._space import AbstractDomain
from mfgen.models._base import AbstractModel
from mfgen.simulate._divergence import ExactDivergence, NoDivergence, moving_directions
from mfgen.simulate._ends import initial_density
from mfgen.simulate._integrator import RungeKutta4
from mfgen.simulate._trajectory import Trajectories


class AbstractParticlePath(eqx.Module):
    """The law of particles that were followed, t -> density."""

    @abc.abstractmethod
    def __call__(self, t: Time) -> AbstractDensity:
        """The law at a time; outside of [0, horizon] an error, or nan if t is traced."""

    @abc.abstractmethod
    def of(self, rows: Int[np.ndarray, "m"]) -> "AbstractParticlePath":
        """The same of some of the particles."""

    @property
    @abc.abstractmethod
    def number(self) -> int:
        """The number of particles."""

    def blocks(self, count: int) -> "list[AbstractParticlePath]":
        """Independent blocks of the particles, of equal size, in a random order."""
        order = np.random.default_rng(0).permutation(self.number)
        size = self.number // count
        return [self.of(order[k * size : (k + 1) * size]) for k in range(count)]


class ParticlePath(AbstractParticlePath):
    """The law of particles over time: t -> their places, or a kernel estimate.

    Attributes:
        horizon: the final time.
        times: of the stages, from 0 to the horizon, `[stages + 1]`.
        points: `[stages + 1, n, dim]`.
        noise: q, the variance that noise adds to each coordinate from stage to stage,
            `[stages, dim]`.
        smoothed: whether their kernel estimate is meant.
        domain: where they live: lines between stages go the shortest way round a circle.
    """

    horizon: float = eqx.field(static=True)
    times: Float[Array, "stages"]
    points: Float[Array, "stages n dim"]
    noise: Float[Array, "steps dim"]
    smoothed: bool = eqx.field(static=True, default=False)
    domain: AbstractDomain = Euclidean()

    def __call__(self, t: Time) -> AbstractDensity:
        at = self.at(t)
        return by_kernels(at, self.domain) if self.smoothed else Empirical(at)

    def of(self, rows: Int[np.ndarray, "m"]) -> "ParticlePath":
        return eqx.tree_at(lambda path: path.points, self, self.points[:, rows])

    @property
    def number(self) -> int:
        return self.points.shape[1]

    def at(self, t: Time) -> Batch:
        """The particles at a time."""
        known = in_time("Solution.density", t, 0.0, self.horizon)
        return _between(self, jnp.asarray(t, self.points.dtype) * known)


class FlowPath(AbstractParticlePath):
    """The law of particles without noise over time, with its exact density.

    Attributes:
        game, model: whose flow it is; the game's initial density has a logarithm.
        particles: paths that were followed, on which means are taken.
        steps: of the flow from any time back to the start, by Runge-Kutta steps of order four.
    """

    game: MFG
    model: AbstractModel
    particles: ParticlePath
    steps: int = eqx.field(static=True, default=20)

    def __call__(self, t: Time) -> "FlowLaw":
        points = self.particles.at(t)
        return FlowLaw(self.game, self.model, points, jnp.asarray(t, points.dtype), self.steps)

    def of(self, rows: Int[np.ndarray, "m"]) -> "FlowPath":
        return eqx.tree_at(lambda path: path.particles, self, self.particles.of(rows))

    @property
    def number(self) -> int:
        return self.particles.number


class FlowLaw(AbstractEvaluable):
    """The law of a game's flow at one time; see `FlowPath`."""

    game: MFG
    model: AbstractModel
    points: Batch
    time: Scalar
    steps: int = eqx.field(static=True)

    def __init__(self, game: MFG, model: AbstractModel, points: Batch, time: Scalar, steps: int):
        self.game, self.model = game, model
        self.points, self.time, self.steps = points, time, steps

    @property
    def dim(self) -> int:
        return self.points.shape[1]

    def log_density(self, x: State) -> Scalar:
        start, spread = self._carried(x, back=True)
        initial = evaluable("Solution.density", "initial density", self.game.initial)
        return initial.log_density(start) + spread

    def sample(self, n: int, *, key: Key) -> Batch:
        starts = initial_density("Solution.density", self.game).sample(n, key=key)
        return _carried_all(self, starts.astype(self.points.dtype))

    def moments(self) -> tuple[State, Matrix]:
        return weighted_moments(*self.particles())

    def particles(self) -> tuple[Batch, Weights]:
        return Empirical(self.points).particles()

    def _carried(self, x: State, *, back: bool) -> tuple[State, Scalar]:
        """The start of x, or its end, and log |det| of that map."""
        method = ExactDivergence() if back else NoDivergence()
        directions = moving_directions(self.game, method, x, key=None)

        def slope(tau: Time, state: tuple[State, Scalar]) -> tuple[State, Scalar]:
            t, sign = (self.time - tau, -1) if back else (tau, 1)
            at, turned = self.game.domain.folded(state[0])
            found = method(self.game, self.model, t, at, directions)
            rates = sign * turned * found.velocity, sign * jnp.sum(found.divergence)
            return jax.tree.map(lambda rate: rate.astype(x.dtype), rates)

        begin = x, jnp.zeros((), x.dtype)
        end, spread = RungeKutta4(self.steps)(slope, begin, self.time.astype(x.dtype)).value
        return self.game.domain.fold(end), spread


@eqx.filter_jit
def _between(path: ParticlePath, t: Scalar) -> Batch:
    """The particles at a time, on straight lines, widened by what these leave out."""
    times, points = path.times, path.points
    k = jnp.searchsorted(times, jax.lax.stop_gradient(t), side="right") - 1
    k = jnp.clip(k, 0, len(times) - 2)
    u = (t - times[k]) / (times[k + 1] - times[k])
    if path.domain.bounded:  # points of a circle have no mean about which to widen them
        return path.domain.fold(points[k] + u * path.domain.shortest(points[k + 1] - points[k]))
    line = (1 - u) * points[k] + u * points[k + 1]
    centre = jnp.mean(line, axis=0)
    variance = jnp.mean(jnp.square(line - centre[None]), axis=0)
    spread = variance > 0
    left_out = path.noise[k] * u * (1 - u) / jnp.where(spread, variance, 1.0)
    wider = jnp.sqrt(1 + jnp.where(spread, left_out, 0.0))
    return centre[None] + wider[None] * (line - centre[None])


@eqx.filter_jit
def _carried_all(law: FlowLaw, starts: Batch) -> Batch:
    return jax.vmap(lambda x: law._carried(x, back=False)[0])(starts)


def particle_path(game: MFG, found: Trajectories, *, smoothed: bool = False) -> ParticlePath:
    """The law of particles that were followed.

    Arguments:
        game: in which they moved.
        found: their trajectories.
        smoothed: whether their kernel estimate is meant, for costs that ask for log rho.
    """
    times, dim = found.times, found.points.shape[2]
    rates = jax.vmap(lambda t: jnp.diag(matrix(square(game.dynamics.diffusion(t)), dim)))(times)
    noise = 0.5 * jnp.diff(times)[:, None] * (rates[1:] + rates[:-1])
    noise = noise.astype(found.points.dtype)
    horizon = game.dynamics.horizon
    return ParticlePath(horizon, times, found.points, noise, smoothed, game.domain)
