"""Settings of the methods, chosen on targets and seeds that no table of the study reports.

In the plane on moons, spiral and another random mixture; for real data on other splits. See
`studies.hjb.tuning`, which prints what they were chosen from.
"""

from typing import NamedTuple

# The best learning rate of each method: with plenty of data below and from 8 dimensions on, and
# with few data, as real ones are.
RATES = {
    "plain": (8e-3, 3e-3, 1e-3),
    "hjb": (8e-3, 3e-3, 1e-3),
    "field": (5e-3, 5e-3, 1e-3),
    "corrected": (3e-3, 3e-3, 5e-4),
}

# Up to so many samples data are few.
SCARCE = 5000

# The weight for a network that corrects a mixture of few data, in units of the usual one.
CORRECTED_WEIGHT = 10.0

# Noise ratio at which games end in 8 dimensions and more: what is left of the noise there counts
# in each of them.
SMALLEST = 0.01


class Spread(NamedTuple):
    """Where the residual is measured with few samples, and its weight there."""

    extra: float

    def weight(self, count: int) -> float:
        """In units of the usual weight, for so many samples."""
        return 10.0 if count <= 200 else 3.0 if count <= 1000 else 1.0


SPREAD = Spread(extra=0.22)


def weight(dim: int) -> float:
    """The usual weight of the regulariser."""
    return round(0.3 * min(1.0, 2 / dim), 5)
