"""The ways of training: what each minimises, what it needs, what it costs and how it is set up.

In the order in which they are preferred: a regression that is exact comes before paths that are
followed, losses of one pass before games against a critic, and all that has the game's own optimum
before what comes near it. To add a way, write its row.

References: B. J. Zhang, M. A. Katsoulakis (2023), arXiv 2304.13534; D. Onken et al. (2021), arXiv
2006.00104 (likelihood); F. Noé et al. (2019), arXiv 1812.01729 (reverse KL); R. Carmona, M.
Lauriere (2022), arXiv 1908.01613 (own cost); A. T. Lin et al. (2021), arXiv 2002.10113 (critics);
Y. Lipman et al. (2023), arXiv 2210.02747 (matching).
"""

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

from mfgen._types import Batch, Key
from mfgen.games._game import MFG
from mfgen.losses._coupling import OptimalTransport
from mfgen.losses._dissipation import WeightedDissipation
from mfgen.losses._flow import PathLikelihood, ReverseKL, TransportCost
from mfgen.losses._game_cost import GameCost
from mfgen.losses._interpolation import FlowMatching
from mfgen.losses._matching import DenoisingScoreMatching
from mfgen.losses._objective import AbstractObjective
from mfgen.losses._own_paths import OwnPaths
from mfgen.losses._penalty import Huber
from mfgen.losses._residual import Residual
from mfgen.losses._shorthands import HJB, PathHJB
from mfgen.losses._simulated import SimulatedScoreMatching
from mfgen.models._base import AbstractModel
from mfgen.models._conjugate import conjugate_potential
from mfgen.models._control import control_field
from mfgen.models._potential import ot_flow_potential
from mfgen.models._precondition import scaling
from mfgen.models._score import score_field, score_potential
from mfgen.planning import _needs as needs
from mfgen.planning._needs import Need
from mfgen.simulate._diffusion import EulerMaruyama
from mfgen.simulate._integrator import AbstractStep, RungeKutta4
from mfgen.trainers._alternating import Alternating, Ascent, adversarial_optimiser
from mfgen.trainers._augmented import Augmented
from mfgen.trainers._gradient import Gradient
from mfgen.trainers._trainer import AbstractTrainer

_WIDE = 8  # dimensions from which a scalar network is better an inner product
_RANK = 100  # of the quadratic form of a value function
_TURNS = 2000  # steps over which the rate decays beside a critic
_RESIDUAL = 0.05  # of the weight of the end, for the HJB residual along the paths


class Way(NamedTuple):
    """A way of training.

    Attributes:
        name: of the way.
        summary: what is minimised, in a sentence.
        cost: what a step costs, in words.
        needs: what a game must have.
        objective: the losses of a game.
        model: a model of a game, untrained.
        rate: the peak of the learning rate.
        steps: of a training, if not said.
        around: what is put around descent on the objective, such as a critic in turn.
    """

    name: str
    summary: str
    cost: str
    needs: tuple[Need, ...]
    objective: Callable[[MFG], AbstractObjective]
    model: Callable[[MFG, Key], AbstractModel]
    rate: float
    steps: int = 2000
    around: Callable[[Gradient], AbstractTrainer] = lambda descent: descent

    def met(self, game: MFG, data: Batch | None) -> tuple[int, int]:
        """The number of its needs that a game meets before the first it does not, and of all."""
        met = list(itertools.takewhile(lambda need: need.met(game, data), self.needs))
        return len(met), len(self.needs)

    def trainer(
        self,
        game: MFG,
        model: AbstractModel | None = None,
        *,
        key: Key,
        learning_rate: float | None = None,
        batch_size: int = 256,
    ) -> AbstractTrainer:
        """The trainer of a game, with a model of one's own or the way's.

        Raises:
            ValueError, TypeError: if the way does not fit the game.
        """
        chosen = self.model(game, key) if model is None else model
        rate = self.rate if learning_rate is None else learning_rate
        descent = Gradient(chosen, self.objective(game), learning_rate=rate, batch_size=batch_size)
        return self.around(descent)


def _score_model(game: MFG, key: Key) -> AbstractModel:
    assert game.initial is not None
    return score_potential(game, key=key, inner=game.initial.dim >= _WIDE)


def _flow_model(game: MFG, key: Key) -> AbstractModel:
    if not needs.HAMILTONIAN.met(game, None):
        return control_field(game, key=key)
    # A quadratic form of low rank is no value function of a linear-quadratic game.
    assert game.initial is not None
    return ot_flow_potential(game, key=key, rank=min(_RANK, game.initial.dim + 1))


def _score_start(game: MFG, key: Key) -> AbstractModel:
    """A value function whose control begins near the score's: others leave the data's scale.

    Without control a reversed noising spreads particles by the inverse of its signal.
    """
    plain = needs.with_score(game)
    started = conjugate_potential(scaling(plain), game.lagrangian.of_points, key=key)
    return _score_model(plain, key) if started is None else started


def _with_costs(game: MFG, fitted: AbstractObjective, *costs: AbstractObjective):
    """The divergence at its weight in the game, the transport cost, and the HJB residual."""
    paid = fitted.pays(game)
    assert paid is not None
    weight = 1 / paid.terminal
    transport, residual = costs
    objective = weight * fitted
    if needs.HAMILTONIAN.met(game, None):
        objective = objective + transport + _RESIDUAL * weight * residual
    return objective


def _likelihood(game: MFG) -> AbstractObjective:
    return _with_costs(game, PathLikelihood(), TransportCost(), PathHJB())


def _reverse(game: MFG) -> AbstractObjective:
    paths = ReverseKL().paths
    return _with_costs(game, ReverseKL(), TransportCost(paths), PathHJB(paths=paths))


def _in_turn(descent: Gradient) -> AbstractTrainer:
    """Descent with little momentum and no average beside critics: their answers move with it."""
    optimiser = adversarial_optimiser(float(descent.learning_rate), _TURNS)
    return Alternating(Ascent(), dataclasses.replace(descent, optimiser=optimiser, average=0.0))


def _discounted_steps(game: MFG) -> AbstractStep | None:
    """Steps short beside 1 / r, without noise; the usual ones with it."""
    if not game.dynamics.deterministic:
        return None
    return RungeKutta4(min(64, max(16, math.ceil(1.25 * game.discount * game.dynamics.horizon))))


_PATHS = "each particle is followed along its path, forward and back"

# By whatever is known of the crowd.
_OWN = (
    Way(
        "own cost",
        "The game's whole cost along its own paths: the planner's optimum.",
        _PATHS,
        (needs.INITIAL, needs.COST, needs.NO_CRITIC, needs.KNOWN),
        lambda game: GameCost(),
        _flow_model,
        2e-2,
    ),
    Way(
        "own cost, smoothed",
        "The game's whole cost along its own paths, log rho by a kernel estimate of the batch.",
        f"{_PATHS}; the kernel adds a bias of the square of its width",
        (needs.INITIAL, needs.COST, needs.NO_CRITIC, needs.KNOWN, needs.DENSITY),
        lambda game: GameCost(density="kernel"),
        _flow_model,
        2e-2,
    ),
    Way(
        "own cost, crowd held still",
        "First variations paid in a crowd that is held still: the equilibrium.",
        _PATHS,
        (needs.INITIAL, needs.COST, needs.NO_CRITIC, needs.KNOWN),
        lambda game: GameCost(crowd="frozen"),
        _flow_model,
        2e-2,
    ),
)


def _from_the_score(way: Way) -> Way:
    """A way of a reversed noising at other costs than the score's: others begin too far away."""
    return way._replace(
        name=f"{way.name}, from the score",
        summary=f"{way.summary} It begins near the score's control.",
        needs=(way.needs[0], needs.REVERSED, *way.needs[1:], needs.HAMILTONIAN),
        model=_score_start,
        rate=2e-3,
        steps=1000,
    )


WAYS = (
    Way(
        "score matching",
        "Denoising score matching, with the HJB residual as its regulariser.",
        "the network at noised data, and the residual at 64 of them",
        (needs.SCORE, needs.SAMPLES),
        lambda game: DenoisingScoreMatching() + 0.3 * HJB(),
        _score_model,
        8e-3,
        3000,
    ),
    Way(
        "simulated score matching",
        "Score matching at the ends of simulated forward paths, whose last step is Gaussian.",
        "a forward path for each point, and the network at two ends of it",
        (needs.SCORE, needs.SAMPLES),
        lambda game: SimulatedScoreMatching(),
        lambda game, key: score_field(game, key=key),
        5e-3,
        4000,
    ),
    Way(
        "likelihood",
        "Maximum likelihood along the flow, its transport cost and its HJB residual.",
        f"{_PATHS}, with its divergence",
        (needs.BACKWARD, needs.SMOOTH, needs.SAMPLES, needs.DIVERGENCE, needs.ALONE),
        _likelihood,
        _flow_model,
        2e-2,
        1000,
    ),
    Way(
        "reverse KL",
        "The KL divergence to the goal along the flow, its transport cost and its HJB residual.",
        f"{_PATHS}, with its divergence; no data are needed",
        (needs.INITIAL, needs.FORWARD, needs.SMOOTH, needs.ENERGY, needs.ALONE),
        _reverse,
        _flow_model,
        5e-3,
    ),
    *map(_from_the_score, _OWN),
    Way(
        "exploring paths",
        "The HJB equation as a martingale, along paths that play any part of the control: no mode "
        "is lost.",
        "each particle is followed along its path; no gradient goes through it",
        (
            needs.INITIAL,
            needs.FORWARD,
            needs.NOISE,
            needs.COST,
            needs.KNOWN,
            needs.UNCOUPLED,
            needs.HAMILTONIAN,
        ),
        lambda game: Residual(
            OwnPaths(EulerMaruyama(32), play=(0.0, 1.0)), "martingale_anytime", Huber(1.0)
        ),
        _flow_model,
        2e-2,
    ),
    Way(
        "critic in turn",
        "The game's own cost, against critics of its end that are trained in turn.",
        f"{_PATHS}, twice more for the critics",
        (needs.INITIAL, needs.CRITIC),
        lambda game: GameCost(),
        _flow_model,
        5e-3,
        around=_in_turn,
    ),
    Way(
        "rising weight",
        "The game's own cost, with a divergence to the prescribed end whose weight rises until the "
        "end is met.",
        _PATHS,
        (needs.INITIAL, needs.PRESCRIBED),
        lambda game: GameCost(),
        _flow_model,
        5e-3,
        around=Augmented,
    ),
    Way(
        "discounted windows",
        "Cost and HJB residual in windows of time, as far ahead as the discount lets one see.",
        "paths of a window of time",
        (needs.INITIAL, needs.SMOOTH, needs.DISCOUNTED, needs.COST, needs.NO_CRITIC),
        lambda game: WeightedDissipation(),
        _flow_model,
        5e-3,
    ),
    Way(
        "own cost, from any time",
        "The game's whole cost along its own paths from any time on: a discount hides late ones.",
        _PATHS,
        (needs.INITIAL, needs.DISCOUNTED, needs.COST, needs.NO_CRITIC, needs.KNOWN),
        lambda game: GameCost(method=_discounted_steps(game), anytime=True),
        _flow_model,
        2e-2,
        1000,
    ),
    *_OWN,
    Way(
        "matching",
        "Regression on straight lines between pairs of optimal transport: comes near the game.",
        "the network at points between data and reference",
        (needs.BACKWARD, needs.SMOOTH, needs.PRESCRIBED, needs.SAMPLES, needs.ALONE),
        lambda game: FlowMatching(coupling=OptimalTransport()),
        lambda game, key: control_field(game, key=key),
        2e-3,
        3000,
    ),
)
