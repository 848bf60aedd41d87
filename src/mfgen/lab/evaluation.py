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
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfgen._types import Batch, Key
from mfgen.density.base import AbstractEvaluable, AbstractNoisable
from mfgen.lab import build, spec
from mfgen.lab.catalogue import METRICS, TOYS
from mfgen.lab.samples import Samples
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
from mfgen.models.base import AbstractModel, AbstractPotential
from mfgen.problem.cost import ScoreLagrangian
from mfgen.problem.game import MFG
from mfgen.problem.noising import AbstractNoising, TimeReversal
from mfgen.simulate.likelihood import OneShot, log_prob
from mfgen.simulate.sampler import sample

LogDensities = Float[Array, "n"]

_MEMORABLE = 10_000  # training samples; more than that a network of these sizes cannot keep
# The exact assignment takes a time of order n^3: a second for so many points.
_ASSIGNED = 1000


class NotApplicable(Exception):
    """A measure that has no meaning for a model or its data; the message says why."""


class Case:
    """A trained model with all that is needed to judge it; what measures share is computed once.

    Arguments:
        experiment: the specification, for its settings of the evaluation.
        samples: the data.
        game, trained: the game and the model.
        key: random key of the evaluation.
    """

    def __init__(
        self,
        experiment: spec.Experiment,
        samples: Samples,
        game: MFG,
        trained: AbstractModel,
        *,
        key: Key,
    ):
        self.settings = experiment.evaluation
        self.samples, self.game, self.trained = samples, game, trained
        names = ("generated", "points", "fresh", "likelihood", "measure")
        self._keys = dict(zip(names, jax.random.split(key, len(names)), strict=True))

    @property
    def key(self) -> Key:
        """The key for measures that are random themselves."""
        return self._keys["measure"]

    @cached_property
    def generated(self) -> Batch:
        """Samples of the model, standard units."""
        if self.game.initial is None:
            raise NotApplicable("the game has no first density to start samples from")
        return draw(self.game, self.trained, self.settings, key=self._keys["generated"])

    @cached_property
    def fresh(self) -> Batch:
        """As many fresh samples of the truth, or the test data."""
        if self.samples.truth is not None:
            return self.samples.truth.sample(self.settings.samples, key=self._keys["fresh"])
        return self.test

    @cached_property
    def points(self) -> Batch:
        """Points at which likelihoods are evaluated: of the truth, or of the test data."""
        count = self.settings.points
        if self.samples.truth is not None:
            return self.truth.sample(count, key=self._keys["points"])
        return self.test[:count]

    @cached_property
    def truth(self) -> AbstractEvaluable:
        """The law that log-densities are compared with: of the data, or at the end of the game."""
        if self.settings.against == "data":
            return self.require_truth()
        noising = self.require_noising()
        end = noising.start
        return self.require_noisable().noised(noising.signal(end), noising.noise(end))

    @cached_property
    def log_densities(self) -> LogDensities:
        """Log-densities at the points by the likelihood of the settings, standard units."""
        self.require_score()
        if self.is_one_shot:
            return self.one_shot
        method = build.likelihood(self.settings.likelihood)
        key = self._keys["likelihood"]
        return log_prob(self.game, self.trained, self.points, key=key, method=method)

    @property
    def is_one_shot(self) -> bool:
        """Whether likelihoods are those of one evaluation."""
        return isinstance(self.settings.likelihood, spec.OneShot)

    @cached_property
    def one_shot(self) -> LogDensities:
        """Log-densities at the points by one evaluation of the potential, standard units."""
        self.require_score()
        self.require_potential()
        return log_prob(self.game, self.trained, self.points, method=OneShot())

    @property
    def test(self) -> Batch:
        """The test data."""
        if self.samples.test.shape[0] < 2:
            raise NotApplicable("no test data were held out")
        return jnp.asarray(self.samples.test)

    def require_truth(self):
        """The exact density of the data, standard units."""
        if self.samples.truth is None:
            raise NotApplicable("the density of the data is not known")
        return self.samples.truth

    def require_noisable(self) -> AbstractNoisable:
        """The exact density of the data, if its noised laws are known too."""
        self.require_truth()
        if self.samples.noisable is None:
            raise NotApplicable("the noised density of the data is not known")
        return self.samples.noisable

    def require_noising(self) -> AbstractNoising:
        """The noising that the game reverses."""
        if not isinstance(self.game.dynamics, TimeReversal):
            raise NotApplicable("the game has no noising")
        return self.game.dynamics.noising

    def require_score(self) -> AbstractNoising:
        """The noising of a game whose control is the score's."""
        if not isinstance(self.game.lagrangian, ScoreLagrangian):
            raise NotApplicable("the game is not score-based")
        return self.require_noising()

    def require_potential(self) -> AbstractPotential:
        """The model as a potential."""
        if not isinstance(self.trained, AbstractPotential):
            raise NotApplicable("the model has no value function")
        return self.trained


def draw(
    game: MFG, model: AbstractModel, settings: spec.Evaluation, n: int | None = None, *, key: Key
) -> Batch:
    """n samples of a model, in standard units, by the sampler of the settings."""
    method = build.sampler(settings.sampler)
    return sample(game, model, n or settings.samples, key=key, method=method)


def wanted(experiment: spec.Experiment) -> list[str]:
    """The measures an experiment asks for, in the order of the catalogue.

    If it names none, they are all that its data allow.
    """
    names = experiment.evaluation.metrics
    if names is not None:
        return [name for name in METRICS if name in names]
    other = "held-out" if experiment.data.name in TOYS else "truth"
    return [name for name, info in METRICS.items() if info.needs != other]


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
    return transport.wasserstein2(case.generated[:_ASSIGNED], case.fresh[:_ASSIGNED])


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
}

_AT_POINTS: dict[str, Callable[[Case], LogDensities]] = {
    "kl": lambda case: _exact(case) - case.log_densities,
    "log_likelihood": lambda case: case.log_densities + case.samples.scaling.log_jacobian,
    "one_shot_error": lambda case: jnp.abs(case.one_shot - _exact(case)),
    "one_shot_gap": lambda case: jnp.abs(case.one_shot - case.log_densities),
}
