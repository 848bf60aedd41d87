"""From a document to what is run: data, game, model, objective and trainer.

What a document leaves out is filled in on the way: first what the data are, then, once the game is
known, what depends on both. Without an objective it is the first way of training that fits the game
(`mfgen.planning`).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mfgen._types import Batch, Key
from mfgen.data._scaling import Standardise
from mfgen.densities._base import AbstractEvaluable
from mfgen.densities._empirical import Empirical
from mfgen.densities._gaussian import isotropic
from mfgen.games._game import MFG
from mfgen.lab import _rules
from mfgen.lab._document import Given, build, call
from mfgen.lab._imports import Imports
from mfgen.lab._names import lookup
from mfgen.lab._spec import FORMAT, RUN, Evaluation, Experiment, placed
from mfgen.losses._objective import AbstractObjective, Combination
from mfgen.models._base import AbstractModel, AbstractNormalised
from mfgen.planning._planner import plan, preferred
from mfgen.planning._ways import Way
from mfgen.trainers import _selection
from mfgen.trainers._gradient import check_objective
from mfgen.trainers._history import Progress
from mfgen.trainers._trainer import AbstractTrainer, Problem
from mfgen.zoo._catalogue import ENERGIES
from mfgen.zoo._samples import Samples, prepare

KEYS = ("data", "model", "training", "evaluation")
# Why names of documents may stand for nothing.
_UNSAMPLED = (
    "but the data are an energy, without samples, expected data that can be sampled: take another "
    "data set, or the recipe boltzmann."
)
_UNNAMED = (
    "but the data `energy` have none of their own, expected one in `dim` dimensions: name a "
    'density in its place, such as { type = "my_module:bowl" }.'
)
_UNKNOWN = (
    "but the law of these data is not known, expected an energy that can be evaluated: see the "
    "data of kind toy and energy in `mfgen list`, such as double-well."
)


class Watcher(NamedTuple):
    """What is told of a run while it goes: each record, and each stage as it begins."""

    record: Callable[[Progress], None] = lambda progress: None
    stage: Callable[[str], None] = lambda name: None


class Case(NamedTuple):
    """The objects of an experiment.

    Attributes:
        experiment: the document, filled in.
        samples: the data.
        game: the game.
        model: untrained, or trained after a run; points `[n, dim]` where particles are moved.
        evaluation: how it is judged.
        problem: what is trained on.
        trainer: for an objective, in place of its own.
        objective: the weighted terms, if there are any.
        choice: the weights that one of them has to choose from.
    """

    experiment: Experiment
    samples: Samples
    game: MFG
    model: Any
    evaluation: Evaluation
    problem: Problem
    trainer: Callable[[Combination | None], AbstractTrainer]
    objective: Combination | None
    choice: _selection.Choice | None

    @property
    def moved(self) -> bool:
        """Whether particles were moved, which have no control."""
        return not isinstance(self.model, AbstractModel)


def keys(seed: int) -> dict[str, Key]:
    """The random keys of a run: of the toy data, weights, training, and evaluation."""
    return dict(zip(KEYS, jax.random.split(jax.random.key(seed), len(KEYS)), strict=True))


def declared(experiment: Experiment, imports: Imports) -> tuple[Experiment, Samples, MFG, Given]:
    """The data and the game of a document, what they give, and what was chosen for them.

    Raises:
        ValueError, OSError: one line, if anything in it cannot be made.
    """
    experiment = _rules.fill(experiment, _rules.OF_DATA, _rules.Context(experiment))
    density = _density(experiment, imports)
    samples = prepare(experiment.data, density, key=keys(experiment.seed)["data"])
    game, given = _game(experiment, samples, imports)
    context = _rules.Context(experiment, samples.train.shape[1], game)
    return _rules.fill(experiment, _rules.OF_GAME, context), samples, game, given


def _game(experiment: Experiment, samples: Samples, imports: Imports) -> tuple[MFG, Given]:
    """The game of a document on some samples, and what both give to its other parts."""
    if experiment.format < FORMAT:
        raise ValueError(
            "`game.type` got a specification of format 1, which mfgen 0.1.0 wrote and reads, "
            "expected the names of classes: begin with `mfgen show NAME > my.toml`."
        )
    key = keys(experiment.seed)["model"]
    given = _given(samples, imports, jax.random.fold_in(key, 1))
    game = build(experiment.filled.get("game", {}), MFG, "game", given)
    return game, given._replace(arguments={**given.arguments, "game": game}, key=key)


def _density(experiment: Experiment, imports: Imports) -> AbstractEvaluable | None:
    """The density that the data are drawn of, where one is named."""
    data = experiment.data
    if data.density is None:
        return None
    given = Given(imports=imports, arguments={"dim": data.dim})
    return build(data.density, AbstractEvaluable, "data.density", given)


def _given(samples: Samples, imports: Imports, key: Key) -> Given:
    """What data give to the objects of a document."""
    points = jnp.asarray(samples.train)
    dim = points.shape[1]
    names: dict[str, tuple[Any, ...] | str] = {
        "data": (samples.target, points),
        "samples": (Empirical(points), points),
        "reference": (isotropic(jnp.zeros(dim), 1.0),),
        "energy": _UNKNOWN if samples.energy is None else (samples.energy,),
    }
    arguments: dict[str, Any] = {"data": points, "dim": dim}
    if samples.is_energy:
        del arguments["data"]
        names["data"] = names["samples"] = _UNSAMPLED
        names["energy"] = _UNNAMED if samples.energy is None else (samples.energy,)
    return Given(names, arguments, key, imports)


def stand_in(
    experiment: Experiment, imports: Imports, dim: int, count: int
) -> tuple[MFG, Batch | None]:
    """The game of a document for a law that stands for its data, and points of it, if it has any.

    Raises:
        ValueError: one line, if it cannot be made.
    """
    law, units = isotropic(jnp.zeros(dim), 1.0), Standardise(np.zeros(dim), np.ones(dim))
    points = np.asarray(law.sample(count, key=jax.random.key(0)))
    energetic = experiment.data.name in ENERGIES
    none = points[:0]
    samples = Samples(points, none, none, units, (), law, law, law, law, energetic)
    return _game(experiment, samples, imports)[0], None if energetic else jnp.asarray(points)


def assemble(experiment: Experiment, imports: Imports | None = None) -> Case:
    """The objects of an experiment, what it leaves open filled in.

    Raises:
        ValueError, TypeError, OSError: one line, if anything in it cannot be made.
    """
    experiment, samples, game, given = declared(experiment, imports or Imports())
    with placed(experiment, "objective" if experiment.terms else "game"):
        return _assembled(experiment, samples, game, given)


def _assembled(experiment: Experiment, samples: Samples, game: MFG, given: Given) -> Case:
    filled = experiment.filled
    model = _model(filled["model"], given) if "model" in filled else None
    objective = _objective(experiment, given)
    moved, around = filled.get("training", {}).get("type") == "Particles", None
    if not moved and (objective is None or model is None):
        points = None if samples.is_energy else given.arguments["data"]
        way = preferred(game, points) or plan(game, points).way(None)  # which says what lacks
        model = way.model(game, keys(experiment.seed)["model"]) if model is None else model
        if objective is None:
            objective, around = 1.0 * way.objective(game), way.around
            experiment = _planned(experiment, way)
    problem = _problem(experiment, samples, game, moved)
    evaluation = call(Evaluation, experiment.filled.get("evaluation", {}), "evaluation", given)
    trainer = _trainer(experiment, given, model, around)
    choice = _choice(experiment, objective, problem)
    trainer(objective).prepared(problem, experiment.training.steps, key=jax.random.key(0))
    if choice is not None and objective is not None:
        for tried in _selection.candidates(objective, choice):
            check_objective(problem, tried)
    known = _rules.canonical(experiment, given.imports)
    return Case(known, samples, game, model, evaluation, problem, trainer, objective, choice)


def _planned(experiment: Experiment, way: Way) -> Experiment:
    """The experiment with the steps and the rate of a way, where it does not say its own."""
    usual = {"steps": way.steps, "learning_rate": way.rate}
    rules = [_rules.Rule(f"training.{n}", lambda _, v=v: v) for n, v in usual.items()]
    return _rules.fill(experiment, rules, _rules.Context(experiment))


def _trainer(
    experiment: Experiment,
    given: Given,
    model: AbstractModel | None,
    around: Callable[[Any], AbstractTrainer] | None = None,
) -> Callable[[Combination | None], AbstractTrainer]:
    """The trainer of [training] for an objective; of a plan with what the way puts around it."""
    table = experiment.filled.get("training", {})
    settings = {name: value for name, value in table.items() if name not in (*RUN, "type")}
    maker = lookup(table.get("type", "Gradient"), AbstractTrainer, "training", given.imports)
    key = jax.random.fold_in(keys(experiment.seed)["training"], 1)
    known = {**given.arguments, "steps": experiment.training.steps, "model": model}

    def made(objective: Combination | None) -> AbstractTrainer:
        own = given._replace(arguments={**known, "objective": objective}, key=key)
        trainer = call(maker, settings, "training", own)
        return trainer if around is None or "type" in table else around(trainer)

    return made


def _problem(experiment: Experiment, samples: Samples, game: MFG, moved: bool) -> Problem:
    """The game, the data where there are any, and others to validate by."""
    held_out = samples.validation if experiment.training.early_stopping else samples.validation[:0]
    return Problem(
        game,
        None if samples.is_energy or moved else jnp.asarray(samples.train),
        jnp.asarray(held_out) if len(held_out) > 1 else None,
    )


def _model(table: dict[str, Any], given: Given) -> AbstractModel:
    model = build(table, AbstractModel, "model", given)
    # An estimate that is not trained is kept in the form that is cheapest to evaluate.
    plain = table.get("type") == "proximal_kernel" and isinstance(model, AbstractNormalised)
    return model.untrained() if plain else model


def _objective(experiment: Experiment, given: Given) -> Combination | None:
    """The weighted sum of the terms; a weight to be chosen is the first to choose from."""
    objective = None
    for index, term in enumerate(experiment.terms):
        path = f"objective[{index}]"
        if "select" in term and "weight" in experiment.document["objective"][index]:
            raise ValueError(
                f"`{path}` got `weight` and `select`, expected one of them: remove `weight` to "
                "have it chosen by validation."
            )
        rest = {name: value for name, value in term.items() if name != "select"}
        if "select" in term:
            rest["weight"] = term["select"][0] if term["select"] else 0.0
        weight = rest.get("weight")
        if isinstance(weight, (int, float)) and weight < 0:
            raise ValueError(
                f"`{path}.weight` got {weight}, expected a number >= 0: a loss is made small."
            )
        made = 1.0 * build(rest, AbstractObjective, path, given)
        objective = made if objective is None else objective + made
    return objective


def _choice(
    experiment: Experiment, objective: Combination | None, problem: Problem
) -> _selection.Choice | None:
    places = [index for index, term in enumerate(experiment.terms) if "select" in term]
    if not places or objective is None:
        return None
    if len(places) > 1:
        raise ValueError(
            f"`objective` got `select` in {len(places)} terms, expected it in one: give the others "
            "a `weight`."
        )
    if problem.held_out is None:
        raise ValueError(
            "`objective` got `select` without validation data or with early_stopping = false, "
            "expected at least 2 held-out samples to choose a weight by: hold out more of the "
            "data, or give a `weight`."
        )
    name = objective.names[places[0]]
    return _selection.choice(objective, {name: experiment.terms[places[0]]["select"]})
