"""Specifications of the flow recipes: a game, a model and terms for each name.

Weights are those of standard units: one hundred times the likelihood beside the cost of transport,
as OT-Flow has it in the plane, and five times the residual of its equation.
"""

from typing import NamedTuple

from mfgen.lab import spec, spec_flow
from mfgen.lab.catalogue import ENERGIES
from mfgen.lab.spec_particles import Discounted, Movement, Proximal

_LIKELIHOOD, _RESIDUAL = 100.0, 5.0
_KINETIC = Proximal | Movement | Discounted  # |v|^2 / 2 is the cost of their control
_FRESH = spec.Paths(starts="initial")


class _Flow(NamedTuple):
    game: spec.Game
    model: spec.Model
    objective: tuple[spec.Objective, ...]
    rate: float
    steps: int = 3000


def _potential(cost: spec_flow.FlowLagrangian, *, residual: float = _RESIDUAL) -> _Flow:
    terms: tuple[spec.Objective, ...] = (
        spec.PathLikelihood(weight=_LIKELIHOOD),
        spec.TransportCost(),
    )
    if residual:
        terms = (*terms, spec.PathHJB(weight=residual))
    game = spec.FlowGame(lagrangian=cost, weight=_LIKELIHOOD)
    return _Flow(game, spec.OTFlowModel(), terms, 2e-2, 1500)


def _matched(term: spec.Objective) -> _Flow:
    return _Flow(spec.FlowGame(prescribed=True), spec.ControlModel(), (term,), 2e-3, 5000)


_FLOWS: dict[str, _Flow] = {
    "cnf": _Flow(
        spec.FlowGame(lagrangian=spec.NoCost()),
        spec.ControlModel(),
        (spec.PathLikelihood(),),
        5e-3,
        1500,
    ),
    "ot-flow": _potential(spec.Kinetic()),
    "potential-flow": _potential(spec.Kinetic(), residual=0.0),
    "rnode": _Flow(
        spec.FlowGame(weight=_LIKELIHOOD),
        spec.ControlModel(),
        (spec.PathLikelihood(weight=_LIKELIHOOD), spec.TransportCost(), spec.JacobianPenalty()),
        5e-3,
        1500,
    ),
    "wr-flow": _potential(spec.Power(exponent=1.5)),
    "relativistic-flow": _potential(spec.Relativistic(speed=4.0)),
    "anisotropic-flow": _potential(spec.Anisotropic()),
    "obstacle-flow": _potential(spec.Obstacle()),
    "flow-matching": _matched(spec.FlowMatching()),
    "ot-flow-matching": _matched(spec.FlowMatching(coupling=spec.OptimalPairs())),
    "stochastic-interpolant": _matched(spec.Interpolant()),
    "action-matching": _Flow(
        spec.FlowGame(prescribed=True), spec.OTFlowModel(), (spec.ActionMatching(),), 1e-2, 5000
    ),
    "boltzmann": _Flow(
        spec.EnergyGame(weight=_LIKELIHOOD, spread=1.5),
        spec.OTFlowModel(),
        (
            spec.ReverseKL(weight=_LIKELIHOOD, paths=_FRESH),
            spec.TransportCost(paths=_FRESH),
            spec.PathHJB(weight=_RESIDUAL, paths=_FRESH),
        ),
        5e-3,
        1500,
    ),
}


def flow_experiment(name: str, data: spec.Data) -> spec.Experiment | None:
    """The flow recipe of that name on some data; `None` if there is none."""
    flow = _FLOWS.get(name)
    if flow is None:
        return None
    game = flow.game
    if isinstance(game, spec.EnergyGame) and data.name in ENERGIES:
        # Their coordinates are those in which a normal law near them is standard.
        game = spec.replace(game, spread=1.0)
    return spec.Experiment(
        name=name,
        data=data,
        game=game,
        model=flow.model,
        objective=flow.objective,
        training=spec.Training(steps=flow.steps, learning_rate=flow.rate),
        evaluation=spec.Evaluation(sampler=spec.ProbabilityFlow()),
    )


def resolve_term(term: spec.Objective, model: spec.Model, game: spec.Game, dim: int):
    """The term with the divergence along its paths chosen, where that was left open.

    It is exact where a potential knows its Laplacian and the control is proportional to its
    gradient, and otherwise up to 8 dimensions; beyond, one frozen probe for each path.
    """
    paths = getattr(term, "paths", None)
    if not isinstance(paths, spec.Paths) or paths.divergence is not None:
        return term
    cost = getattr(game, "lagrangian", None)
    kinetic = isinstance(cost, (spec.Kinetic, spec.Obstacle)) or isinstance(game, _KINETIC)
    closed = isinstance(model, spec.OTFlowModel) and kinetic
    exact = closed or dim <= 8
    divergence = spec.ExactDivergence() if exact else spec.HutchinsonDivergence(probes=1)
    return spec.replace(term, paths=spec.replace(paths, divergence=divergence))
