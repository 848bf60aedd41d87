"""How a trained model is judged: every measure that applies, each with its standard error.

With an exact truth: KL, the error of the one-evaluation log-density, the score error, and
distances of samples to fresh samples of the truth. With real data: the
likelihood of held-out data in original units, the one-evaluation against the ODE log-density,
distances of samples to the test data, a classifier, and memorisation. For every potential: the
residual of the Hamilton-Jacobi-Bellman equation.

Likelihoods are those of the probability-flow ODE or, for models that are exact densities at every
time, of one evaluation, as the specification says.

Measures are computed in standard units. A log-density in original units is that in standard units
plus the log-Jacobian of the scaling; a Kullback-Leibler divergence is the same in both. What does
not apply to a model or to its data is left out, with the reason.
"""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from mfgen.lab import flow_measures, spec, spec_particles
from mfgen.lab.catalogue import ENERGIES, METRICS, TOYS
from mfgen.lab.judged import Case as Case
from mfgen.lab.judged import LogDensities
from mfgen.lab.judged import NotApplicable as NotApplicable
from mfgen.lab.judged import draw as draw
from mfgen.metrics import (
    classifier,
    discrepancy,
    equation,
    likelihood,
    memorisation,
    score,
    transport,
)
from mfgen.metrics.estimate import Estimate

_MEMORABLE = 10_000  # training samples; more than that a network of these sizes cannot keep
_ENERGETIC = spec.EnergyGame | spec_particles.Discounted
_FLOWS = spec.FlowGame | _ENERGETIC | spec_particles.Proximal | spec_particles.Movement
# The exact assignment takes a time of order n^3: a second for so many points.
_ASSIGNED = 1000


def wanted(experiment: spec.Experiment) -> list[str]:
    """The measures an experiment asks for, in the order of the catalogue.

    If it names none, they are all that its data and its game allow.
    """
    names = experiment.evaluation.metrics
    if names is not None:
        return [name for name in METRICS if name in names]
    given = {"nothing"}
    if experiment.data.name not in ENERGIES:
        given.add("truth" if experiment.data.name in TOYS else "held-out")
    if isinstance(experiment.game, _FLOWS):
        given.add("flow")
    if isinstance(experiment.game, _ENERGETIC):
        given.add("energy")
    return [name for name, info in METRICS.items() if info.needs in given]


def measure(name: str, case: Case) -> Estimate:
    """One measure of a case.

    Raises:
        NotApplicable: with the reason, if the measure has no meaning there.
    """
    value = _MEASURES[name](case)
    return Estimate(float(value.value), float(value.standard_error))


def pointwise(name: str, case: Case) -> Float[np.ndarray, "n"] | None:
    """A measure that is a mean over the points, at each of them; `None` for other measures.

    With them two models judged at the same points are compared point by point.

    Raises:
        NotApplicable: as `measure`.
    """
    values = _AT_POINTS.get(name)
    return None if values is None else np.asarray(values(case), np.float64)


def _exact(case: Case) -> LogDensities:
    return likelihood.evaluate(case.truth.log_density, case.points)


def _kl(case: Case) -> Estimate:
    return likelihood.kl(case.truth, case.log_densities, case.points)


def _log_likelihood(case: Case) -> Estimate:
    jacobian = case.samples.scaling.log_jacobian
    return likelihood.mean_log_likelihood(case.log_densities, jacobian)


def _one_shot_error(case: Case) -> Estimate:
    return likelihood.one_shot_error(case.one_shot, _exact(case)).absolute


def _one_shot_gap(case: Case) -> Estimate:
    if case.is_one_shot:
        raise NotApplicable("likelihoods are those of one evaluation")
    return likelihood.one_shot_error(case.one_shot, case.log_densities).absolute


def _score_error(case: Case) -> Estimate:
    case.require_score()
    truth = case.require_noisable()
    return score.girsanov_bound(case.game, case.trained, truth, key=case.key)


def _hjb_residual(case: Case) -> Estimate:
    potential = case.require_potential()
    case.require_noising()
    return equation.hjb_error(case.game, potential, case.fresh, key=case.key, n=2048)


def _mmd(case: Case) -> Estimate:
    width = discrepancy.median_distance(np.asarray(case.fresh))
    bandwidths = tuple(width * factor for factor in (0.25, 0.5, 1.0, 2.0))
    return discrepancy.mmd2(case.generated, case.fresh, bandwidths=bandwidths)


def _sliced_w2(case: Case) -> Estimate:
    return transport.sliced_wasserstein2(case.generated, case.fresh, key=case.key)


def _w2(case: Case) -> Estimate:
    case.require_truth()
    count = min(_ASSIGNED, case.generated.shape[0], case.fresh.shape[0])
    return transport.wasserstein2(case.generated[:count], case.fresh[:count])


def _c2st(case: Case) -> Estimate:
    count = min(case.generated.shape[0], case.fresh.shape[0])
    return classifier.c2st(case.generated[:count], case.fresh[:count])


def _memorisation(case: Case) -> Estimate:
    if len(case.samples.train) > _MEMORABLE:
        raise NotApplicable("the training samples are too many to be memorised")
    return memorisation.memorisation_ratio(case.generated, case.samples.train, case.fresh)


_MEASURES: dict[str, Callable[[Case], Estimate]] = {
    "kl": _kl,
    "log_likelihood": _log_likelihood,
    "one_shot_error": _one_shot_error,
    "one_shot_gap": _one_shot_gap,
    "score_error": _score_error,
    "hjb_residual": _hjb_residual,
    "energy_distance": lambda case: discrepancy.energy_distance(case.generated, case.fresh),
    "mmd": _mmd,
    "sliced_w2": _sliced_w2,
    "w2": _w2,
    "c2st": _c2st,
    "memorisation": _memorisation,
    "transport_cost": flow_measures.transport_cost,
    "path_residual": flow_measures.path_residual,
    "inverse_error": flow_measures.inversion,
    "effective_samples": flow_measures.effective_samples,
    "normaliser": flow_measures.normaliser,
    "normaliser_error": flow_measures.normaliser_error,
}

_AT_POINTS: dict[str, Callable[[Case], LogDensities]] = {
    "kl": lambda case: _exact(case) - case.log_densities,
    "log_likelihood": lambda case: case.log_densities + case.samples.scaling.log_jacobian,
    "one_shot_error": lambda case: jnp.abs(case.one_shot - _exact(case)),
    "one_shot_gap": lambda case: jnp.abs(case.one_shot - case.log_densities),
}
