import math

import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.metrics import Estimate
from mfgen.metrics._estimate import mean_estimate, mean_number, root, root_in_reach


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.01234, 0.00041, "0.01234 ± 0.00041"),
        (12.3456, 0.5, "12.35 ± 0.50"),
        (1234.5, 56.0, "1234 ± 56"),
        (0.5, 0.0, "0.5"),
        (math.nan, 0.1, "nan ± 0.1"),
        (1.2344e-9, 3.2e-11, "1.234e-09 ± 3.2e-11"),
        (1.2344e9, 3.2e7, "1.234e+09 ± 3.2e+07"),
    ],
)
def test_prints_two_digits_of_the_error(value, error, text):
    assert str(Estimate(value, error)) == text
    assert f"{Estimate(value, error)}" == text


def test_mean_of_known_numbers():
    values = np.array([1.0, 2.0, 3.0, 6.0])
    for estimate in (mean_estimate(jnp.asarray(values)), mean_number(values)):
        assert float(estimate.value) == pytest.approx(3.0)
        # The variance is (4 + 1 + 0 + 9) / 3, divided by n = 4.
        assert float(estimate.standard_error) == pytest.approx(math.sqrt(14 / 12))


def test_mean_of_infinite_numbers_has_no_error():
    estimate = mean_number(np.array([1.0, math.inf]))
    assert estimate.value == math.inf
    assert math.isnan(estimate.standard_error)


def test_root_by_the_delta_method():
    assert root(Estimate(4.0, 0.4)) == pytest.approx((2.0, 0.1))
    assert root(Estimate(0.0, 0.04)) == pytest.approx((0.0, 0.2))


def test_root_reaches_as_far_as_two_errors():
    """The delta method for small errors; where two of them reach zero, so does the root."""
    assert root_in_reach(Estimate(4.0, 0.0004)) == pytest.approx((2.0, 0.0001), rel=1e-3)
    value, error = map(float, root_in_reach(Estimate(1.0, 0.45)))
    assert value - 2 * error == pytest.approx(math.sqrt(1 - 0.9), rel=1e-5)
    for square in (-0.01, 0.0, 0.05):
        value, error = map(float, root_in_reach(Estimate(square, 0.04)))
        assert value - 2 * error <= 1e-7
        assert value + 2 * error >= math.sqrt(max(square, 0.0) + 0.08) - 1e-6
