"""From a specification to objects: the one place where names stand for code.

    part of the specification  ->  game, model, objective

Each kind of part has one line in a table. To make a new component known by name, add its struct to
`mfgen.lab.spec` and its line here; a component of one's own needs neither, it is named by import
path (`mfgen.lab.custom`).
"""

from collections.abc import Callable
from typing import Any, get_args

import equinox as eqx
import jax
import jax.numpy as jnp

from mfgen._types import Key
from mfgen.density.base import AbstractDensity, AbstractEvaluable
from mfgen.density.gaussian import isotropic
from mfgen.lab import build_particles, spec, spec_particles
from mfgen.lab.build_models import model as model
from mfgen.lab.custom import Imports, expect
from mfgen.problem.cost import (
    Anisotropic,
    Kinetic,
    NoCost,
    Power,
    Relativistic,
    WithPotential,
)
from mfgen.problem.dynamics import AbstractDynamics, Integrator
from mfgen.problem.functional import CrossEntropy
from mfgen.problem.game import MFG
from mfgen.problem.lagrangian import AbstractLagrangian
from mfgen.problem.noising import VE, VP, AbstractNoising, SubVP
from mfgen.simulate import divergence
from mfgen.simulate.base import AbstractSampler
from mfgen.simulate.diffusion import EulerMaruyama, StochasticHeun
from mfgen.simulate.flow import ProbabilityFlow
from mfgen.simulate.integrator import AbstractIntegrator, Adaptive, RungeKutta4
from mfgen.simulate.langevin import PredictorCorrector
from mfgen.simulate.likelihood import AbstractLikelihood, FlowLikelihood, OneShot
from mfgen.trainers.action import ActionMatching
from mfgen.trainers.collocation import NoisedData, SpreadData, UniformTime
from mfgen.trainers.coupling import (
    EntropicTransport,
    ExactTransport,
    Independent,
    OptimalTransport,
)
from mfgen.trainers.dissipation import WeightedDissipation
from mfgen.trainers.flow import JacobianPenalty, PathCost, PathLikelihood, ReverseKL, TransportCost
from mfgen.trainers.interpolation import (
    FlowMatching,
    StochasticInterpolant,
    Straight,
    Trigonometric,
)
from mfgen.trainers.laplacian import Exact, Hutchinson
from mfgen.trainers.likelihood import MaximumLikelihood
from mfgen.trainers.matching import (
    DenoisingScoreMatching,
    ImplicitScoreMatching,
    SlicedScoreMatching,
)
from mfgen.trainers.noised import Levels, LogUniform
from mfgen.trainers.objective import AbstractObjective, Combination
from mfgen.trainers.paths import Paths
from mfgen.trainers.penalty import Absolute, Huber, Squared
from mfgen.trainers.shorthands import HJB, DissipationHJB, PathCostate, PathHJB, ScoreHJB
from mfgen.trainers.weighting import Flat, RatioPower
from mfgen.trainers.windows import Windows
from mfgen.zoo.flows import Hill, Stretched, bridge_game, energy_game, flow_game
from mfgen.zoo.score import score_based


def _paths(integrator: AbstractIntegrator, **rest: Any) -> Paths:
    # Compiled once for a whole training: it may take longer.
    if isinstance(integrator, RungeKutta4):
        integrator = RungeKutta4(integrator.steps, unroll=True)
    return Paths(integrator, **rest)


# Kinds whose fields are the arguments of what they stand for; nested parts are built first.
_COMPONENTS: dict[type, Callable] = {
    spec.Paths: _paths,
    spec.VP: VP,
    spec.SubVP: SubVP,
    spec.VE: VE,
    spec.Integrator: Integrator,
    spec.Kinetic: Kinetic,
    spec.Power: Power,
    spec.Relativistic: Relativistic,
    spec.LogUniform: LogUniform,
    spec.Levels: Levels,
    spec.Squared: Squared,
    spec.Absolute: Absolute,
    spec.Huber: Huber,
    spec.NoisedData: NoisedData,
    spec.SpreadData: SpreadData,
    spec.UniformTime: UniformTime,
    spec.Flat: Flat,
    spec.RatioPower: RatioPower,
    spec.Exact: Exact,
    spec.Hutchinson: Hutchinson,
    spec.Denoising: DenoisingScoreMatching,
    spec.Implicit: ImplicitScoreMatching,
    spec.Sliced: SlicedScoreMatching,
    spec.HJB: HJB,
    spec.ScoreHJB: ScoreHJB,
    spec.Likelihood: MaximumLikelihood,
    spec.RungeKutta: RungeKutta4,
    spec.Adaptive: Adaptive,
    spec.EulerMaruyama: EulerMaruyama,
    spec.StochasticHeun: StochasticHeun,
    spec.ProbabilityFlow: ProbabilityFlow,
    spec.PredictorCorrector: PredictorCorrector,
    spec.NoCost: NoCost,
    spec.Anisotropic: lambda ratio: Anisotropic(Stretched(ratio)),
    spec.Obstacle: lambda height, width: WithPotential(Kinetic(), Hill(height, width)),
    spec.PathLikelihood: PathLikelihood,
    spec.ReverseKL: ReverseKL,
    spec.TransportCost: TransportCost,
    spec.PathHJB: PathHJB,
    spec.JacobianPenalty: JacobianPenalty,
    spec_particles.PathCost: PathCost,
    spec_particles.PathCostate: PathCostate,
    spec_particles.Windows: Windows,
    spec_particles.WeightedDissipation: WeightedDissipation,
    spec_particles.DissipationHJB: DissipationHJB,
    spec.IndependentPairs: Independent,
    spec.OptimalPairs: OptimalTransport,
    spec.ExactPairs: ExactTransport,
    spec.EntropicPairs: EntropicTransport,
    spec.Straight: Straight,
    spec.Trigonometric: Trigonometric,
    spec.FlowMatching: FlowMatching,
    spec.Interpolant: StochasticInterpolant,
    spec.ActionMatching: ActionMatching,
    spec.ExactDivergence: divergence.ExactDivergence,
    spec.HutchinsonDivergence: divergence.Hutchinson,
    spec.FlowLikelihood: FlowLikelihood,
    spec.OneShot: OneShot,
}


def component(part: Any, imports: Imports, *, without: tuple[str, ...] = ()) -> Any:
    """The object a part of a specification stands for; plain values stand for themselves.

    Fields named in `without` are not passed on.
    """
    if isinstance(part, (spec.Import, spec.ImportedObjective)):
        return imports.call(part)
    if not isinstance(part, spec.Part):
        return part
    # What is left open has the default of the class.
    given = {name: getattr(part, name) for name in part.__struct_fields__ if name not in without}
    arguments = {
        name: component(value, imports) for name, value in given.items() if value is not None
    }
    return _COMPONENTS[type(part)](**arguments)


def game(
    part: spec.Game,
    target: AbstractDensity,
    imports: Imports,
    energy: AbstractEvaluable | None = None,
) -> MFG:
    """The game of a specification for a target density, whose log-density is `energy` if known.

    Raises:
        ValueError, TypeError: if a component does not fit its place.
    """
    return _GAMES[type(part)](part, target, imports, energy)


def _control_game(part: spec.ControlGame, target: AbstractDensity, imports: Imports, _) -> MFG:
    dynamics = expect(component(part.dynamics, imports), AbstractDynamics, part.dynamics)
    start = isotropic(jnp.zeros(target.dim), 1.0)
    return MFG(dynamics, _cost(part.lagrangian, imports), CrossEntropy(target), initial=start)


def _score_game(part: spec.ScoreGame, target: AbstractDensity, imports: Imports, _) -> MFG:
    noising = expect(component(part.noising, imports), AbstractNoising, part.noising)
    made = score_based(noising, target)
    if part.lagrangian is None:
        return made
    cost = _cost(part.lagrangian, imports)
    return MFG(made.dynamics, cost, made.terminal, initial=made.initial)


def _flow_game(part: spec.FlowGame, target: AbstractDensity, imports: Imports, _) -> MFG:
    cost = _cost(part.lagrangian, imports)
    if part.prescribed:
        return eqx.tree_at(lambda game: game.lagrangian, bridge_game(target), cost)
    return flow_game(target, cost, weight=part.weight)


def _energy_game(part: spec.EnergyGame, target: AbstractDensity, imports: Imports, energy) -> MFG:
    goal = _energy(part, target, imports, energy)
    return energy_game(
        goal, _cost(part.lagrangian, imports), weight=part.weight, spread=part.spread
    )


def _by_density(part: spec_particles.ByDensity, target, imports: Imports, energy) -> MFG:
    return build_particles.by_density(part, _energy(part, target, imports, energy))


def _discounted(part: spec_particles.Discounted, target, imports: Imports, energy) -> MFG:
    return build_particles.discounted(part, _energy(part, target, imports, energy))


def _energy(
    part: spec.EnergyGame | spec_particles.ByDensity | spec_particles.Discounted,
    target: AbstractDensity,
    imports: Imports,
    energy: AbstractEvaluable | None,
) -> AbstractEvaluable:
    """The density that a game aims at: the user's own, or what is known of the data."""
    if part.energy is not None:
        own: AbstractEvaluable = expect(
            component(part.energy, imports), AbstractEvaluable, part.energy
        )
        if own.dim != target.dim:
            raise ValueError(
                f"`{part.energy.path}` gave an energy in {own.dim} dimensions for data with "
                f"dim = {target.dim}, expected as many: correct one of them."
            )
        return own
    if energy is None:
        kind = part.__struct_config__.tag
        raise ValueError(
            f"`game` of type {kind} got data without a known law, expected an energy that can be "
            "evaluated: see the data of kind toy and energy in `mfgen list`, such as double-well."
        )
    return energy


def _cost(part: Any, imports: Imports) -> AbstractLagrangian:
    return expect(component(part, imports), AbstractLagrangian, part)


_GAMES: dict[type, Callable[..., MFG]] = {
    spec.ScoreGame: _score_game,
    spec.ControlGame: _control_game,
    spec.FlowGame: _flow_game,
    spec.EnergyGame: _energy_game,
    **dict.fromkeys(get_args(spec_particles.ByDensity), _by_density),
    spec_particles.Discrepancy: build_particles.discrepancy,
    spec_particles.GenerativeParticles: build_particles.lipschitz,
    spec_particles.Proximal: build_particles.proximal,
    spec_particles.Movement: build_particles.movement,
    spec_particles.Discounted: _discounted,
}


def objective(parts: tuple[spec.Objective, ...], imports: Imports) -> Combination:
    """The weighted sum of the objectives; a weight to be chosen is the first to choose from."""
    terms = []
    for part in parts:
        term = component(part, imports, without=("weight", "select"))
        weight = part.weight
        if isinstance(part, (spec.HJB, spec.ScoreHJB)) and part.select is not None:
            weight = part.select[0]
        if weight is None:
            raise ValueError(
                f"`objective` got a term `{type(part).__name__}` without a weight, expected a "
                "number: pass the specification through `resolve`."
            )
        terms.append((weight, expect(term, AbstractObjective, part)))
    return Combination(tuple(terms))


def selection(
    parts: tuple[spec.Objective, ...], objective: Combination
) -> dict[str, tuple[float, ...]] | None:
    """What `fit` is to choose from, by the name of the term; `None` if all weights are given."""
    for term in spec.selecting(parts):
        if term.select is not None:
            return {objective.names[parts.index(term)]: term.select}
    return None


def sampler(part: spec.Sampler) -> AbstractSampler:
    """The sampler of a specification."""
    return component(part, Imports())


def likelihood(part: spec.FlowLikelihood | spec.OneShot) -> AbstractLikelihood:
    """The likelihood of a specification."""
    return component(part, Imports())


def keys(seed: int) -> dict[str, Key]:
    """The random keys of a run: of the toy data, weights, training, and evaluation."""
    names = ("data", "model", "training", "evaluation")
    return dict(zip(names, jax.random.split(jax.random.key(seed), len(names)), strict=True))
