"""What weighted points tell of an integral: independent ones, or those of independent populations.

Points of one population of sequential Monte Carlo hang together. Its mean weight Z_p is unbiased
for Z, and P independent ones tell

    log Z = log mean(Z_p),      error e = sd(Z_p) / (mean(Z_p) sqrt P).

n independent weights of effective fraction f have the error sqrt((1/f - 1) / n). So populations of
n points in all are worth a fraction

    f = 1 / (1 + n e^2),        error f (1 - f) sqrt(2 / (P - 1)),

of n independent points. It is at most that of the weights that are left at the end, by which
points are resampled.
"""

import math

import numpy as np

from mfgen.metrics._estimate import Estimate
from mfgen.metrics._importance import effective_fraction, log_normaliser
from mfgen.simulate._weighted import Weighted


def told(drawn: Weighted) -> tuple[Estimate, Estimate]:
    """The effective fraction of weighted points, and log Z, each with its error.

    Raises:
        ValueError: as in `log_normaliser`.
    """
    last = effective_fraction(drawn.log_weights)
    if drawn.populations == 1:
        return last, log_normaliser(drawn.log_weights)
    logs = np.asarray(drawn.log_weights, np.float64).reshape(drawn.populations, -1)
    found = log_normaliser(np.logaddexp.reduce(logs, axis=1) - math.log(logs.shape[1]))
    part = 1 / (1 + logs.size * float(found.standard_error) ** 2)
    spread = Estimate(part, part * (1 - part) * math.sqrt(2 / (drawn.populations - 1)))
    return min(spread, last, key=lambda fraction: float(fraction.value)), found
