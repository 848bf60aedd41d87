"""Linear-quadratic control: the value function is a parabola, the population normal.

    dX = (A X + B v) dt + sigma dW,    L = v.R v/2 + x.Q x/2,    M = E X.G X/2
    U = x.P x/2 + c,    -P' = Q + P A + A^T P - P B R^-1 B^T P,    -c' = (sigma^2/2) tr P

P = Y X^-1 where [X; Y]' = [[A, -B R^-1 B^T], [-Q, -A^T]] [X; Y] runs backwards from [I; G], a
matrix exponential. X is also the flow of the steered particles, since X' = (A - B R^-1 B^T P) X:
X(t) X(s)^-1 carries them from s to t, and

    covariance(t) = X(t) X(0)^-1 C_0 (...)^T + sigma^2 int_0^t X(t) X(s)^-1 (...)^T ds.

Reference: B. D. O. Anderson, J. B. Moore, "Optimal control: linear quadratic methods" (1990).
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfgen._types import Control, Scalar, State, Time
from mfgen.costs._lagrangian import AbstractLagrangian
from mfgen.densities._cholesky import CholeskyGaussian
from mfgen.densities._gaussian import Gaussian
from mfgen.dynamics._dynamics import AbstractDynamics
from mfgen.functionals._functional import Linear
from mfgen.games._game import MFG
from mfgen.math._linear_map import LinearMap
from mfgen.math._quadrature import gauss_legendre
from mfgen.oracles._base import Oracle, box, check_dim, exact

# Nodes of the rule for integrals over time, exact to rounding for the horizons in use.
_NODES = 24


class LinearDynamics(AbstractDynamics):
    """dX = (A X + B v) dt + sigma dW.

    Attributes:
        drift: A, `[dim, dim]`.
        steering: B, `[dim, control]`.
        sigma: the diffusion, constant.
        horizon: T.
    """

    drift: Float[Array, "dim dim"]
    steering: Float[Array, "dim control"]
    sigma: float = eqx.field(static=True, default=0.5)
    horizon: float = eqx.field(static=True, default=1.0)

    @property
    def deterministic(self) -> bool:
        return self.sigma == 0.0

    def free(self, t: Time, x: State) -> State:
        return self.drift @ x

    def gain(self, t: Time) -> LinearMap:
        return self.steering

    def diffusion(self, t: Time) -> Scalar:
        return jnp.asarray(self.sigma)


class QuadraticCost(AbstractLagrangian):
    """L = v.R v / 2 + x.Q x / 2.

    Attributes:
        control: R, `[control, control]`, symmetric positive definite.
        place: Q, `[dim, dim]`, symmetric.
    """

    control: Float[Array, "control control"]
    place: Float[Array, "dim dim"]

    def __call__(self, t: Time, x: State, v: Control) -> Scalar:
        return 0.5 * (jnp.vdot(v, self.control @ v) + jnp.vdot(x, self.place @ x))

    def argmax(self, t: Time, x: State, q: Control) -> Control:
        return jnp.linalg.inv(self.control) @ q


class _Coefficients(NamedTuple):
    """The matrices A, B, R, Q, G."""

    drift: np.ndarray
    steering: np.ndarray
    control: np.ndarray
    place: np.ndarray
    final: np.ndarray


def linear_quadratic(dim: int = 1, sigma: float = 0.5, horizon: float = 1.5) -> Oracle:
    """Linear-quadratic control with coupled coordinates and fewer controls than coordinates.

    Arguments:
        dim: dimension of the space; one control fewer from two dimensions on.
        sigma: the diffusion, zero or more.
        horizon: T, a few units at most.
    """
    check_dim("linear_quadratic", dim)
    a, b, r, q, g = _coefficients(dim)
    flow = np.block([[a, -b @ np.linalg.solve(r, b.T)], [-q, -a.T]])
    rates, modes = np.linalg.eig(flow)
    last = np.linalg.solve(modes, np.concatenate([np.eye(dim), g]).astype(complex))
    mean, spread = 0.9 * (-0.8) ** np.arange(dim), 0.3 + 0.1 * np.arange(dim)

    def pair(t):
        return jnp.real(modes @ (jnp.exp((t - horizon) * rates)[:, None] * last))

    def hessian(t):
        both = pair(t)
        return jnp.linalg.solve(both[:dim].T, both[dim:].T).T

    nodes, weights = gauss_legendre(_NODES)

    def rest(t):
        """c(t), the integral of (sigma^2 / 2) tr P up to the end."""
        left = horizon - t
        traces = jax.vmap(lambda u: jnp.trace(hessian(t + left * u)))(jnp.asarray(nodes))
        return 0.5 * sigma**2 * left * (traces @ jnp.asarray(weights))

    def carry(t, s):
        """The flow of the steered particles from s to t."""
        return jnp.linalg.solve(pair(s)[:dim].T, pair(t)[:dim].T).T

    def path(t):
        t = jnp.asarray(t, float)
        whole = carry(t, 0.0)
        pieces = jax.vmap(lambda u: carry(t, t * u))(jnp.asarray(nodes))
        noise = jnp.einsum("n,nij,nkj->ik", jnp.asarray(weights), pieces, pieces)
        covariance = (whole * spread[None, :]) @ whole.T + sigma**2 * t * noise
        return CholeskyGaussian(whole @ mean, covariance)

    value = lambda t, x: 0.5 * x @ hessian(t) @ x + rest(t)
    game = MFG(
        LinearDynamics(drift=jnp.asarray(a), steering=jnp.asarray(b), sigma=sigma, horizon=horizon),
        QuadraticCost(jnp.asarray(r), jnp.asarray(q)),
        Linear(lambda x: 0.5 * x @ g @ x),
        initial=Gaussian(mean, spread),
    )
    start = np.asarray(hessian(0.0))
    return Oracle(
        exact(game, value, path),
        float(0.5 * (mean @ start @ mean + np.diag(start) @ spread) + rest(0.0)),
        box(path, horizon),
        "oracle-linear-quadratic",
        "linear-quadratic control with coupled coordinates and fewer controls than coordinates",
        "U = x.P x/2 + c, -P' = Q + PA + A'P - P B R^-1 B' P, P(T) = G, -c' = (sigma^2/2) tr P",
        "B. D. O. Anderson, J. B. Moore, Optimal control: linear quadratic methods (1990)",
    )


def _coefficients(dim: int) -> _Coefficients:
    """A damped drift that turns the axes into each other, steered in all directions but the first.

    In one dimension the only direction is steered.
    """
    turn = 0.6 * (np.eye(dim, k=1) - np.eye(dim, k=-1))
    steering = 1.2 * (np.eye(dim)[:, 1:] if dim > 1 else np.eye(1))
    controls = steering.shape[1]
    return _Coefficients(
        turn - 0.3 * np.eye(dim),
        steering,
        0.6 * np.eye(controls) + 0.1 * np.ones((controls, controls)),
        0.5 * np.eye(dim) + 0.3 * np.ones((dim, dim)),
        np.diag(0.2 + 0.3 / (1 + np.arange(dim))),
    )
