"""A trained model with what is needed to judge it; each part is computed once, if asked for.

What has no meaning for a model or its data is refused by `NotApplicable`, with the reason.
"""

import contextlib
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfgen._types import Batch, Key
from mfgen.densities._base import AbstractEvaluable, AbstractNoisable
from mfgen.derive._score_based import is_score_based
from mfgen.dynamics._noising import AbstractNoising, reversed_noising
from mfgen.lab._case import Case, keys
from mfgen.metrics._importance import log_weights
from mfgen.metrics._likelihood import evaluate
from mfgen.metrics._potential_density import (
    DegenerateWeights,
    PotentialDensity,
    potential_density,
)
from mfgen.models._base import AbstractModel, AbstractPotential
from mfgen.simulate._base import Unfinished
from mfgen.simulate._likelihood import FlowLikelihood, OneShot, log_prob
from mfgen.simulate._sampler import sample
from mfgen.simulate._sequential import SequentialProposal
from mfgen.simulate._weighted import AbstractProposal, FlowProposal

_AXES = 24  # above which the divergence of a flow takes longer than populations do

LogDensities = Float[Array, "n"]


class NotApplicable(Exception):
    """A measure that has no meaning for a model or its data; the message says why."""


def _given(found: Any, otherwise: str) -> Any:
    """What there is; where there is none, the measure is not applicable for that reason."""
    if found is None or found is False:
        raise NotApplicable(otherwise)
    return found


@contextlib.contextmanager
def arriving() -> Iterator[None]:
    """While open, paths that do not arrive make a measure not applicable: the model is kept."""
    try:
        yield
    except Unfinished as error:
        raise NotApplicable(str(error).rstrip(".")) from error


class Context:
    """A trained model with all that is needed to judge it; what measures share is computed once.

    Arguments:
        case: the experiment with its trained model, or its particles.
    """

    def __init__(self, case: Case):
        self.settings = case.evaluation
        self.samples, self.game, self._case = case.samples, case.game, case
        names = ("generated", "points", "fresh", "likelihood", "measure")
        key = keys(case.experiment.seed)["evaluation"]
        self._keys = dict(zip(names, jax.random.split(key, len(names)), strict=True))

    @property
    def key(self) -> Key:
        """The key for measures that are random themselves."""
        return self._keys["measure"]

    @property
    def trained(self) -> AbstractModel:
        """The model."""
        why = "the particles have no control, and so no density along a flow"
        _given(not self._case.moved, why)
        return self._case.model

    @property
    def gives(self) -> set[str]:
        """What measures may need: the truth, held-out data, a flow, a flow to an energy."""
        given = {"nothing"}
        if not self.samples.is_energy:
            given.add("truth" if self.samples.truth is not None else "held-out")
        if self.game.dynamics.deterministic and not self._case.moved:
            given |= {"flow"} if self.energy is None else {"flow", "energy"}
        return given

    @property
    def energy(self) -> AbstractEvaluable | None:
        """The density that the game aims at from a reference, if it can be evaluated."""
        goal = self.game.terminal.goal
        if self.game.data_at == "start":
            return None
        return goal if isinstance(goal, AbstractEvaluable) else None

    @cached_property
    def generated(self) -> Batch:
        """Samples of the model, standard units."""
        _given(self.game.initial, "the game has no first density to start samples from")
        with arriving():
            return draw(self._case, key=self._keys["generated"])

    @cached_property
    def fresh(self) -> Batch:
        """As many fresh samples of the truth, or the test data."""
        if self.samples.truth is not None:
            return self.samples.truth.sample(self.settings.samples, key=self._keys["fresh"])
        return self.test

    @property
    def arrived(self) -> Batch:
        """Points where the data are: fresh ones, or samples of the model if there are none."""
        return self.generated if self.samples.is_energy else self.fresh

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
    def exact(self) -> LogDensities:
        """Log-densities at the points by the law that they are compared with."""
        return evaluate(self.truth.log_density, self.points)

    @cached_property
    def log_densities(self) -> LogDensities:
        """Log-densities at the points by the likelihood of the settings, standard units."""
        self.require_density()
        if self.is_one_shot:
            return self.one_shot
        method = self.settings.likelihood
        key = self._keys["likelihood"]
        with arriving():
            return log_prob(self.game, self.trained, self.points, key=key, method=method)

    @property
    def is_one_shot(self) -> bool:
        """Whether likelihoods are those of one evaluation."""
        return isinstance(self.settings.likelihood, OneShot)

    @cached_property
    def one_shot(self) -> LogDensities:
        """Log-densities at the points by one evaluation of the potential, standard units."""
        self.require_score()
        self.require_potential()
        return log_prob(self.game, self.trained, self.points, method=OneShot())

    @cached_property
    def normalised(self) -> PotentialDensity | ValueError:
        """The density exp(-U) / Z of the potential at the end, or why there is none.

        Z is found once, by as many points as samples are asked for: of the model's flow where its
        divergence is exact and cheap; above, or where its weights degenerate, of populations that
        go down the noise levels.
        """
        self.require_score()
        potential = self.require_potential()
        _given(not self.is_one_shot, "likelihoods are those of one evaluation")
        method = self.settings.likelihood
        few = self.points.shape[1] <= _AXES
        proposals: list[AbstractProposal] = [SequentialProposal()]
        if few and isinstance(method, FlowLikelihood) and method.divergence.exact:
            proposals.insert(0, FlowProposal(method.integrator))
        with arriving():
            return self._normalised(potential, *proposals)

    def _normalised(
        self, potential: AbstractPotential, proposal: AbstractProposal, *others: AbstractProposal
    ) -> PotentialDensity | ValueError:
        n, key = self.settings.samples, self._keys["measure"]
        try:
            return potential_density(self.game, potential, n, key=key, proposal=proposal)
        except DegenerateWeights as refusal:
            return self._normalised(potential, *others) if others else refusal
        except ValueError as refusal:
            return refusal

    @property
    def law(self) -> PotentialDensity:
        """The density exp(-U) / Z of the potential at the end."""
        if isinstance(self.normalised, ValueError):
            raise NotApplicable(str(self.normalised).rstrip("."))
        return self.normalised

    @cached_property
    def weights(self) -> Float[np.ndarray, "n"]:
        """Logarithms of the importance weights of samples for the energy that the game aims at."""
        energy, drawn = self.require_energy(), self.generated
        with arriving():
            return log_weights(energy, log_prob(self.game, self.trained, drawn), drawn)

    @property
    def test(self) -> Batch:
        """The test data."""
        why = "the data are an energy, of which there are no samples"
        _given(not self.samples.is_energy, why)
        _given(self.samples.test.shape[0] >= 2, "no test data were held out")
        return jnp.asarray(self.samples.test)

    def require_truth(self):
        """The exact density of the data, standard units."""
        return _given(self.samples.truth, "the density of the data is not known")

    def require_noisable(self) -> AbstractNoisable:
        """The exact density of the data, if its noised laws are known too."""
        self.require_truth()
        return _given(self.samples.noisable, "the noised density of the data is not known")

    def require_noising(self) -> AbstractNoising:
        """The noising that the game reverses."""
        noising = None if self.game.dynamics.fixed else reversed_noising(self.game.dynamics)
        return _given(noising, "the game has no noising of points alone")

    def require_score(self) -> AbstractNoising:
        """The noising of a game whose control is the score's."""
        _given(is_score_based(self.game, named=True), "the game is not score-based")
        return self.require_noising()

    def require_flow(self) -> None:
        """A game without noise, whose particles are followed."""
        why = "the game has noise: its particles have no paths of their own"
        _given(bool(self.game.dynamics.deterministic), why)

    def require_density(self) -> None:
        """A game whose samples have a density that can be followed along a flow."""
        if not self.game.dynamics.deterministic:
            self.require_score()
        if self.game.data_at == "end":
            _given(self.game.initial, "the game has no first density to compare samples with")

    def require_energy(self) -> AbstractEvaluable:
        """The density that the game aims at from a reference, without data."""
        self.require_flow()
        return _given(self.energy, "the game does not aim at a density that can be evaluated")

    def require_potential(self) -> AbstractPotential:
        """The model as a potential."""
        known = isinstance(self.trained, AbstractPotential)
        return _given(self.trained if known else None, "the model has no value function")


def draw(case: Case, n: int | None = None, *, key: Key) -> Batch:
    """n samples of a model, in standard units, by the sampler of its settings.

    Of particles some are taken, by default as many as the settings ask for and there are.

    Raises:
        ValueError: for more particles than there are.
    """
    settings, model = case.evaluation, case.model
    if not case.moved:
        return sample(case.game, model, n or settings.samples, key=key, method=settings.sampler)
    size = len(model)
    if (n or 0) > size:
        raise ValueError(
            f"`sample` got n = {n} of a run with {size} particles, expected at most as many: ask "
            "for fewer, or run again with a larger `start` in [training]."
        )
    return model[jax.random.permutation(key, size)[: n or min(settings.samples, size)]]
