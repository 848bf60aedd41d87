"""What the tests of metrics share: replicated estimates and what a right standard error allows."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from mfgen.metrics import Estimate


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


def _covered(estimates: list[Estimate], exact: float | None, *, cautious: bool = False) -> None:
    """Two errors hold the exact value, or the mean of all, in 93 to 97 % of samples.

    Up to three errors of the share itself. Cautious: in at least 93 %.
    """
    values, errors = (np.array(column, float) for column in zip(*estimates, strict=True))
    centre = values.mean() if exact is None else exact
    share = np.mean(np.abs(values - centre) <= 2 * errors)
    slack = 3 * math.sqrt(0.05 * 0.95 / len(values))
    assert 0.93 - slack <= share, f"two errors cover {share:.1%}"
    assert cautious or share <= 0.97 + slack, f"two errors cover {share:.1%}"


@pytest.fixture
def covered():
    return _covered


@pytest.fixture
def within():
    return _within


@pytest.fixture
def calibrated():
    return _calibrated
