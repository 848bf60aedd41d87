"""Quadrature rules: nodes and weights with  int f(x) w(x) dx ~ sum_i weights_i f(nodes_i).

    gauss_legendre(n, low, high)   w = 1 on [low, high], exact for polynomials below degree 2n
    gauss_exponential(n, T, rate)  w = e^{-rate t} on [0, T], exact likewise
    gauss_hermite(n)               w = the density of N(0, 1), exact likewise: E f(X) = sum w_i f_i
    panels(ends, n)                Gauss-Legendre with n nodes between each two ends
    tensor(rules)                  the product of rules on lines: nodes `[n_1 ... n_dim, dim]`

One panel converges faster than any power of n for smooth integrands; panels suit integrands with
kinks or peaks, and in time keep what happens in each interval apart. Rules are computed in float64
on the host; nodes enter a computation as constants.

References: G. Golub, J. Welsch, "Calculation of Gauss quadrature rules" (1969); W. Gautschi,
"Orthogonal polynomials" (2004), section 2.2 (a weight that is known by a finer rule).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from mfgen.math._count import count

_FOLDINGS = 200.0  # e^{-200} is nothing, even times the powers of t that a rule integrates
_PANEL = 4.0  # length of a panel in units of 1 / rate
_PANEL_NODES = 16


class Rule(NamedTuple):
    """Nodes of a quadrature rule, `[n]` on a line or `[n, dim]`, and their weights `[n]`."""

    nodes: Float[np.ndarray, "n *dim"]
    weights: Float[np.ndarray, "n"]


def gauss_legendre(n: int, low: float = 0.0, high: float = 1.0) -> Rule:
    """The rule with n nodes for integrals over [low, high].

    Raises:
        ValueError: n < 1, or an interval that is empty or not finite.
    """
    count("gauss_legendre", "n", n, wanted="at least one node")
    if not (np.isfinite([low, high]).all() and low < high):
        raise ValueError(
            f"`gauss_legendre` got the interval [{low}, {high}], expected finite low < high."
        )
    nodes, weights = np.polynomial.legendre.leggauss(n)
    half = 0.5 * (high - low)
    return Rule(low + half * (nodes + 1), half * weights)


def gauss_exponential(n: int, high: float, rate: float) -> Rule:
    """The rule with n nodes for integrals of e^{-rate t} f(t) over [0, high].

    Its weights hold the factor e^{-rate t}. At rate 0 it is `gauss_legendre(n, 0, high)`; for a
    high rate its nodes lie where the weight is, and those of Legendre would miss it.

    Raises:
        ValueError: n < 1, an interval that is empty, or a negative rate.
    """
    if rate == 0:
        return gauss_legendre(n, 0.0, high)
    if not (np.isfinite(rate) and rate > 0):
        raise ValueError(f"`gauss_exponential` got rate = {rate}, expected a finite number >= 0.")
    reach = min(high, _FOLDINGS / rate)
    ends = np.linspace(0.0, reach, 2 + int(rate * reach / _PANEL))
    fine = joined(panels(ends.tolist(), n + _PANEL_NODES))
    weights = fine.weights * np.exp(-rate * fine.nodes)
    return _gauss(n, Rule(fine.nodes, weights))


def _gauss(n: int, fine: Rule) -> Rule:
    """The Gauss rule with n nodes of the weight that a finer rule stands for.

    Lanczos' iteration gives the Jacobi matrix of the orthogonal polynomials, whose eigenvalues are
    the nodes; directions are made orthogonal anew, since rounding would not keep them so.
    """
    mass = fine.weights.sum()
    basis = [np.sqrt(fine.weights / mass)]
    matrix = np.zeros((n, n))
    for k in range(n):
        moved = fine.nodes * basis[k]
        matrix[k, k] = basis[k] @ moved
        for _ in range(2):
            moved = moved - np.stack(basis, 1) @ (np.stack(basis) @ moved)
        length = np.linalg.norm(moved)
        if k + 1 < n:
            matrix[k, k + 1] = matrix[k + 1, k] = length
            basis.append(moved / length)
    nodes, vectors = np.linalg.eigh(matrix)
    return Rule(nodes, mass * vectors[0] ** 2)


def gauss_hermite(n: int) -> Rule:
    """The rule with n nodes for expectations of X ~ N(0, 1); weights sum to one.

    Raises:
        ValueError: n < 1.
    """
    count("gauss_hermite", "n", n, wanted="at least one node")
    nodes, weights = np.polynomial.hermite_e.hermegauss(n)
    return Rule(nodes, weights / weights.sum())


def panels(ends: Sequence[float], n: int) -> list[Rule]:
    """One Gauss-Legendre rule with n nodes for each interval between consecutive ends.

    Raises:
        ValueError: fewer than two ends, ends that do not increase, or n < 1.
    """
    if len(ends) < 2:
        raise ValueError(f"`panels` got {len(ends)} ends, expected at least 2.")
    return [gauss_legendre(n, low, high) for low, high in pairwise(ends)]


def joined(rules: Sequence[Rule]) -> Rule:
    """The rules of several intervals as one rule for their union."""
    return Rule(
        np.concatenate([rule.nodes for rule in rules]),
        np.concatenate([rule.weights for rule in rules]),
    )


def tensor(rules: Sequence[Rule]) -> Rule:
    """The product rule: one rule on a line for each axis, nodes `[n_1 ... n_dim, dim]`."""
    nodes = np.meshgrid(*[rule.nodes for rule in rules], indexing="ij")
    weights = np.meshgrid(*[rule.weights for rule in rules], indexing="ij")
    return Rule(
        np.stack(nodes, axis=-1).reshape(-1, len(rules)),
        np.prod(np.stack(weights), axis=0).reshape(-1),
    )


def box_rule(box: Sequence[tuple[float, float]], cells: int, n: int = 4) -> Rule:
    """The composite tensor rule of a box: each axis in `cells` panels of n nodes.

    Arguments:
        box: the interval (low, high) of each axis.
        cells: panels along each axis.
        n: nodes in each panel.
    """
    count("box_rule", "cells", cells)
    return tensor([joined(panels(np.linspace(*side, cells + 1).tolist(), n)) for side in box])
