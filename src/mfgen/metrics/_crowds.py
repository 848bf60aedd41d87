"""Residuals in a crowd that is a sample: what is wrong with U, apart from what is with the crowd.

The couplings f = dI/drho and g = dM/drho of n particles are those of their law and noise, of order
n^{-1/2} times the weight of the cost and much the same at all points at once. The mean square of a
residual in one crowd holds the variance of that noise, which the spread over points does not tell:
with an exact U too it is left over. Two independent crowds have independent noise, so that of B
blocks of the particles, with residuals r_b,

    E r^2  ~  mean_x 1/(B(B-1)) sum_{b != c} r_b(x) r_c(x)

is unbiased where couplings are linear in rho, and up to order 1/n where they are not. It may be
negative. Its error is that of the points, and that of the crowd by the jackknife over blocks,

    var = (B-1)/B sum_b (T_b - mean T)^2,      T_b without block b.

Costs that know the population by log rho alone, or not at all, have no such noise.

References: B. Efron, C. Stein, "The jackknife estimate of variance" (1981); W. Hoeffding (1948) for
sums over pairs.
"""

import math
from itertools import combinations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mfgen._types import Scalar
from mfgen.densities._base import AbstractDensity
from mfgen.functionals._functional import AbstractFunctional, needs_population, refusal
from mfgen.losses._known import KnownDensity
from mfgen.metrics import _blocks
from mfgen.metrics._estimate import Estimate, mean_of_rows

BLOCKS = 8
PAIRS = np.array(list(combinations(range(BLOCKS), 2)))
_LEAST = 16  # particles of a block


def of_sample(cost: AbstractFunctional, law: AbstractDensity | None) -> bool:
    """Whether the first variation of a cost is that of a sample of the law, so that it has noise.

    Arguments:
        cost: I or M.
        law: the population that it is asked in.
    """
    if law is None or len(law.particles()[0]) < _LEAST * BLOCKS or not _blocks.is_sampled(law):
        return False
    x = jnp.zeros(law.dim)
    told = KnownDensity(law.dim, "certify", jnp.zeros(()))
    return needs_population(cost, x) and refusal(cost, told, x) is not None


def crowds(cost: AbstractFunctional, law: AbstractDensity | None) -> list[AbstractDensity | None]:
    """Independent blocks of a sample; the law itself where the cost has no noise of it."""
    if law is None or not of_sample(cost, law):
        return [law]
    return [_blocks.restricted(law, number, BLOCKS) for number in range(BLOCKS)]


def mean_square(share: Float[Array, "m"], table: Float[Array, "b m n"]) -> Estimate:
    """The mean square of a residual, from its values in each crowd.

    Arguments:
        share: weights of the m times, of sum one.
        table: the residual in each of b crowds at n points of each time.

    Returns:
        The estimate: in one crowd the mean of squares, in several that of products.
    """
    number = len(table)
    if number == 1:
        return mean_of_rows(share, jnp.square(table[0]))
    total = jnp.sum(table, axis=0)
    own = table * (total[None] - table)  # of each crowd with all others
    every = jnp.sum(own, axis=0)
    found = mean_of_rows(share, every / (number * (number - 1)))
    without = (every[None] - 2 * own) / ((number - 1) * (number - 2))
    means = jnp.mean(jnp.einsum("m,bmn->bn", share, without), axis=1)
    return Estimate(found.value, jnp.hypot(found.standard_error, jackknifed(means)))


def mean_over_pairs(
    share: Float[Array, "m"], table: Float[Array, "m n"], pairs: Int[np.ndarray, "n 2"]
) -> Estimate:
    """The mean of products of two crowds each, from one pair of crowds at each point.

    Arguments:
        share: weights of the m times.
        table: the products at n points of each time.
        pairs: the two crowds of each point.
    """
    found = mean_of_rows(share, table)
    rows = share @ table
    without = [np.flatnonzero((pairs != number).all(axis=1)) for number in range(BLOCKS)]
    means = jnp.stack([jnp.mean(rows[kept]) for kept in without])
    return Estimate(found.value, jnp.hypot(found.standard_error, jackknifed(means)))


def jackknifed(means: Float[Array, "b"]) -> Scalar:
    """The standard error of a mean over blocks, from the means without each of them."""
    return math.sqrt(len(means) - 1) * jnp.std(means)
