"""Measures of the density of a potential, exp(-U) / Z: one evaluation where the flow integrates.

Z is found once for each model, by as many points as samples are asked for: points of the model's
flow where its divergence is exact and cheap, else annealed from noise to data. Models that are
exact densities at all times have Z = 1, and their likelihoods are these already.
"""

from mfgen.lab._context import Context, NotApplicable
from mfgen.metrics import _one_evaluation
from mfgen.metrics._estimate import Estimate
from mfgen.metrics._potential_density import PotentialDensity


def kl(context: Context) -> Estimate:
    """KL(truth || exp(-U) / Z)."""
    return _one_evaluation.one_evaluation_kl(context.truth, _law(context), context.points)


def log_likelihood(context: Context) -> Estimate:
    """The mean of log(exp(-U) / Z) over the test data, in original units."""
    jacobian = context.samples.scaling.log_jacobian
    return _one_evaluation.one_evaluation_log_likelihood(_law(context), context.points, jacobian)


def effective_part(context: Context) -> Estimate:
    """The part of the points that the weights behind Z leave, be it too small for Z or not."""
    fraction = getattr(context.normalised, "effective_fraction", None)
    if fraction is None:
        raise NotApplicable(str(context.normalised).rstrip("."))
    return fraction


def _law(context: Context) -> PotentialDensity:
    found = context.normalised
    if isinstance(found, ValueError):
        raise NotApplicable(str(found).rstrip("."))
    return found
