"""What the tests of metrics share: replicated estimates and what a right standard error allows."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from mfgen.metrics.estimate import Estimate


def _within(estimate: Estimate, exact: float) -> None:
    """The exact value lies within four standard errors of the estimate."""
    gap = abs(float(estimate.value) - exact)
    assert gap <= 4 * float(estimate.standard_error), f"{estimate}, expected {exact}"


def _calibrated(replicate: Callable[[int], Estimate], count: int, exact: float | None) -> None:
    """Estimates have the exact mean, where there is one, and the spread that their errors announce.

    The squared spread of `count` values of kurtosis k has the relative error sqrt((k - 1) / count).
    """
    estimates = [replicate(seed) for seed in range(count)]
    values = np.array([float(estimate.value) for estimate in estimates])
    announced = np.mean([float(estimate.standard_error) ** 2 for estimate in estimates])
    spread = values.var(ddof=1)
    kurtosis = np.mean((values - values.mean()) ** 4) / values.var() ** 2
    assert exact is None or abs(values.mean() - exact) <= 4 * math.sqrt(spread / count)
    assert abs(spread / announced - 1) <= 4 * math.sqrt((kurtosis - 1) / count)


@pytest.fixture
def within():
    return _within


@pytest.fixture
def calibrated():
    return _calibrated
