"""An experiment as a document: what is trained on what, how, and how it is judged.

    name, seed, [data], [game], [model], [[objective]], [training], [evaluation], [chosen]

[game] is the call `MFG(...)`, [model] and the terms of [[objective]] are calls as well, [training]
that of a trainer with the steps of the run. [data] and [evaluation] are the calls of the classes
below. [chosen] holds what `mfgen.lab._rules` filled in for the data, by path: it is told from what
its author wrote, and chosen anew where the data are others.
"""

import contextlib
import copy
import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mfgen._check import between, shortened
from mfgen._near import near
from mfgen.lab import _paths
from mfgen.lab._document import call
from mfgen.lab._paths import put, steps, walk
from mfgen.lab._refusals import field_of
from mfgen.simulate._base import AbstractSampler
from mfgen.simulate._diffusion import StochasticHeun
from mfgen.simulate._likelihood import AbstractLikelihood, FlowLikelihood
from mfgen.zoo._named_data import Data

SECTIONS = ("data", "game", "model", "training", "evaluation", "chosen")
FORMAT = 2  # of run folders; 1 had types of its own, such as `denoising`
_HEADS = ("name", "summary", "reference", "format", "seed", "objective")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_MOST = 10**9  # samples, points or steps


@dataclass(frozen=True)
class Training:
    """What is common to all trainings, in steps; the other fields are those of the trainer.

    `early_stopping`: the best parameters on validation data are kept.
    """

    steps: int = 3000
    every: int = 100
    checkpoint_every: int = 500
    early_stopping: bool = False

    def __post_init__(self):
        between("training", 0, _MOST, steps=self.steps)
        between("training", 1, _MOST, every=self.every, checkpoint_every=self.checkpoint_every)


@dataclass(frozen=True)
class Evaluation:
    """How the trained model is judged, on `samples` of it and at `points` of the data.

    `metrics` names the measures wanted, if absent all and a certificate; a measure of your own is
    `my_module:my_measure`, a function of samples and data. Without `figures` nothing is kept to
    draw from. `against`: log-densities are compared with those of the data, or with those at the
    end of the game, where the data still carry the smallest noise (toys with known noised laws);
    the first includes what that noise blurs, the second is the error of the model.
    """

    samples: int = 2000
    sampler: AbstractSampler = StochasticHeun()  # noqa: RUF009 (they do not change)
    points: int = 2000
    likelihood: AbstractLikelihood = FlowLikelihood()  # noqa: RUF009
    metrics: tuple[str, ...] | None = None
    against: str = "data"
    figures: bool = True

    def __post_init__(self):
        between("evaluation", 10, 10**7, samples=self.samples)
        between("evaluation", 2, 10**7, points=self.points)
        if self.against not in ("data", "end"):
            raise ValueError(
                f"`evaluation` got against = {self.against!r}, expected data or end: correct it."
            )


RUN = tuple(f.name for f in dataclasses.fields(Training))


@dataclass(frozen=True)
class Experiment:
    """A document that is known to be well formed; `seed` fixes all that is drawn."""

    document: dict[str, Any]

    @staticmethod
    def of(document: dict[str, Any]) -> "Experiment":
        """The experiment of a document.

        Raises:
            ValueError: naming the path of what is wrong.
        """
        _paths.check(document)
        _check_parts(document)
        name, seed = document.get("name", "own"), document.get("seed", 0)
        if not (type(name) is str and _NAME.fullmatch(name)):
            raise ValueError(
                f"`name` got {name!r:.80}, expected letters a-z or A-Z, digits, `.`, `_` and `-`, "
                "the first a letter or a digit: correct it."
            )
        if type(seed) is not int or not 0 <= seed < 2**32:
            raise ValueError(
                f"`seed` got {seed!r}, expected a whole number from 0 to 4294967295: correct it."
            )
        terms = document.get("objective", [])
        if type(terms) is not list or not all(type(term) is dict for term in terms):
            raise ValueError("`objective` got no tables, expected some: write `[[objective]]`.")
        if "data" not in document:
            raise ValueError("`data` is missing, expected a table: write `[data]` with a `name`.")
        made = Experiment({"name": name, "seed": seed, **document})
        for part in ("data", "training"):
            getattr(made, part)
        return made

    @property
    def name(self) -> str:
        return self.document["name"]

    @property
    def seed(self) -> int:
        return self.document["seed"]

    @property
    def format(self) -> int:
        """The format of the document; 1 for types as they were before."""
        game = self.document.get("game", {}).get("type", "")
        return 1 if game in _OLD_GAMES else FORMAT

    @property
    def data(self) -> Data:
        """The data."""
        return call(Data, self.filled["data"], "data")

    @property
    def training(self) -> Training:
        """The settings that are common to all trainings."""
        table = self.filled.get("training", {})
        return call(Training, {n: v for n, v in table.items() if n in RUN}, "training")

    @property
    def terms(self) -> list[dict[str, Any]]:
        """The tables of the objective, with what was chosen."""
        return self.filled.get("objective", [])

    @property
    def chosen(self) -> dict[str, Any]:
        """What was filled in for these data, by path; nothing if it was for others."""
        kept = self.document.get("chosen", {})
        if kept.get("for", self.document["data"]) != self.document["data"]:
            return {}
        return {path: value for path, value in kept.items() if path != "for"}

    @property
    def filled(self) -> dict[str, Any]:
        """The document with what was chosen in its place."""
        whole = {name: part for name, part in self.document.items() if name != "chosen"}
        whole = copy.deepcopy(whole)
        for path, value in self.chosen.items():
            put(whole, path, value, over=False)
        return whole

    @property
    def shown(self) -> dict[str, Any]:
        """The document as its author wrote it, what was chosen after it, and for which data."""
        own = {n: v for n, v in self.document.items() if n not in ("summary", "reference")}
        return own | ({"chosen": {"for": own["data"], **self.chosen}} if self.chosen else {})

    @property
    def meaning(self) -> dict[str, Any]:
        """What a run is known by: all but what was kept of it, and who chose a number."""
        whole = {
            n: v for n, v in self.filled.items() if n not in ("summary", "reference", "format")
        }
        whole.get("evaluation", {}).pop("figures", None)
        return whole

    def changed(self, changes: dict[str, Any]) -> "Experiment":
        """The experiment with other values at some paths; what was chosen for the data goes along.

        Raises:
            ValueError: as `of`.
        """
        document = copy.deepcopy(self.document)
        kept = document.get("chosen")
        if kept is not None:
            kept.setdefault("for", copy.deepcopy(document["data"]))
        for path, value in changes.items():
            put(document, path, value)
        return Experiment.of(document)


@contextlib.contextmanager
def placed(experiment: Experiment, otherwise: str) -> Iterator[None]:
    """While open, errors begin with a path: that of the table they speak of, or `otherwise`.

    What is made of a document is used together: a loss looks at the game, a trainer at the data.
    What they refuse then is told in their own names.

    Raises:
        ValueError: in the place of an error without a path; others pass.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        owner = re.match(r"`(\w+)`", str(error))
        if owner is None or owner[1] in (*SECTIONS, "objective", "mfgen"):
            raise
        path = _place(str(error), owner[1], experiment.filled, otherwise)
        raise ValueError(f"`{path}`: {error}") from error


def _place(said: str, owner: str, document: dict[str, Any], otherwise: str) -> str:
    """The path of the table, or of its field, that an error of its owner speaks of."""
    for path, part in walk(document):
        table = {"type": part} if type(part) is str else part
        implied = "MFG" if path == "game" else None
        if type(table) is dict and table.get("type", implied) == owner:
            return field_of(said, path, table)
    path = field_of(said, "training", document.get("training", {}))
    return path if path != "training" else otherwise


def _check_parts(document: dict[str, Any]) -> None:
    """Refuses what is no part of a specification, or no table where one is due."""
    known = (*_HEADS, *SECTIONS)
    for name, value in document.items():
        if name not in known:
            advice = near(name, known, f"expected one of {', '.join(known)}.")
            raise ValueError(f"`{name}` is no part of a specification: {advice}")
        if name in SECTIONS and type(value) is not dict:
            got = shortened(repr(value))
            raise ValueError(f"`{name}` got {got}, expected a table: write `[{name}]`.")
        if name in ("summary", "reference") and type(value) is not str:
            raise ValueError(f"`{name}` got {value!r:.40}, expected text: write it in quotes.")
    for path in document.get("chosen", {}):
        if path != "for" and (steps(path) or [""])[0] not in (*SECTIONS, "objective"):
            raise ValueError(
                f"`chosen.{path}` leads to no field, expected the path of one, such as "
                "model.scale: remove it."
            )


_OLD_GAMES = (
    *("score", "mfg", "flow", "energy", "langevin", "gradient-flow", "svgd", "mmd-flow"),
    *("generative-particles", "w1w2", "jko", "discounted"),
)
