"""Numbers that are chosen for the data: one table of rules on documents.

A rule fills in one field where its author left it out:

    scale of the Fourier features   1.5 (2 / d)^0.7       points of unit variance spread as sqrt(d)
    inner product in a potential    from d = 8 on         it fits better than one output there
    learning rate                   8e-3 for a potential, 5e-3 for a score network; from d = 8 on
                                    3e-3, of a potential of toys with plenty of samples from d = 16
                                    on; 1e-3 to correct an estimate
    weight of an HJB term           0.3 min(1, 2 / d)     its square grows like the Laplacian's;
                                    three times that up to 1,000 samples, ten times up to 200;
                                    ten times to correct an estimate, which solves the equation
                                    itself, up to 1,000 samples thirty times; none if it is chosen
                                    by validation
    Laplacian of an HJB term        exact up to d = 16, then two Hutchinson probes
    points of an HJB term           noised data; spread by extra noise on real data and up to 5,000
                                    samples, which leave gaps; uniform times if there is no noising
    covariance of a kernel model    full up to d = 10, then diagonal
    early stopping                  on real data, where samples are few, and if a weight is chosen;
                                    of a kernel model up to 5,000 samples of any data
    validation part of a toy        a tenth with early stopping, else none
    divergence in likelihoods       exact up to d = 128, then eight Hutchinson probes
    divergence in training flows    exact in closed form, else up to d = 8, then one frozen probe
    sampler of a flow               its own equation, backward
    deviation of a first density    1.5; 1 where the energy is near N(0, I)

They come from studies in 2, 8 and 20 dimensions and on real data, docs/results/hjb.md and
docs/results/hjb-tuning.md.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from mfgen.derive._score_based import is_score_based
from mfgen.games._game import MFG
from mfgen.lab._imports import Imports
from mfgen.lab._minimal import minimal, minimal_call
from mfgen.lab._names import makes, named, public, signature
from mfgen.lab._paths import at
from mfgen.lab._spec import RUN, Data, Evaluation, Experiment, Training
from mfgen.losses._objective import AbstractObjective
from mfgen.models._base import AbstractModel
from mfgen.trainers._trainer import AbstractTrainer
from mfgen.zoo._catalogue import DATA, ENERGIES, FILES, TOYS

_FEW = 1000  # samples of a toy for a model of few samples, whose work grows with their square
_SCARCE = 5000  # up to so many samples data are few
_WEIGHED = ("HJB", "ScoreHJB")
_NETWORKS = ("score_potential", "score_field")


class Context(NamedTuple):
    """What rules look at: the document, and of what is made of it the data and the game.

    Attributes:
        experiment: the document.
        dim: of the data.
        game: the game; absent while the data are chosen.
        table: the table that a field is filled into.
    """

    experiment: Experiment
    dim: int = 0
    game: MFG | None = None
    table: Mapping[str, Any] = MappingProxyType({})

    def kind(self, section: str) -> str:
        """The type of a section."""
        return _type(at(self.experiment.filled, section) or {})

    @property
    def few(self) -> int:
        """The training samples, as far as they are known to be few."""
        data = self.experiment.data
        known = [n for n in (data.samples, DATA[data.name].rows) if n is not None]
        return min(known) if known else _SCARCE + 1

    @property
    def toy(self) -> bool:
        return self.experiment.data.name in TOYS

    @property
    def corrects(self) -> bool:
        """Whether the model corrects an estimate of the data."""
        return at(self.experiment.document, "model.reference") is not None

    @property
    def validated(self) -> bool:
        """Whether the training is validated: on real data, for a choice, for few kernels."""
        held_out = self.experiment.data.name not in (*TOYS, *ENERGIES)
        selects = any("select" in term for term in self.experiment.terms)
        collapses = self.kind("model") == "kernel_potential" and self.few <= _SCARCE
        return held_out or selects or collapses

    @property
    def scores(self) -> bool:
        return self.game is not None and is_score_based(self.game, named=True)


class Rule(NamedTuple):
    """What is filled in where a field is left out.

    Attributes:
        where: the path of the field; `[*]` stands for every term.
        what: the value for a context; `None` to leave the default.
        types: of the table that the field is in; any if none are said.
    """

    where: str
    what: Callable[[Context], Any]
    types: tuple[str, ...] = ()


def _rate(context: Context) -> float | None:
    kind = context.kind("model")
    if kind == "":
        return None
    if context.corrects:
        return 1e-3
    scarce = context.few <= _SCARCE or not context.toy
    if context.dim >= (8 if scarce or kind != "score_potential" else 16):
        return 3e-3
    return 8e-3 if kind == "score_potential" else None


def _weight(context: Context) -> float | None:
    if "select" in context.table:
        return None
    few = context.few
    if context.corrects:
        factor = 30.0 if few <= 1000 else 10.0
    else:
        factor = 10.0 if few <= 200 else 3.0 if few <= 1000 else 1.0
    return round(0.3 * factor * min(1.0, 2 / context.dim), 5)


def _laplacian(context: Context) -> Any:
    squared = _type(context.table.get("penalty", "Squared")) == "Squared"
    return {"type": "Hutchinson"} if context.dim > 16 and squared else None


def _collocation(context: Context) -> Any:
    if not (context.scores or context.kind("game") == "score_based"):
        return {"type": "UniformTime"}
    spread = context.few <= _SCARCE or not context.toy
    return {"type": "SpreadData"} if spread else None


def _followed(context: Context) -> Any:
    """The divergence along paths: exact where a potential knows its Laplacian, or in few axes."""
    assert context.game is not None
    known = "ot_flow" in context.kind("model") and context.game.lagrangian.mobility(0.0) is not None
    exact = known or context.dim <= 8
    follows = "paths" in _fields(context.table.get("type", ""))
    return {"type": "Hutchinson", "probes": 1} if follows and not exact else None


def _sampler(context: Context) -> Any:
    assert context.game is not None
    moved = context.kind("training") == "Particles" or not context.game.dynamics.deterministic
    return None if moved else {"type": "ProbabilityFlow", "integrator": {"type": "RungeKutta4"}}


OF_DATA = (
    Rule(
        "data.samples", lambda c: _FEW if c.kind("model") == "proximal_kernel" and c.toy else None
    ),
    Rule("training.early_stopping", lambda c: c.validated or None),
    Rule(
        "data.validation", lambda c: 0.1 if c.toy and c.experiment.training.early_stopping else None
    ),
    Rule(
        "game.initial.deviation",
        lambda c: 1.0 if c.experiment.data.name in ENERGIES else 1.5,
        ("normal",),
    ),
)
OF_GAME = (
    Rule("model.scale", lambda c: round(1.5 * (2 / max(c.dim, 2)) ** 0.7, 3), _NETWORKS),
    Rule("model.inner", lambda c: c.dim >= 8 or None, ("score_potential",)),
    Rule("model.full", lambda c: False if c.dim > 10 else None, ("kernel_potential",)),
    Rule("training.learning_rate", _rate, ("", "Gradient")),
    Rule("objective[*].weight", _weight, _WEIGHED),
    Rule("objective[*].laplacian", _laplacian, ("HJB",)),
    Rule("objective[*].collocation", _collocation, _WEIGHED),
    Rule("objective[*].paths.divergence", _followed),
    Rule(
        "evaluation.likelihood.divergence",
        lambda c: {"type": "Hutchinson"} if c.dim > 128 else None,
        ("", "FlowLikelihood"),
    ),
    Rule("evaluation.sampler", _sampler),
)


def fill(experiment: Experiment, rules: Iterable[Rule], context: Context) -> Experiment:
    """The experiment with what the rules choose, marked as chosen."""
    for rule in rules:
        for path, table in _places(experiment, rule.where):
            kind = _type(at(experiment.filled, path.rpartition(".")[0]) or {})
            if at(experiment.filled, path) is not None or kind not in (rule.types or (kind,)):
                continue
            value = rule.what(context._replace(experiment=experiment, table=table))
            if value is not None:
                chosen = {**experiment.chosen, path: value}
                experiment = Experiment({**experiment.document, "chosen": chosen})
    return experiment


def _places(experiment: Experiment, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if "[*]" not in where:
        yield where, {}
        return
    for index, term in enumerate(experiment.terms):
        yield where.replace("[*]", f"[{index}]"), term


def _type(part: Any) -> str:
    """The type of a table, or the name that stands for one."""
    return part.get("type", "") if type(part) is dict else str(part)


def _fields(name: str) -> tuple[str, ...]:
    """The fields of a loss of mfgen; what is none is refused where it is made."""
    found = [thing for thing in named(name) if makes(thing, AbstractObjective)]
    return tuple(signature(found[0]).parameters) if found else ()


def dimension(data: Data) -> int | None:
    """The dimension of a data set as far as it is known without reading a file."""
    if data.dim is not None:
        return data.dim
    return None if data.name in FILES and data.name != "mnist" else DATA[data.name].dim


def canonical(experiment: Experiment, imports: Imports) -> Experiment:
    """The experiment without what is left to defaults: its identity."""
    document = {n: p for n, p in experiment.document.items() if n not in ("summary", "reference")}
    for name, kind in (("data", Data), ("game", MFG), ("evaluation", Evaluation)):
        document[name] = _section(document.get(name, {}), kind, public(kind), imports)
    if "model" in document:
        document["model"] = minimal(document["model"], AbstractModel, imports)
    if "objective" in document:
        document["objective"] = minimal(document["objective"], AbstractObjective, imports)
    training = document.get("training", {})
    own = {n: v for n, v in training.items() if n in RUN}
    others = {"type": "Gradient"} | {n: v for n, v in training.items() if n not in RUN}
    trainer = _section(others, AbstractTrainer, "Gradient", imports)
    named = {"type": trainer.pop("type")} if "type" in trainer else {}
    document["training"] = {**named, **minimal_call(Training, own, imports), **trainer}
    if experiment.chosen:
        document["chosen"] = {"for": document["data"], **experiment.chosen}
    return Experiment({n: p for n, p in document.items() if p not in ({}, [])})


def _section(table: dict[str, Any], kind: Any, usual: str, imports: Imports) -> dict[str, Any]:
    """The minimal form of a table that stands for a call of its usual type where it names none."""
    found = minimal(table, kind, imports)
    return {n: v for n, v in found.items() if (n, v) != ("type", usual)}
