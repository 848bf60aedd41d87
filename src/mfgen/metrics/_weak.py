"""The Fokker-Planck equation tested by functions: for particles and for densities alike.

A path rho is the law of dX = b dt + sigma dW if for every smooth phi and every interval

    E_rho(t1) phi - E_rho(t0) phi = int_t0^t1 E_rho(t)[ b.grad phi + (sigma^2/2) lap phi ] dt.

No derivative of rho is taken, in time or space, so rho may be a cloud of particles. The test
functions are waves phi(x) = cos(w.(x - c) + theta) with random phase; w is normal in units of the
spread of the particles, at three lengths: they tell all laws apart, and are bounded by one, so a
residual is a difference of probabilities. On circles and between walls the domain's features take
the place of x: waves are periodic, and have no slope at walls. The mean square over waves is a
squared maximum mean discrepancy.

A rule of quadrature tells no wave that is short beside its spacing: ten nodes of a normal law on an
axis err by 6e-4 at 3 radians a deviation, by 1 at 6. Where laws are given by rules, no wave is
shorter than that; particles are compared with a sample of the other law, at waves of all lengths.

Standard error: of particles that are the nodes of a rule (`mfgen.metrics._blocks`) there is none.
Otherwise they are a sample: their contributions over an interval, paired by their
index, are independent. The error is then that of one residual by sampling alone: a root mean square
of about one error is what a right solution shows. It is no error of the root mean square itself,
whose waves share the particles.

Reference: A. Rahimi, B. Recht, "Random features for large-scale kernel machines" (2007).
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfgen._types import Batch, Key, Scalar, State
from mfgen.densities._base import AbstractDensity, Weights, weighted_moments
from mfgen.densities._empirical import Empirical
from mfgen.derive._hamiltonian import steered
from mfgen.derive._residual import diffusivity
from mfgen.games._game import MFG
from mfgen.math._linear_map import image, trace
from mfgen.math._quadrature import panels
from mfgen.math._space import AbstractDomain
from mfgen.metrics._blocks import are_sampled, is_sampled
from mfgen.metrics._estimate import Estimate, Profile
from mfgen.metrics._strong import Residual
from mfgen.models._base import AbstractModel
from mfgen.simulate._solution import Solution

_CHUNK = 256
_LENGTHS = (0.5, 1.0, 2.0)
_NODES = 4  # of the rule in time, in each interval
_RESOLVED = 3.0  # radians per deviation that rules of quadrature integrate
_DRAWN = 4096  # of a law whose rule is not asked


class Waves(eqx.Module):
    """Test functions cos(w_j.(features(x) - centre) + theta_j), in space the point itself."""

    frequencies: Float[Array, "count features"]
    phases: Float[Array, "count"]
    centre: Float[Array, "features"]
    domain: AbstractDomain


class _Part(NamedTuple):
    # One term of a residual: weights of particles times values of test functions.
    is_sampled: bool
    weights: Weights
    values: Float[Array, "n count"]


def waves(
    laws: Sequence[AbstractDensity], count: int, domain: AbstractDomain, *, key: Key
) -> Waves:
    """Random test functions in units of the spread of the laws taken together.

    Arguments:
        laws: such as those at the times of a game.
        count: how many functions.
        domain: where they live.
    """
    means, covariances = zip(*(_moments(law, domain) for law in laws), strict=True)
    stacked = jnp.stack(means)
    variances = jnp.stack([jnp.diag(covariance) for covariance in covariances])
    widest = jnp.sqrt(jnp.max(variances, axis=0))
    spread = jnp.sqrt(jnp.mean(variances, axis=0) + jnp.var(stacked, axis=0))
    spread = jnp.where(spread > 0, spread, 1.0)
    normal_key, phase_key = jax.random.split(key)
    normals = jax.random.normal(normal_key, (count, spread.size), spread.dtype)
    lengths = jnp.resize(jnp.asarray(_LENGTHS, spread.dtype), (count,))
    phases = jax.random.uniform(phase_key, (count,), spread.dtype, 0.0, 2 * np.pi)
    frequencies = normals / (lengths[:, None] * spread[None, :])
    if not all(map(is_sampled, laws)):
        reach = jnp.linalg.norm(frequencies * widest[None, :], axis=1, keepdims=True)
        frequencies = frequencies * (_RESOLVED / jnp.maximum(reach, _RESOLVED))
    return Waves(frequencies, phases, jnp.mean(stacked, axis=0), domain)


def _moments(law: AbstractDensity, domain: AbstractDomain):
    """Mean and covariance of the features."""
    if not domain.bounded:
        return law.moments()
    points, weights = law.particles()
    return weighted_moments(jax.vmap(domain.features)(points), weights)


def weak_residual(
    solution: Solution, density: Callable, *, intervals: int = 4, count: int = 48, key: Key
) -> Residual:
    """The weak Fokker-Planck residual over equal intervals of the game.

    Arguments:
        solution: the candidate, whose drift is tested.
        density: its path of densities.
        intervals: how many, between which the equation is tested.
        count: test functions.

    Returns:
        Root mean square over functions and intervals, with the error of one residual by sampling;
        the profile at the middle of each interval; the scale of both sides before they cancel.
    """
    game, model = solution.game, solution.model
    ends = np.linspace(0.0, game.dynamics.horizon, intervals + 1)
    laws = [density(t) for t in ends.tolist()]
    functions = waves(laws, count, game.domain, key=key)
    still = [_part(functions, law) for law in laws]
    rows = []
    for (before, after), rule in zip(pairwise(still), panels(ends.tolist(), _NODES), strict=True):
        flows = [_flow(functions, game, model, density(t), t) for t in rule.nodes.tolist()]
        factors = [1.0, -1.0, *(-weight for weight in rule.weights.tolist())]
        residual, noise = _combined(factors, [after, before, *flows])
        change, _ = _combined([1.0, -1.0], [after, before])
        moved = sum(
            weight * (flow.weights @ jnp.abs(flow.values))
            for weight, flow in zip(rule.weights.tolist(), flows, strict=True)
        )
        rows.append((residual, noise, jnp.abs(change) + moved))
    residual, noise, size = (np.stack(column) for column in zip(*rows, strict=True))
    middles = 0.5 * (ends[1:] + ends[:-1])
    profile = Profile(*map(jnp.asarray, (middles, _rms(residual, 1), _rms(noise, 1))))
    overall = Estimate(float(_rms(residual)), float(_rms(noise)))
    return Residual(overall, profile, float(_rms(size)))


def law_mismatch(
    first: AbstractDensity,
    second: AbstractDensity,
    domain: AbstractDomain,
    *,
    count: int = 48,
    key: Key,
) -> Estimate:
    """The root mean square of E_first phi - E_second phi over the waves, at most 2.

    The error is that of one difference by sampling, as for `weak_residual`.
    """
    if is_sampled(first) != is_sampled(second):
        key, *own = jax.random.split(key, 3)
        first, second = (
            law if is_sampled(law) else Empirical(law.sample(_DRAWN, key=drawn))
            for law, drawn in zip((first, second), own, strict=True)
        )
    functions = waves([first, second], count, domain, key=key)
    parts = [_part(functions, law) for law in (first, second)]
    total, noise = _combined([1.0, -1.0], parts, paired=False)
    return Estimate(float(_rms(total)), float(_rms(noise)))


def _part(functions: Waves, law: AbstractDensity) -> _Part:
    points, weights = law.particles()
    return _Part(are_sampled(law, points, weights), weights, _values(functions, points))


def _flow(
    functions: Waves, game: MFG, model: AbstractModel, law: AbstractDensity, t: float
) -> _Part:
    points, weights = law.particles()
    values = _generated(functions, game, model, jnp.asarray(t, points.dtype), points)
    return _Part(are_sampled(law, points, weights), weights, values)


def _angles(functions: Waves, x: State) -> Float[Array, "count"]:
    return (
        functions.frequencies @ (functions.domain.features(x) - functions.centre) + functions.phases
    )


@eqx.filter_jit
def _values(functions: Waves, points: Batch) -> Float[Array, "n count"]:
    return jax.vmap(lambda x: jnp.cos(_angles(functions, x)))(points)


@eqx.filter_jit
def _generated(
    functions: Waves, game: MFG, model: AbstractModel, t: Scalar, points: Batch
) -> Float[Array, "n count"]:
    """b.grad phi + tr(D Hess phi) for each point and test function."""

    def single(x: State) -> Float[Array, "count"]:
        angles = _angles(functions, x)
        b = steered(game, t, x, model.control(game, t, x))
        d, slopes = diffusivity(game, t), functions.frequencies
        if functions.domain.bounded:
            features = functions.domain.features
            slopes = functions.frequencies @ jax.jacfwd(features)(x)
            bends = jax.vmap(lambda hessian: trace(d, hessian))(jax.hessian(features)(x))
            bent = functions.frequencies @ bends
        else:
            bent = jnp.zeros_like(angles)
        spread = jax.vmap(lambda k: k @ image(d, k))(slopes)
        return -jnp.sin(angles) * (slopes @ b + bent) - spread * jnp.cos(angles)

    return jax.lax.map(single, points, batch_size=min(_CHUNK, points.shape[0]))


def _combined(
    factors: Sequence[float], parts: Sequence[_Part], *, paired: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """The sum of factor * E values for each function, and its standard error by sampling."""
    terms = [
        factor * np.asarray(part.weights)[:, None] * np.asarray(part.values)
        for factor, part in zip(factors, parts, strict=True)
    ]
    total = np.sum([term.sum(axis=0) for term in terms], axis=0)
    drawn = [term for term, part in zip(terms, parts, strict=True) if part.is_sampled]
    if paired and len({len(term) for term in drawn}) == 1:
        drawn = [np.sum(drawn, axis=0)]
    variance = np.sum([len(term) * term.var(axis=0) for term in drawn], axis=0)
    return total, np.sqrt(np.broadcast_to(variance, total.shape))


def _rms(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    return np.asarray(np.sqrt(np.mean(np.square(values), axis=axis)))
