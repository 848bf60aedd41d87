"""Distances between two laws, each known by its density, its samples, or its moments.

    total variation   (1/2) int |rho_a - rho_b| dx                      0 to 1
    relative L2       sqrt( int (rho_a - rho_b)^2 / int rho_b^2 )
    moments           |m_a - m_b|^2 + tr( C_a + C_b - 2 (C_b^1/2 C_a C_b^1/2)^1/2 ),  its root

In one and two dimensions the first two are integrals over a box around both laws, if both have
their mass there. Otherwise the total variation is a mean over samples of each,

    (1/2) E_a[ (1 - rho_b / rho_a)^+ ] + (1/2) E_b[ (1 - rho_a / rho_b)^+ ],

of numbers between 0 and 1, with its standard error. The third is the Wasserstein distance W2 of
Gaussians with the given moments, and at most W2 for all laws (Gelbrich). On a line W2 itself is an
integral, int (x - F_b^-1(F_a(x)))^2 rho_a dx, with the distribution functions F.

Reference: M. Gelbrich, "On a formula for the L2 Wasserstein metric between measures on Euclidean
and Hilbert spaces" (1990).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from mfgen._types import Batch, Key
from mfgen.densities._base import AbstractDensity, AbstractEvaluable
from mfgen.math._quadrature import Rule, box_rule
from mfgen.metrics._estimate import Estimate, mean_estimate
from mfgen.metrics._likelihood import evaluate

_CELLS = {1: 128, 2: 32}
_FINE = 4001  # nodes of a distribution function
_LIGHT = 1e-12  # of the largest weight: particles below it do not stretch the box
_COMPLETE = 1e-2  # of the mass may be outside the box


class Overlap(NamedTuple):
    """Distances of two densities.

    Attributes:
        total_variation: 0 for equal laws, 1 for laws that do not meet.
        relative: the L2 distance over the norm of the second; `None` above two dimensions, or if
            no box holds both.
    """

    total_variation: Estimate
    relative: float | None


def overlap(
    first: AbstractDensity, second: AbstractDensity, *, points: int = 512, key: Key
) -> Overlap:
    """Total variation and relative L2 distance of two densities.

    Arguments:
        first, second: the laws; the second is the reference of the L2 distance.
        points: samples of each, where there is no box.

    Raises:
        TypeError: a law without log-density.
    """
    first, second = _evaluable(first), _evaluable(second)
    if first.dim in _CELLS:
        rule = _around(first, second)
        a, b = (_density(law, jnp.asarray(rule.nodes, _type())) for law in (first, second))
        missing = max(abs(rule.weights @ a - 1), abs(rule.weights @ b - 1))
        if missing < _COMPLETE:
            variation = 0.5 * rule.weights @ np.abs(a - b)
            norm = rule.weights @ np.square(b)
            relative = np.sqrt(rule.weights @ np.square(a - b) / norm)
            return Overlap(Estimate(float(variation), 0.0), float(relative))
    keys = jax.random.split(key)
    halves = [
        _one_sided(here, there, here.sample(points, key=own))
        for here, there, own in zip((first, second), (second, first), keys, strict=True)
    ]
    values, errors = zip(*halves, strict=True)
    error = 0.5 * float(np.hypot(*errors))
    return Overlap(Estimate(0.5 * float(sum(values)), error), None)


def moment_distance(first: AbstractDensity, second: AbstractDensity) -> float:
    """W2 of the Gaussians with the means and covariances of the laws, in the units of x."""
    (m_a, c_a), (m_b, c_b) = (
        [np.asarray(part, np.float64) for part in law.moments()] for law in (first, second)
    )
    root = _root(c_b)
    # The best linear map from b to a; its displacement has no cancelling terms.
    inverse = np.linalg.pinv(root, hermitian=True)
    plan = inverse @ _root(root @ c_a @ root) @ inverse
    moved = (plan - np.eye(len(m_a))) @ root
    unreached = np.trace(c_a) - np.trace(plan @ c_b @ plan)
    square = np.sum((m_a - m_b) ** 2) + np.sum(moved**2)
    return float(np.sqrt(square + (unreached if unreached > 1e-9 * np.trace(c_a) else 0.0)))


def line_distance(first: AbstractEvaluable, second: AbstractEvaluable) -> float:
    """W2 of two densities on a line, by their distribution functions on fine nodes."""
    rule = _around(first, second)
    x = np.linspace(rule.nodes.min(), rule.nodes.max(), _FINE)
    a, b = (_density(law, jnp.asarray(x[:, None], _type())) for law in (first, second))
    if np.array_equal(a, b):
        return 0.0
    below = [np.append(0.0, np.cumsum(0.5 * (rho[1:] + rho[:-1]))) for rho in (a, b)]
    below = [part / part[-1] for part in below]
    matched = np.interp(below[0], below[1], x)
    return float(np.sqrt(np.average((x - matched) ** 2, weights=a)))


def _root(matrix: Float[np.ndarray, "dim dim"]) -> Float[np.ndarray, "dim dim"]:
    values, vectors = np.linalg.eigh(0.5 * (matrix + matrix.T))
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


def _around(first: AbstractEvaluable, second: AbstractEvaluable) -> Rule:
    """A rule on the least box that holds the particles of both."""
    corners = []
    for law in (first, second):
        points, weights = (np.asarray(part, np.float64) for part in law.particles())
        kept = points[weights > _LIGHT * weights.max()]
        corners.append((kept.min(axis=0), kept.max(axis=0)))
    low = np.minimum(corners[0][0], corners[1][0])
    high = np.maximum(corners[0][1], corners[1][1])
    sides = [(float(a), float(b)) for a, b in zip(low, high, strict=True)]
    return box_rule(sides, _CELLS[first.dim])


def _one_sided(here: AbstractEvaluable, there: AbstractEvaluable, points: Batch) -> Estimate:
    difference = evaluate(there.log_density, points) - evaluate(here.log_density, points)
    return mean_estimate(jnp.maximum(-jnp.expm1(difference), 0.0))


def _density(law: AbstractEvaluable, points: Batch) -> Float[np.ndarray, "n"]:
    return np.exp(np.asarray(evaluate(law.log_density, points), np.float64))


def _type():
    return jnp.result_type(float)


def _evaluable(law: AbstractDensity) -> AbstractEvaluable:
    if not isinstance(law, AbstractEvaluable):
        raise TypeError(
            f"`overlap` got a density `{type(law).__name__}` without a log-density: compare its "
            "samples, or smooth them, `Empirical(points).noised(1.0, bandwidth)`."
        )
    return law
