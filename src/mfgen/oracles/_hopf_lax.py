"""Games without noise, in which particles move along straight lines: the Hopf-Lax formula.

    dX = v dt,   L = L(v),   M = E U_T(X),
    U(t, x) = inf_y { U_T(y) + (T - t) L((y - x) / (T - t)) }

The control is constant along the line X_t = X_0 + t v*(0, X_0), hence the density is

    rho(t, x) = rho_0(x - t v*(t, x)) |det(I - t grad v*(t, x))|.

Two cases: U_T = (c/2) |x - z|^2 with L = (k/2) |v|^2, in closed form, and the same U_T with any
radial L, whose infimum is computed. A third, with a kink, is in `mfgen.oracles._splitting`.

Reference: L. C. Evans, "Partial differential equations" (2010), section 3.3.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import chi

from mfgen._types import Batch, Control, Scalar, State, Time
from mfgen.costs._cost import Kinetic, Power
from mfgen.costs._lagrangian import AbstractLagrangian
from mfgen.densities._base import AbstractEvaluable, Matrix
from mfgen.densities._gaussian import Gaussian
from mfgen.dynamics._dynamics import Integrator
from mfgen.functionals._functional import Linear
from mfgen.games._game import MFG
from mfgen.math._legendre import maximiser
from mfgen.math._quadrature import joined, panels, tensor
from mfgen.oracles._base import (
    AbstractMoved,
    Oracle,
    Vector,
    box,
    check_dim,
    check_homogeneous,
    exact,
    radial,
)

_DEVIATION = 0.6
_REFERENCE = "L. C. Evans, Partial differential equations (2010), section 3.3"


class Pushed(AbstractMoved):
    """The law of X_0 + t v(0, X_0) if particles keep their velocity v(t, x) along straight lines.

    Attributes:
        start: the law of X_0.
        velocity: v, takes a time and a point.
        gradient: grad v, takes a time and the velocity there, `[dim, dim]`.
        time: t.
    """

    start: AbstractEvaluable
    velocity: Callable[[Time, State], Control]
    gradient: Callable[[Time, Control], Matrix]
    time: Time

    def __init__(
        self,
        start: AbstractEvaluable,
        velocity: Callable[[Time, State], Control],
        gradient: Callable[[Time, Control], Matrix],
        time: Time,
    ):
        self.start, self.velocity, self.gradient = start, velocity, gradient
        self.time = jnp.asarray(time, float)

    def log_density(self, x: State) -> Scalar:
        v = self.velocity(self.time, x)
        stretch = jnp.eye(self.dim, dtype=x.dtype) - self.time * self.gradient(self.time, v)
        _, log_determinant = jnp.linalg.slogdet(stretch)
        return self.start.log_density(x - self.time * v) + log_determinant

    def moved(self, points: Batch) -> Batch:
        return points + self.time * jax.vmap(lambda x: self.velocity(0.0, x))(points)


def hopf_lax(
    dim: int = 1, weight: float = 1.5, curvature: float = 0.7, horizon: float = 2.0
) -> Oracle:
    """A parabola as terminal cost and the kinetic energy: everything in closed form.

    Arguments:
        dim: dimension of the space.
        weight: k of L = (k/2) |v|^2.
        curvature: c of U_T, positive.
        horizon: T.
    """
    check_dim("hopf_lax", dim)
    centre, mean = _centre(dim), _mean(dim)
    game = _game(Kinetic(weight), curvature, centre, mean, horizon)
    remaining = lambda t: curvature * (horizon - t) + weight
    value = lambda t, x: 0.5 * curvature * weight / remaining(t) * _square(x, centre)

    def path(t: Time) -> Gaussian:
        part = remaining(t) / remaining(0.0)
        return Gaussian(centre + part * (mean - centre), (part * _DEVIATION) ** 2)

    square = (mean - centre) @ (mean - centre) + dim * _DEVIATION**2
    return Oracle(
        exact(game, value, path),
        float(0.5 * curvature * weight / remaining(0.0) * square),
        box(path, horizon),
        "oracle-hopf-lax",
        "a parabola as terminal cost without noise, with the kinetic energy: in closed form",
        "U = (c/2) k |x - z|^2 / (c (T - t) + k); X_t - z shrinks by (c (T - t) + k) / (c T + k)",
        _REFERENCE,
    )


def hopf_lax_computed(
    dim: int = 1,
    lagrangian: AbstractLagrangian | None = None,
    curvature: float = 0.7,
    horizon: float = 2.0,
) -> Oracle:
    """A parabola as terminal cost and any radial cost of speed: the infimum is computed.

    With y = x + (T - t) v the infimum over v is that of L(v) + c (x - z).v + (c/2) (T - t) |v|^2,
    which has a meaning at t = T too.

    Arguments:
        dim: dimension of the space.
        lagrangian: a cost that depends on |v| alone; `Power(3.0)` by default.
        curvature: c of U_T, positive.
        horizon: T.

    Raises:
        ValueError: a Lagrangian that depends on time, place or the direction of v.
    """
    check_dim("hopf_lax_computed", dim)
    lagrangian = lagrangian or Power(3.0)
    centre, mean = _centre(dim), _mean(dim)
    game = _game(lagrangian, curvature, centre, mean, horizon)
    check_homogeneous("hopf_lax_computed", game, dim)
    if not radial(lagrangian, dim):
        raise ValueError(
            f"`hopf_lax_computed` got the Lagrangian `{type(lagrangian).__name__}`, which depends "
            "on the direction of v, expected a function of |v|, such as `Power(3.0)`."
        )

    def cost(t: Time, v: Control) -> Scalar:
        return lagrangian(0.0, jnp.zeros(dim), v) + 0.5 * curvature * (horizon - t) * jnp.vdot(v, v)

    def slope(x: State) -> State:
        return -curvature * (x - jnp.asarray(centre, x.dtype))

    def velocity(t: Time, x: State) -> Control:
        v, found = maximiser(lambda v: cost(t, v), slope(x))
        return jnp.where(found, v, jnp.nan)

    def value(t: Time, x: State) -> Scalar:
        v = velocity(t, x)
        paid = (horizon - t) * (cost(t, v) - jnp.vdot(slope(x), v))
        return 0.5 * curvature * _square(x, centre) + paid

    def gradient(t: Time, v: Control) -> Matrix:
        return -curvature * jnp.linalg.inv(jax.hessian(lambda v: cost(t, v))(v))

    first = Gaussian(mean, _DEVIATION**2)
    path = lambda t: Pushed(first, velocity, gradient, t)
    return Oracle(
        exact(game, value, path),
        _radial_cost(value, centre, mean),
        # Everyone moves towards the centre, and not beyond.
        max(box(lambda t: first, horizon), float(np.abs(centre).max())),
        "oracle-hopf-lax-power",
        "a parabola as terminal cost without noise, with |v|^3 / 3 or another cost of speed",
        "U = inf_y { U_T(y) + (T - t) L((y - x) / (T - t)) }, computed; straight lines",
        _REFERENCE,
    )


def _game(
    lagrangian: AbstractLagrangian, curvature: float, centre: Vector, mean: Vector, horizon: float
) -> MFG:
    return MFG(
        Integrator(horizon=horizon),
        lagrangian,
        Linear(lambda x: 0.5 * curvature * _square(x, centre)),
        initial=Gaussian(mean, _DEVIATION**2),
    )


def _centre(dim: int) -> Vector:
    return 0.5 * (-0.6) ** np.arange(dim)


def _mean(dim: int) -> Vector:
    return -0.7 * 0.8 ** np.arange(dim)


def _square(x: State, centre: Vector) -> Scalar:
    return jnp.sum(jnp.square(x - jnp.asarray(centre, x.dtype)))


def _radial_cost(value: Callable, centre: Vector, mean: Vector) -> float:
    """E U(0, X), U a function of |x - z|: an integral over its parts along and across m - z."""
    dim, distance, reach = len(mean), float(np.linalg.norm(mean - centre)), 9 * _DEVIATION
    # U may have a kink in some derivative at z.
    along = joined(panels([distance - reach, *np.linspace(0, distance + reach, 7).tolist()], 12))
    rule = along._replace(nodes=along.nodes[:, None])
    across = np.zeros(len(along.nodes))
    density = np.exp(-0.5 * ((along.nodes - distance) / _DEVIATION) ** 2)
    if dim > 1:
        far = _DEVIATION * float(chi.ppf(1 - 1e-16, dim - 1))
        rule = tensor([along, joined(panels(np.linspace(0, far, 7).tolist(), 12))])
        across = rule.nodes[:, 1]
        density = np.exp(-0.5 * ((rule.nodes[:, 0] - distance) / _DEVIATION) ** 2)
        density *= chi.pdf(across / _DEVIATION, dim - 1) / _DEVIATION
    points = np.zeros((len(rule.nodes), dim))
    points[:, 0] = rule.nodes[:, 0]
    points[:, -1] += across if dim > 1 else 0.0
    shifted = jnp.asarray(points + centre, float)
    values = np.asarray(jax.jit(jax.vmap(lambda x: value(0.0, x)))(shifted), float)
    normal = density / (_DEVIATION * math.sqrt(2 * math.pi))
    return float(values @ (rule.weights * normal))
