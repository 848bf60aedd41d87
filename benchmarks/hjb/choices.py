"""Settings of the methods, chosen on targets and seeds that no table of the study reports.

In the plane on moons, spiral and another random mixture; for real data on other splits. See
`benchmarks.hjb.tuning`, which prints what they were chosen from.
"""

from typing import NamedTuple


class Rates(NamedTuple):
    """Learning rates of a method below 8 dimensions and from there on, and with few data."""

    plane: float
    space: float
    few_plane: float
    few_space: float

    def choose(self, dim: int, *, few: bool) -> float:
        if few:
            return self.few_plane if dim < 8 else self.few_space
        return self.plane if dim < 8 else self.space


# The best of each method.
RATES = {
    "plain": Rates(8e-3, 3e-3, 6e-3, 3e-3),
    "hjb": Rates(8e-3, 3e-3, 8e-3, 3e-3),
    "field": Rates(5e-3, 5e-3, 6e-3, 1e-3),
    "corrected": Rates(3e-3, 3e-3, 1e-3, 1e-3),
}

# Of potentials in 8 dimensions with plenty of data, in the study of both densities; the studies
# before it had the rates above. In 20 dimensions a training of 30,000 steps came apart at it.
SPACE_RATE = 8e-3

# Noise ratio below which score matching has a control variate in the study of both densities, in 8
# dimensions with plenty of data: about the smallest deviation of a component there.
VARIATE = 0.1

# Reach of potentials' inner products there, in deviations: with the usual 3 one of two seeds had
# mass far outside of the data.
REACH = 2.0

# Up to so many samples data are few.
SCARCE = 5000

# What the weight for a network that corrects a mixture of few data is chosen from by validation,
# beside none, in units of the usual one.
CORRECTED_CHOICE = (3.0, 30.0)

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


def corrected_weight(count: int) -> float:
    """The weight for a network that corrects a mixture of so many data, in usual units."""
    return 30.0 if count <= 1000 else 10.0


def weight(dim: int) -> float:
    """The usual weight of the regulariser."""
    return round(0.3 * min(1.0, 2 / dim), 5)
