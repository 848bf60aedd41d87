"""How a trained model is judged: every measure that applies, each with its standard error.

With an exact truth: KL, the errors of the one-evaluation log-density and of the score, distances to
fresh samples. With real data: the likelihood of held-out data, distances to the test data, a
classifier, memorisation. For flows, followed with 40 steps of the Runge-Kutta method: what their
particles pay, how well they are inverted, and what an energy is worth.

Likelihoods are those of the probability-flow ODE or, for models that are exact densities at every
time, of one evaluation, as the specification says. Measures are computed in standard units. A
log-density in original units is that in standard units plus the log-Jacobian of the scaling. What
does not apply to a model or to its data is left out, with the reason. To add a measure, write its
function; one of the user's own is of samples and data, `[n, dim]` each.
"""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfgen._near import near
from mfgen._types import Batch
from mfgen.games._game import MFG
from mfgen.lab._context import Context, LogDensities, NotApplicable, arriving
from mfgen.lab._imports import Imports
from mfgen.losses._flow import TransportCost
from mfgen.losses._objective import AbstractObjective
from mfgen.losses._paths import Paths
from mfgen.losses._shorthands import PathHJB
from mfgen.metrics import (
    _classifier,
    _discrepancy,
    _equation,
    _memorisation,
    _one_evaluation,
    _score,
)
from mfgen.metrics._estimate import Estimate, mean_number
from mfgen.metrics._importance import effective_fraction, log_normaliser
from mfgen.metrics._transport import sliced_wasserstein2, wasserstein2
from mfgen.models._base import AbstractModel
from mfgen.simulate._flow import inverse_error as carried_back
from mfgen.simulate._integrator import RungeKutta4

_MEMORABLE = 10_000  # training samples; more than that a network of these sizes cannot keep
_ASSIGNED = 1000  # points: exact assignment takes a time of order n^3, a second for so many
_FINE = Paths(RungeKutta4(40))
_INVERTED = 1000  # points carried there and back
_U = "scaled units"

Found = Estimate | LogDensities


class Measure(NamedTuple):
    """A measure: in words, and how it is computed.

    Attributes:
        title, unit, summary: in words.
        compute: an estimate; or a number for each of the points, of which it is the mean.
        needs: the exact truth (toys), held-out data (real data), a flow, a flow to an energy, or
            nothing of the kind.
        ideal: the value that is best: minus infinity where smaller is better.
        rival: what it is compared with in a model without the regulariser, if not with itself.
    """

    title: str
    unit: str
    summary: str
    compute: Callable[[Context], Found]
    needs: Literal["truth", "held-out", "flow", "energy", "nothing"] = "nothing"
    ideal: float = -math.inf
    rival: str | None = None

    def badness(self, value: float) -> float:
        """Smaller for what is better."""
        best = self.ideal
        return abs(value - best) if math.isfinite(best) else math.copysign(1.0, -best) * value


METRICS: dict[str, Measure] = {}


def _measure(unit: str, **more: Any) -> Callable:
    """Makes the function below it a measure of its name, its title and summary its docstring."""

    def known(compute: Callable[[Context], Found]) -> Callable[[Context], Found]:
        said = " ".join((compute.__doc__ or compute.__name__).split())
        title, _, summary = said.rstrip(".").partition(": ")
        METRICS[compute.__name__] = Measure(title, unit, summary, compute, **more)
        return compute

    return known


def measure_of(name: str) -> Measure:
    """A measure by name; of one that is not known, the user's own, its name."""
    own = Measure(name.rpartition(":")[2].replace("_", " "), "", "of your own", _unknown)
    return METRICS.get(name, own)


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


def measure(found: Measure, context: Context) -> tuple[Estimate, Float[np.ndarray, "n"] | None]:
    """A measure of a model; and of a mean over the points, its value at each of them.

    With these two models judged at the same points are compared point by point.

    Raises:
        NotApplicable: with the reason, if the measure has no meaning there.
    """
    value = found.compute(context)
    if type(value) is Estimate:
        return Estimate(float(value.value), float(value.standard_error)), None
    points = np.asarray(value, np.float64)
    return mean_number(points), points


@_measure("nats", needs="truth")
def kl(context: Context) -> Found:
    """KL(truth || model): by the ODE; in one evaluation if exact."""
    return context.exact - context.log_densities


@_measure("nats", needs="held-out", ideal=math.inf)
def log_likelihood(context: Context) -> Found:
    """test log-likelihood: held-out data, original units, by the ODE; in one evaluation if
    exact.
    """
    return context.log_densities + context.samples.scaling.log_jacobian


@_measure("nats", needs="truth", rival="kl")
def one_evaluation_kl(context: Context) -> Found:
    """KL in one evaluation: of exp(-U) / Z; with / without: over the KL by the ODE without."""
    return _one_evaluation.one_evaluation_kl(context.truth, context.law, context.points)


@_measure("nats", needs="held-out", ideal=math.inf, rival="log_likelihood")
def one_evaluation_likelihood(context: Context) -> Found:
    """test log-likelihood in one evaluation: of exp(-U) / Z; with / without: against that by the
    ODE without.
    """
    jacobian = context.samples.scaling.log_jacobian
    return _one_evaluation.one_evaluation_log_likelihood(context.law, context.points, jacobian)


@_measure("", ideal=math.inf)
def effective_part(context: Context) -> Found:
    """effective part of the weights: of those that Z is found by; below 1/20 there is no Z."""
    fraction = getattr(context.normalised, "effective_fraction", None)
    if fraction is None:
        raise NotApplicable(str(context.normalised).rstrip("."))
    return fraction


@_measure("nats", needs="truth")
def one_shot_error(context: Context) -> Found:
    """one-evaluation error: mean |U-based log-density - exact log-density|."""
    return jnp.abs(context.one_shot - context.exact)


@_measure("nats")
def one_shot_gap(context: Context) -> Found:
    """one-evaluation gap: mean |-U - ODE log-density| at the data end."""
    if context.is_one_shot:
        raise NotApplicable("likelihoods are those of one evaluation")
    return jnp.abs(context.one_shot - context.log_densities)


@_measure("nats", needs="truth")
def score_error(context: Context) -> Found:
    """score error: Girsanov bound on KL."""
    context.require_score()
    truth = context.require_noisable()
    return _score.girsanov_bound(context.game, context.trained, truth, key=context.key)


@_measure("rms")
def hjb_residual(context: Context) -> Found:
    """HJB residual: per unit of log noise ratio, over all levels."""
    potential = context.require_potential()
    context.require_noising()
    return _equation.hjb_error(context.game, potential, context.fresh, key=context.key, n=2048)


@_measure(_U)
def energy_distance(context: Context) -> Found:
    """energy distance: samples to data."""
    return _discrepancy.energy_distance(context.generated, context.fresh)


@_measure("")
def mmd(context: Context) -> Found:
    """MMD: maximum mean discrepancy, samples to data."""
    width = _discrepancy.median_distance(np.asarray(context.fresh))
    bandwidths = tuple(width * factor for factor in (0.25, 0.5, 1.0, 2.0))
    return _discrepancy.mmd2(context.generated, context.fresh, bandwidths=bandwidths)


@_measure(_U)
def sliced_w2(context: Context) -> Found:
    """sliced W2: samples to data."""
    return sliced_wasserstein2(context.generated, context.fresh, key=context.key)


@_measure(_U, needs="truth")
def w2(context: Context) -> Found:
    """W2: exact assignment, samples to data."""
    context.require_truth()
    return wasserstein2(*_as_many(context, _ASSIGNED))


@_measure("", needs="held-out")
def c2st(context: Context) -> Found:
    """C2ST accuracy: a classifier; 0.5 is indistinguishable."""
    return _classifier.c2st(*_as_many(context))


def _as_many(context: Context, *most: int) -> tuple[Batch, Batch]:
    """Samples of the model and as many of the data."""
    count = min(len(context.generated), len(context.fresh), *most)
    return context.generated[:count], context.fresh[:count]


@_measure("", ideal=1.0)
def memorisation(context: Context) -> Found:
    """memorisation ratio: distance to the nearest training sample, over that of fresh data: 1 best,
    copies less.
    """
    if len(context.samples.train) > _MEMORABLE:
        raise NotApplicable("the training samples are too many to be memorised")
    return _memorisation.memorisation_ratio(context.generated, context.samples.train, context.fresh)


@_measure(_U, needs="flow")
def transport_cost(context: Context) -> Found:
    """transport cost: what the control costs, E int L dt."""
    context.require_flow()
    return _along(TransportCost(_FINE), context)


@_measure(_U, needs="flow")
def path_residual(context: Context) -> Found:
    """HJB residual along paths: E int |R| dt where particles go."""
    context.require_flow()
    context.require_potential()
    return _along(PathHJB(paths=_FINE), context)


@_measure(_U, needs="flow")
def inverse_error(context: Context) -> Found:
    """inverse error: points carried to the reference and back."""
    context.require_flow()
    with arriving():
        return _mean(carried_back(context.game, context.trained, context.arrived[:_INVERTED]))


@_measure("", needs="energy", ideal=math.inf)
def effective_samples(context: Context) -> Found:
    """effective samples: the part that importance weights leave."""
    return effective_fraction(context.weights)


@_measure("nats", needs="energy", ideal=math.inf)
def normaliser(context: Context) -> Found:
    """log Z: of the energy, by importance weights; from below on average."""
    return log_normaliser(context.weights)


# The error is that of log Z: of a value within two of them, zero itself cannot be told.
@_measure("nats", needs="energy")
def normaliser_error(context: Context) -> Found:
    """error of log Z: by importance weights, exact log Z known."""
    context.require_truth()
    found = log_normaliser(context.weights)
    return found._replace(value=abs(float(found.value)))


def _along(term: AbstractObjective, context: Context) -> Estimate:
    """The mean of a term over the particles' paths."""
    points = context.fresh
    if context.game.data_at != "start":
        assert context.game.initial is not None
        points = context.game.initial.sample(context.settings.samples, key=context.key)
    return _mean(_each(term, context.game, context.trained, points))


@eqx.filter_jit
def _each(term: AbstractObjective, game: MFG, model: AbstractModel, points: Batch) -> Array:
    key = jax.random.key(0)
    return jax.lax.map(lambda x: term(game, model, x[None], key=key), points, batch_size=256)


def _mean(values: Float[Array, "n"]) -> Estimate:
    return mean_number(np.asarray(values, np.float64))
