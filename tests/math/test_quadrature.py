"""Quadrature rules are exact where theory says so, and not beyond."""

import math

import numpy as np
import pytest

from mfgen.math._quadrature import box_rule, gauss_hermite, gauss_legendre, joined, panels, tensor


def moment(rule, power):
    return float(rule.weights @ rule.nodes**power)


@pytest.mark.parametrize("n", [1, 3, 8])
def test_legendre_is_exact_below_degree_2n(n):
    low, high = -0.5, 2.0
    exact = lambda k: (high ** (k + 1) - low ** (k + 1)) / (k + 1)
    rule = gauss_legendre(n, low, high)
    for power in range(2 * n):
        assert moment(rule, power) == pytest.approx(exact(power), rel=1e-12)
    assert moment(rule, 2 * n) != pytest.approx(exact(2 * n), rel=1e-12)


def test_hermite_gives_the_moments_of_the_normal_law():
    rule = gauss_hermite(5)
    for power, exact in enumerate([1, 0, 1, 0, 3, 0, 15, 0, 105, 0]):
        assert moment(rule, power) == pytest.approx(exact, abs=1e-11)
    assert moment(rule, 10) != pytest.approx(945, rel=1e-6)


def test_panels_see_a_kink_at_their_ends():
    rule = joined(panels([-1.0, 0.25, 2.0], 2))
    exact = (1.25**2 + 1.75**2) / 2
    assert rule.weights @ np.abs(rule.nodes - 0.25) == pytest.approx(exact, rel=1e-14)


def test_tensor_and_box_rules_integrate_products():
    rule = tensor([gauss_legendre(3, 0.0, 1.0), gauss_legendre(2, 0.0, 2.0)])
    assert rule.nodes.shape == (6, 2)
    x, y = rule.nodes.T
    assert rule.weights @ (x**5 * y**3) == pytest.approx(1 / 6 * 4, rel=1e-13)
    box = box_rule([(-6.0, 6.0), (-5.0, 7.0)], 12)
    x, y = box.nodes.T
    density = np.exp(-0.5 * (x**2 + (y - 1) ** 2)) / (2 * math.pi)
    assert box.weights @ density == pytest.approx(math.erf(6 / math.sqrt(2)) ** 2, abs=1e-9)


@pytest.mark.parametrize(
    "build",
    [
        lambda: gauss_legendre(0),
        lambda: gauss_legendre(3, 1.0, 1.0),
        lambda: gauss_legendre(3, 0.0, math.inf),
        lambda: gauss_hermite(0),
        lambda: panels([0.0], 2),
        lambda: panels([0.0, 1.0, 0.5], 2),
        lambda: box_rule([(0.0, 1.0)], 0),
    ],
)
def test_empty_rules_are_refused(build):
    with pytest.raises(ValueError, match=r"got .* expected"):
        build()
