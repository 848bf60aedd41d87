import numpy as np
import pytest

from mfgen.metrics import c2st, mmd2


def cloud(seed, n, dim):
    return np.random.default_rng(seed).normal(size=(n, dim))


def test_equal_laws_are_not_told_apart(within):
    within(c2st(cloud(0, 300, 2), cloud(1, 300, 2)), 0.5)


def test_separated_laws_are():
    estimate = c2st(cloud(2, 200, 2), cloud(3, 200, 2) + 3.0)
    assert estimate.value > 0.9
    # The spread over replications is 1.0 to 1.35 times that of independent guesses.
    binomial = np.sqrt(estimate.value * (1 - estimate.value) / 400)
    assert estimate.standard_error == pytest.approx(1.25 * binomial)
    perfect = c2st(cloud(2, 20, 2), cloud(3, 20, 2) + 100.0)
    assert (perfect.value, perfect.standard_error) == (1.0, pytest.approx(1.25 / 40))


def test_seed_fixes_the_value():
    x, y = cloud(4, 100, 2), cloud(5, 100, 2) + 0.5
    assert c2st(x, y, seed=1) == c2st(x, y, seed=1)


def test_sees_two_modes_that_mmd_misses():
    # Unit variance in all 20 coordinates; one of them has two modes.
    x, y = cloud(6, 600, 20), cloud(7, 600, 20)
    y[:, 0] = 0.95 * np.sign(y[:, 0]) + np.sqrt(1 - 0.95**2) * cloud(8, 600, 1)[:, 0]
    blind, seeing = mmd2(x, y, bandwidths=(2.0, 4.0, 8.0)), c2st(x, y)
    assert blind.value < 2 * blind.standard_error
    assert seeing.value > 0.5 + 6 * seeing.standard_error
