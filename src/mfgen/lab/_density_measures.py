"""Measures of the two densities of a model: of its flow, and of its potential in one evaluation.

The flow is followed by an ODE, or known exactly. The potential gives exp(-U) / Z, with a Z that is
found once for each model, by as many points as samples are asked for: points of the model's flow
where its divergence is exact and cheap, else annealed from noise to data. Of models that are exact
densities at all times both are one, Z = 1.
"""

from mfgen.lab._context import Context, LogDensities, NotApplicable
from mfgen.metrics import _likelihood, _one_evaluation
from mfgen.metrics._estimate import Estimate
from mfgen.metrics._potential_density import PotentialDensity


def exact(context: Context) -> LogDensities:
    """The log-density of the truth at the points."""
    return _likelihood.evaluate(context.truth.log_density, context.points)


def flow_kl(context: Context) -> Estimate:
    """KL(truth || flow)."""
    return _likelihood.kl(context.truth, context.log_densities, context.points)


def flow_likelihood(context: Context) -> Estimate:
    """The mean log-density of the flow over the test data, in original units."""
    jacobian = context.samples.scaling.log_jacobian
    return _likelihood.mean_log_likelihood(context.log_densities, jacobian)


def potential_kl(context: Context) -> Estimate:
    """KL(truth || exp(-U) / Z)."""
    return _one_evaluation.one_evaluation_kl(context.truth, _law(context), context.points)


def potential_likelihood(context: Context) -> Estimate:
    """The mean of log(exp(-U) / Z) over the test data, in original units."""
    jacobian = context.samples.scaling.log_jacobian
    return _one_evaluation.one_evaluation_log_likelihood(_law(context), context.points, jacobian)


def effective_part(context: Context) -> Estimate:
    """The part of the points that the weights behind Z leave, be it too small for Z or not."""
    fraction = getattr(context.normalised, "effective_fraction", None)
    if fraction is None:
        raise NotApplicable(str(context.normalised).rstrip("."))
    return fraction


def one_shot_error(context: Context) -> Estimate:
    """Mean |-U - log truth|, with no Z."""
    return _likelihood.one_shot_error(context.one_shot, exact(context)).absolute


def one_shot_gap(context: Context) -> Estimate:
    """Mean |-U - log flow|, with no Z."""
    if context.is_one_shot:
        raise NotApplicable("likelihoods are those of one evaluation")
    return _likelihood.one_shot_error(context.one_shot, context.log_densities).absolute


def _law(context: Context) -> PotentialDensity:
    found = context.normalised
    if isinstance(found, ValueError):
        raise NotApplicable(str(found).rstrip("."))
    return found
