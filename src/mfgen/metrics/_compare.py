"""Comparison of two methods over the same seeds.

Two methods run with the same seeds share data, initial weights and noise, so they are compared seed
by seed: the pairing removes what the seeds have in common. For a positive metric (a divergence, an
error) the natural comparison is the ratio, averaged in the logarithm:

    ratio = exp( mean_i log(a_i / b_i) ),        factor = exp( sd_i log(a_i / b_i) ),

so that twice as good and twice as bad cancel. `factor` is the spread of one seed's ratio; the
standard error of the mean log ratio is log(factor) / sqrt(n). For metrics of either sign (a
log-likelihood) the difference is what counts.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from mfgen.metrics import _door
from mfgen.metrics._estimate import Estimate, mean_number


class Comparison(NamedTuple):
    """Method a against method b over common seeds.

    Attributes:
        first, second: mean of a and of b, each with its standard error.
        spread_first, spread_second: standard deviation over seeds, of a and of b.
        difference: mean of a - b, with the standard error of the pairs.
        ratio: geometric mean of a / b; NaN unless all values are positive.
        factor: geometric standard deviation of a / b over the seeds; NaN likewise.
        log_ratio: the mean of log(a / b), with its standard error; NaN likewise.
        wins: number of seeds with a < b.
        seeds: number of seeds.
    """

    first: Estimate
    second: Estimate
    spread_first: float
    spread_second: float
    difference: Estimate
    ratio: float
    factor: float
    log_ratio: Estimate
    wins: int
    seeds: int

    def __str__(self) -> str:
        return (
            f"{self.first} against {self.second}: ratio {self.ratio:.3g} (x/ {self.factor:.3g}), "
            f"difference {self.difference}, smaller in {self.wins} of {self.seeds} seeds"
        )


def compare(first: _door.Numbers, second: _door.Numbers) -> Comparison:
    """Compares two methods by their values over the same seeds, in the same order.

    Arguments:
        first: values of method a, one per seed, `[n]`, n >= 2.
        second: values of method b for the same seeds, `[n]`.

    Raises:
        ValueError: different numbers of seeds, or fewer than 2.
    """
    a, b = _door.values("compare", "first", first), _door.values("compare", "second", second)
    if len(a) != len(b):
        raise ValueError(
            f"`compare` got {len(a)} and {len(b)} values, expected one pair per seed: "
            "run both methods with the same seeds."
        )
    # A run that diverged gives an infinity or NaN, which the result shows instead of a warning.
    with np.errstate(invalid="ignore"):
        estimates = [mean_number(numbers) for numbers in (a, b, a - b, _log_ratios(a, b))]
    mean_a, mean_b, difference, log_ratio = estimates
    root = math.sqrt(len(a))
    return Comparison(
        first=mean_a,
        second=mean_b,
        spread_first=root * float(mean_a.standard_error),
        spread_second=root * float(mean_b.standard_error),
        difference=difference,
        ratio=float(np.exp(log_ratio.value)),
        factor=float(np.exp(root * log_ratio.standard_error)),
        log_ratio=log_ratio,
        wins=int(np.sum(a < b)),
        seeds=len(a),
    )


def _log_ratios(a: Float[np.ndarray, "n"], b: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    if min(a.min(), b.min()) <= 0:
        return np.full(len(a), np.nan)
    return np.log(a / b)
