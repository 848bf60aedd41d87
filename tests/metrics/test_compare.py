import math

import numpy as np
import pytest

from mfgen.metrics._compare import compare


def test_known_ratios():
    result = compare([1.0, 4.0, 2.0], [2.0, 2.0, 4.0])
    # Ratios 1/2, 2, 1/2: in the logarithm -1, 1, -1 times log 2.
    assert result.ratio == pytest.approx(2 ** (-1 / 3))
    assert result.factor == pytest.approx(2 ** math.sqrt(4 / 3))
    assert result.log_ratio.standard_error == pytest.approx(math.log(2) * 2 / 3)
    assert result.difference == pytest.approx((-1 / 3, math.sqrt(13 / 9)))
    assert (result.wins, result.seeds) == (2, 3)
    assert result.first == pytest.approx((7 / 3, math.sqrt(7 / 9)))
    assert result.spread_first == pytest.approx(math.sqrt(7 / 3))


def test_swapping_the_methods_inverts_the_ratio():
    rng = np.random.default_rng(0)
    a, b = rng.exponential(size=6), rng.exponential(size=6)
    forth, back = compare(a, b), compare(b, a)
    assert forth.ratio * back.ratio == pytest.approx(1.0)
    assert forth.factor == pytest.approx(back.factor)
    assert forth.wins + back.wins == 6


def test_pairing_removes_what_the_seeds_share():
    shared = np.random.default_rng(1).exponential(size=8)
    result = compare(0.5 * shared, shared)
    assert result.ratio == pytest.approx(0.5)
    assert result.factor == pytest.approx(1.0)


def test_without_positive_values_only_the_difference():
    result = compare([-1.0, 2.0], [1.0, 1.0])
    assert math.isnan(result.ratio)
    assert result.difference.value == pytest.approx(-0.5)


def test_a_diverged_run_shows():
    result = compare([math.inf, 1.0], [math.inf, 1.0])
    assert result.first.value == math.inf
    assert math.isnan(result.difference.value)


def test_prints_a_line():
    text = str(compare([1.0, 1.1], [2.0, 2.2]))
    assert "ratio 0.5 (x/ 1)" in text
    assert "smaller in 2 of 2 seeds" in text
