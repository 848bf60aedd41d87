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
not apply to a model or to its data is left out, with the reason. A measure of the user's own is a
function of samples and data, `[n, dim]` each, that returns a number or an `Estimate`.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from mfgen.lab import _density_measures, _flow_measures
from mfgen.lab._context import Context, LogDensities, NotApplicable
from mfgen.lab._imports import Imports
from mfgen.lab._words import near
from mfgen.metrics import (
    _classifier,
    _discrepancy,
    _equation,
    _memorisation,
    _score,
    _transport,
)
from mfgen.metrics._estimate import Estimate

_MEMORABLE = 10_000  # training samples; more than that a network of these sizes cannot keep
# The exact assignment takes a time of order n^3: a second for so many points.
_ASSIGNED = 1000

Needs = Literal["truth", "held-out", "flow", "energy", "nothing"]


class Measure(NamedTuple):
    """A measure: how it is computed, and in words.

    Attributes:
        title, unit, summary: in words.
        compute: the measure of a model.
        smaller_is_better: whether it is.
        needs: the exact truth (toys), held-out data (real data), a flow, a flow to an energy, or
            nothing of the kind.
        ideal: the value that is best where that is neither end.
        rival: what it is compared with in a model without the regulariser, if not with itself.
        at_points: the same at each point, for means over points.
    """

    title: str
    unit: str
    summary: str
    compute: Callable[[Context], Estimate]
    smaller_is_better: bool = True
    needs: Needs = "nothing"
    ideal: float | None = None
    rival: str | None = None
    at_points: Callable[[Context], LogDensities] | None = None

    def badness(self, value: float) -> float:
        """Smaller for what is better."""
        if self.ideal is not None:
            return abs(value - self.ideal)
        return value if self.smaller_is_better else -value


def measure_of(name: str) -> Measure:
    """A measure by name; of one that is not known, the user's own, its name."""
    if name in METRICS:
        return METRICS[name]
    return Measure(name.rpartition(":")[2].replace("_", " "), "", "of your own", _unknown)


def check(context: Context, imports: Imports) -> dict[str, Measure]:
    """The measures that an experiment asks for, in the order of the table.

    If it names none, they are all that its data and its game allow.

    Raises:
        ValueError: for a name that is none.
    """
    names = context.settings.metrics
    if names is None:
        given = context.gives
        return {name: found for name, found in METRICS.items() if found.needs in given}
    own = {name: _own(name, imports) for name in names if ":" in name}
    for index, name in enumerate(names):
        if name not in METRICS and name not in own:
            advice = near(name, METRICS, f"choose among {', '.join(METRICS)}.")
            raise ValueError(
                f"`evaluation.metrics[{index}]` got {name!r}, expected a measure: {advice}"
            )
    return {name: found for name, found in METRICS.items() if name in names} | own


def _own(name: str, imports: Imports) -> Measure:
    function = imports.load(name)

    def compute(context: Context) -> Estimate:
        found = function(context.generated, context.fresh)
        return found if type(found) is Estimate else Estimate(float(found), 0.0)

    return measure_of(name)._replace(compute=compute)


def _unknown(context: Context) -> Estimate:
    raise NotApplicable("it is code of your own")


def measure(found: Measure, context: Context) -> Estimate:
    """One measure of a model.

    Raises:
        NotApplicable: with the reason, if the measure has no meaning there.
    """
    value = found.compute(context)
    return Estimate(float(value.value), float(value.standard_error))


def pointwise(found: Measure, context: Context) -> Float[np.ndarray, "n"] | None:
    """A measure that is a mean over the points, at each of them; `None` for other measures.

    With them two models judged at the same points are compared point by point.

    Raises:
        NotApplicable: as `measure`.
    """
    at = found.at_points
    return None if at is None else np.asarray(at(context), np.float64)


def _score_error(context: Context) -> Estimate:
    context.require_score()
    truth = context.require_noisable()
    return _score.girsanov_bound(context.game, context.trained, truth, key=context.key)


def _hjb_residual(context: Context) -> Estimate:
    potential = context.require_potential()
    context.require_noising()
    return _equation.hjb_error(context.game, potential, context.fresh, key=context.key, n=2048)


def _mmd(context: Context) -> Estimate:
    width = _discrepancy.median_distance(np.asarray(context.fresh))
    bandwidths = tuple(width * factor for factor in (0.25, 0.5, 1.0, 2.0))
    return _discrepancy.mmd2(context.generated, context.fresh, bandwidths=bandwidths)


def _sliced_w2(context: Context) -> Estimate:
    return _transport.sliced_wasserstein2(context.generated, context.fresh, key=context.key)


def _w2(context: Context) -> Estimate:
    context.require_truth()
    count = min(_ASSIGNED, context.generated.shape[0], context.fresh.shape[0])
    return _transport.wasserstein2(context.generated[:count], context.fresh[:count])


def _c2st(context: Context) -> Estimate:
    count = min(context.generated.shape[0], context.fresh.shape[0])
    return _classifier.c2st(context.generated[:count], context.fresh[:count])


def _memorised(context: Context) -> Estimate:
    if len(context.samples.train) > _MEMORABLE:
        raise NotApplicable("the training samples are too many to be memorised")
    return _memorisation.memorisation_ratio(context.generated, context.samples.train, context.fresh)


_U = "scaled units"
METRICS: dict[str, Measure] = {
    "kl": Measure(
        "KL(truth || model)",
        "nats",
        "by the ODE; in one evaluation if exact",
        _density_measures.flow_kl,
        needs="truth",
        at_points=lambda context: _density_measures.exact(context) - context.log_densities,
    ),
    "log_likelihood": Measure(
        "test log-likelihood",
        "nats",
        "held-out data, original units, by the ODE; in one evaluation if exact",
        _density_measures.flow_likelihood,
        smaller_is_better=False,
        needs="held-out",
        at_points=lambda context: context.log_densities + context.samples.scaling.log_jacobian,
    ),
    "one_evaluation_kl": Measure(
        "KL in one evaluation",
        "nats",
        "of exp(-U) / Z; with / without: over the KL by the ODE without",
        _density_measures.potential_kl,
        needs="truth",
        rival="kl",
    ),
    "one_evaluation_likelihood": Measure(
        "test log-likelihood in one evaluation",
        "nats",
        "of exp(-U) / Z; with / without: against that by the ODE without",
        _density_measures.potential_likelihood,
        smaller_is_better=False,
        needs="held-out",
        rival="log_likelihood",
    ),
    "effective_part": Measure(
        "effective part of the weights",
        "",
        "of the points by which Z is found; below 1/20 there is no Z",
        _density_measures.effective_part,
        smaller_is_better=False,
    ),
    "one_shot_error": Measure(
        "one-evaluation error",
        "nats",
        "mean |U-based log-density - exact log-density|",
        _density_measures.one_shot_error,
        needs="truth",
        at_points=lambda context: jnp.abs(context.one_shot - _density_measures.exact(context)),
    ),
    "one_shot_gap": Measure(
        "one-evaluation gap",
        "nats",
        "mean |-U - ODE log-density| at the data end",
        _density_measures.one_shot_gap,
        at_points=lambda context: jnp.abs(context.one_shot - context.log_densities),
    ),
    "score_error": Measure(
        "score error", "nats", "Girsanov bound on KL", _score_error, needs="truth"
    ),
    "hjb_residual": Measure(
        "HJB residual", "rms", "per unit of log noise ratio, over all levels", _hjb_residual
    ),
    "energy_distance": Measure(
        "energy distance",
        _U,
        "samples to data",
        lambda context: _discrepancy.energy_distance(context.generated, context.fresh),
    ),
    "mmd": Measure("MMD", "", "maximum mean discrepancy, samples to data", _mmd),
    "sliced_w2": Measure("sliced W2", _U, "samples to data", _sliced_w2),
    "w2": Measure("W2", _U, "exact assignment, samples to data", _w2, needs="truth"),
    "c2st": Measure(
        "C2ST accuracy",
        "",
        "classifier two-sample test; 0.5 is indistinguishable",
        _c2st,
        needs="held-out",
    ),
    "memorisation": Measure(
        "memorisation ratio",
        "",
        "distance to the nearest training sample, over that of fresh data: 1 best, copies less",
        _memorised,
        smaller_is_better=False,
        ideal=1.0,
    ),
    "transport_cost": Measure(
        "transport cost",
        _U,
        "what the control costs, E int L dt",
        _flow_measures.transport_cost,
        needs="flow",
    ),
    "path_residual": Measure(
        "HJB residual along paths",
        _U,
        "E int |R| dt where particles go",
        _flow_measures.path_residual,
        needs="flow",
    ),
    "inverse_error": Measure(
        "inverse error",
        _U,
        "points carried to the reference and back",
        _flow_measures.inversion,
        needs="flow",
    ),
    "effective_samples": Measure(
        "effective samples",
        "",
        "the part that importance weights leave",
        _flow_measures.effective_samples,
        smaller_is_better=False,
        needs="energy",
    ),
    "normaliser": Measure(
        "log Z",
        "nats",
        "of the energy, by importance weights; from below on average",
        _flow_measures.normaliser,
        smaller_is_better=False,
        needs="energy",
    ),
    "normaliser_error": Measure(
        "error of log Z",
        "nats",
        "by importance weights, exact log Z known",
        _flow_measures.normaliser_error,
        needs="energy",
    ),
}
