"""The Laplace approximation: the normal law that touches a density at a mode.

    q = N(m, H^-1),      grad V(m) = 0,      H = Hess V(m) > 0,      V = -log pi + constant
    log Z = log int pi  ~  log pi(m) - log q(m)

It is exact for normal laws, close for posteriors of many data, and a proposal for importance
sampling. The mode is found by Newton's method: with H = Q diag(l) Q^T the step is
-Q diag(1 / |l|) Q^T grad V, downhill also where V is not convex, of the length among 1, 1/2, 1/4,
... that makes V smallest. V is convex at the end or the approximation is refused.

Reference: C. M. Bishop, "Pattern recognition and machine learning" (2006), section 4.4.
"""

import equinox as eqx
import jax
import jax.numpy as jnp

from mfgen import _check
from mfgen._types import Scalar, State
from mfgen.densities._base import AbstractEvaluable
from mfgen.densities._gaussian import Gaussian
from mfgen.math import _entry

_STEPS, _LENGTHS = 100, 20
# Half of Newton's squared decrement, the height above the minimum, in nats.
_HEIGHT = 1e-6


def laplace(target: AbstractEvaluable, start: State | None = None) -> Gaussian:
    """Return the normal law with the mode and the curvature of the target's log density.

    Arguments:
        target: a smooth log density, up to a constant.
        start: where the search for the mode starts, `[dim]`; at 0 if absent. With several modes it
            decides which one is found.

    Raises:
        ValueError: if no mode is found, or the log density is flat or not concave there.
    """
    fix = "pass a law such as `Unnormalised(energy, dim)`"
    _check.of_kind("laplace", "target", target, AbstractEvaluable, fix)
    x = jnp.zeros(target.dim) if start is None else _entry.point("laplace", start, target.dim)
    steps, height = 0, float("inf")
    while not height < _HEIGHT and steps < _STEPS:
        x, expected = _step(target, x)
        steps, height = steps + 1, float(expected)
    if not height < _HEIGHT:
        raise ValueError(
            f"`laplace` found no mode in {_STEPS} steps of Newton's method, expected one: the log "
            f"density may still rise by {height:.2g}; pass a `start` nearer to a mode."
        )
    precision = eqx.filter_jit(jax.hessian(_energy, 1))(target, x)
    if not bool(jnp.linalg.eigvalsh(precision)[0] > 0):
        raise ValueError(
            "`laplace` got a stationary point that is no mode, expected a concave log density "
            "there: pass a `start` nearer to a mode."
        )
    covariance = jnp.linalg.inv(precision)
    return Gaussian(x, 0.5 * (covariance + covariance.T))


def _energy(target: AbstractEvaluable, x: State) -> Scalar:
    return -target.log_density(x)


@eqx.filter_jit
def _step(target: AbstractEvaluable, x: State) -> tuple[State, Scalar]:
    """Return the next point, and by how much the step was expected to lower V."""
    slope = jax.grad(_energy, 1)(target, x)
    curvatures, axes = jnp.linalg.eigh(jax.hessian(_energy, 1)(target, x))
    floor = 1e-6 * jnp.max(jnp.abs(curvatures)) + 1e-30
    along = (slope @ axes) / jnp.maximum(jnp.abs(curvatures), floor)
    direction = axes @ along
    lengths = 0.5 ** jnp.arange(_LENGTHS, dtype=x.dtype)
    places = x[None, :] - lengths[:, None] * direction[None, :]
    values = jax.vmap(lambda place: _energy(target, place))(places)
    best = jnp.argmin(jnp.where(jnp.isfinite(values), values, jnp.inf))
    return places[best], 0.5 * slope @ direction
