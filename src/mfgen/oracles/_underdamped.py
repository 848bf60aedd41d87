"""The Schrödinger bridge of particles with inertia, between normal laws of place and velocity.

    dX = V dt,   dV = (-gamma V + v) dt + sigma dW,   L = |v|^2 / (2 sigma^2)
    rho(0) = N(m_0, Sigma_0),   rho(T) = N(m_1, Sigma_1)     in (X, V)

Without control Z = (X, V) goes to Phi_s Z + N(0, S_s) in the time s, coordinate by coordinate with

    Phi_s = [[1, e], [0, f]],    f = e^(-gamma s),   e = (1 - f) / gamma,
    S_s = sigma^2 int_0^s [[e^2, e f], [e f, f^2]] dr,

and S_T is positive. In y_0 = S_T^(-1/2) Phi_T z_0 and y_1 = S_T^(-1/2) z_1 the law of the ends has
the factor exp(-|y_1 - y_0|^2 / 2) of a plain bridge of unit noise, and so has the bridge: with the
covariances A and B of y_0 and y_1,

    cov(y_0, y_1) = C = A^(1/2) R A^(-1/2) / 2 - I / 2,      R = (4 A^(1/2) B A^(1/2) + I)^(1/2).

The multiplier is a parabola, z.G z / 2 - b.z, of which in y the matrix is (B - C^T A^-1 C)^-1 - I.
U = -log E exp(-multiplier) is one at all times: with y = Phi_s z, s = T - t, S = S_s,

    U = y.G D^-1 y / 2 - b.D^-1 y - b.D^-1 S b / 2 + log det(D) / 2,     D = I + S G.

References: Y. Chen, T. Georgiou, "Stochastic bridges of linear systems", IEEE Trans. Autom. Control
61 (2016), arXiv 1407.3421; C. Bunne et al. (2023), arXiv 2202.05722 (the plain bridge).
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.linalg import sqrtm

from mfgen._types import Time
from mfgen.costs._cost import Kinetic
from mfgen.densities._gaussian import Gaussian
from mfgen.dynamics._affine import Underdamped
from mfgen.dynamics._dynamics import positive
from mfgen.functionals._functional import Linear
from mfgen.games._game import MFG
from mfgen.oracles._base import Oracle, box, check_dim, exact

Matrix = Float[Array, "state state"]


def underdamped_bridge(
    dim: int = 1, sigma: float = 0.8, friction: float = 0.5, horizon: float = 1.0
) -> Oracle:
    """The bridge of places and velocities; `target` is the law at the end.

    Arguments:
        dim: how many places there are; the state has twice as many coordinates.
        sigma: the diffusion of velocities, positive.
        friction: gamma, positive.
        horizon: T.
    """
    check_dim("underdamped_bridge", dim)
    positive("underdamped_bridge", "sigma", sigma)
    positive("underdamped_bridge", "friction", friction)
    eye, size = np.eye(dim), 2 * dim
    rule, weights = np.polynomial.legendre.leggauss(20)

    def flow(s: Time) -> tuple[Matrix, Matrix]:
        """Phi_s and S_s."""
        decay = lambda r: (-jnp.expm1(-friction * r) / friction, jnp.exp(-friction * r))
        e, f = decay(s)
        moved = jnp.kron(jnp.array([[1.0, e], [0.0, f]]), eye)
        # A rule of high order: sums of positive parts, without the cancellation of the formula.
        column = jnp.stack(decay(0.5 * s * (1 + rule)))
        spread = 0.5 * s * sigma**2 * (column * weights[None]) @ column.T
        return moved, jnp.kron(spread, eye)

    index = np.arange(size)
    first, last = -1.0 * 0.7**index, 0.8 * (-0.6) ** index
    before, after = _covariance(size, 0.3), _covariance(size, -0.2)
    phi, gram = (np.asarray(part, float) for part in flow(jnp.asarray(horizon, float)))
    root = _root(gram)
    white = np.linalg.inv(root)
    here, there = white @ phi @ before @ phi.T @ white, white @ after @ white
    half = _root(here)
    inner = _root(4 * half @ there @ half + np.eye(size))
    shared = 0.5 * (half @ inner @ np.linalg.inv(half) - np.eye(size))
    precision = np.linalg.inv(there - shared.T @ np.linalg.inv(here) @ shared)
    curvature = white @ (precision - np.eye(size)) @ white
    offset = white @ (precision @ white @ last - white @ phi @ first)
    mean_price = 0.5 * (np.trace(curvature @ after) + last @ curvature @ last) - offset @ last
    # Of the two ends in place and velocity, each [state, state].
    together = np.linalg.inv(phi) @ root @ shared @ root
    target = Gaussian(last, after)

    def value(t, x):
        t = jnp.asarray(t, x.dtype)
        g, b = jnp.asarray(curvature, x.dtype), jnp.asarray(offset, x.dtype)
        moved, spread = (part.astype(x.dtype) for part in flow(horizon - t))
        scale, y = jnp.eye(size, dtype=x.dtype) + spread @ g, moved @ x
        solved = jnp.linalg.solve(scale, jnp.stack([y, spread @ b], axis=1))
        parabola = 0.5 * y @ g @ solved[:, 0] - b @ (solved[:, 0] + 0.5 * solved[:, 1])
        return parabola + 0.5 * jnp.linalg.slogdet(scale)[1] - mean_price

    def path(t):
        t = jnp.asarray(t, float)
        moved, spread = flow(t)
        rest, _ = flow(horizon - t)
        towards = jnp.linalg.solve(gram, rest @ spread).T
        behind = moved - towards @ phi
        mixed = behind @ together @ towards.T
        covariance = behind @ before @ behind.T + mixed + mixed.T + towards @ after @ towards.T
        covariance = covariance + spread - towards @ rest @ spread
        return Gaussian(behind @ first + towards @ last, 0.5 * (covariance + covariance.T))

    game = MFG(
        Underdamped(sigma, friction, horizon),
        Kinetic(1 / sigma**2),
        Linear(lambda x: value(horizon, x)),
        initial=Gaussian(first, before),
    )
    # E U(0, X): U is a parabola.
    moved, scale = phi, np.eye(size) + gram @ curvature
    bend = moved.T @ curvature @ np.linalg.solve(scale, moved)
    cost = 0.5 * (np.trace(bend @ before) + first @ bend @ first)
    cost -= offset @ np.linalg.solve(scale, moved @ first + 0.5 * gram @ offset)
    cost += 0.5 * np.linalg.slogdet(scale)[1] - mean_price
    return Oracle(
        exact(game, value, path),
        float(cost),
        box(path, horizon),
        "oracle-underdamped-bridge",
        "the Schrödinger bridge of particles with inertia between normal laws",
        "rho(t) normal; a plain bridge in S_T^(-1/2) Phi_T z, S_T^(-1/2) z",
        "Y. Chen, T. Georgiou (2016), arXiv 1407.3421",
        target,
    )


def _covariance(size: int, correlation: float) -> np.ndarray:
    """Places and velocities correlated, the first with the last and so on."""
    deviations = 0.5 + 0.1 * np.arange(size)
    correlations = np.eye(size) + correlation * np.eye(size)[::-1]
    return np.outer(deviations, deviations) * correlations


def _root(matrix: np.ndarray) -> np.ndarray:
    """The symmetric square root of a positive matrix."""
    return np.real(sqrtm(matrix))
