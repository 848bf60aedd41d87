"""Training objectives form a vector space: `DenoisingScoreMatching() + 0.3 * HJB()`.

An objective maps (game, model, batch) to a scalar. Sums and multiples of objectives are
objectives, so a regularised loss is written as in a paper,

    loss = sum_k weight_k objective_k.

Terms are of two sorts: those that measure the fit to the data, and regularisers, which ask for
something else of the model. A validation counts the former alone (`mfgen.trainers._validation`).

A loss states which parts of the game's cost it pays for (`pays`); a training whose losses are not
those of its game is refused before it begins (`mfgen.losses._coverage`).

All terms of one step receive the same random key: terms that draw noised points do so by the same
rule and therefore share them. Terms that are measured at the same places, noised data or paths of
particles, are computed in one pass (`bundle`), and mean the same.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from mfgen import _check
from mfgen._types import Batch, Key, Scalar
from mfgen.games._game import MFG
from mfgen.losses._payment import NOTHING, Pays
from mfgen.models._base import AbstractModel


class AbstractObjective(eqx.Module):
    """A scalar to be minimised over models.

    To add one, give `__call__(game, model, batch, *, key)`, a mean over the rows of the batch, and
    say in `pays` what it pays for; addition and multiplication by a number come with it.

    Attributes:
        regularises: whether it asks for anything else than fit to the data.
        euclidean: whether it is one of Euclidean space alone, and not of circles and walls.
    """

    regularises: ClassVar[bool] = False
    euclidean: ClassVar[bool] = False
    __array_ufunc__: ClassVar[None] = None  # so that an array times it is refused, not an array

    def __check_init__(self):
        _check.declared(self)

    @abstractmethod
    def __call__(self, game: MFG, model: AbstractModel, batch: Batch, *, key: Key) -> Scalar:
        """The objective on a batch of data of shape `[n, dim]`."""

    @property
    def name(self) -> str:
        """Its name in records."""
        return type(self).__name__

    def pays(self, game: MFG) -> Pays | None:
        """The parts of the game's cost in it, `Pays(lagrangian=1.0)` for E int L; see `Pays`.

        A loss that does not say is taken to pay for the whole game: `None`. A regulariser pays for
        nothing.

        Raises:
            ValueError, TypeError: for a game with a part that the loss contradicts.
        """
        return NOTHING if self.regularises else None

    def check(self, game: MFG) -> None:
        """Raises a `ValueError` for a game that it cannot be evaluated on, before any training."""

    def needs_data(self, game: MFG) -> bool:
        """Whether it looks at the rows of the batch, and not only at how many there are."""
        return True

    def during(self, part: Scalar) -> "AbstractObjective":
        """The objective after this part of the training, from 0 to 1: as a rule the same."""
        return self

    def advice(self, game: MFG) -> str:
        """Advice for errors on values that are infinite or nan; empty if nothing special."""
        return ""

    def bundle(self) -> "AbstractBundle | None":
        """The pass that evaluates it with all terms whose pass is equal, if that saves work."""
        return None

    def __add__(self, other: "AbstractObjective") -> "Combination":
        fix = "add objectives, such as `DenoisingScoreMatching() + 0.3 * HJB()`"
        _check.of_kind("Combination", "a term", other, AbstractObjective, fix)
        return Combination(_parts(self) + _parts(other))

    def __mul__(self, factor: float | int) -> "Combination":
        _check.a_finite_number("Combination", "a weight", factor)
        return Combination(tuple((factor * weight, part) for weight, part in _parts(self)))

    def __rmul__(self, factor: float | int) -> "Combination":
        return self * factor


Terms = Sequence[tuple[float, Any]]  # weights and objectives


class Weighted(NamedTuple):
    """A weighted sum of objectives.

    Attributes:
        total: the sum, to be differentiated.
        terms: its summands, for reports: no derivative passes through them.
    """

    total: Scalar
    terms: tuple[Scalar, ...]


class AbstractBundle(eqx.Module):
    """Any number of objectives of one kind that are computed in one pass.

    Attributes:
        euclidean: as of `AbstractObjective`, for all of them.
    """

    euclidean: ClassVar[bool] = False

    def __check_init__(self):
        _check.declared(self)

    @abstractmethod
    def evaluate(
        self, terms: Terms, game: MFG, model: AbstractModel, batch: Batch, *, key: Key
    ) -> Weighted:
        """The weighted sum of pairs (weight, objective) on a batch, and its terms."""


class Combination(AbstractObjective):
    """A linear combination of objectives.

    Arguments:
        parts: pairs (weight, objective).
    """

    parts: tuple[tuple[float | int, AbstractObjective], ...]

    def __call__(self, game: MFG, model: AbstractModel, batch: Batch, *, key: Key) -> Scalar:
        return self.evaluate(game, model, batch, key=key).total

    def check(self, game: MFG) -> None:
        for _, part in self.parts:
            part.check(game)

    def needs_data(self, game: MFG) -> bool:
        return any(part.needs_data(game) for _, part in self.parts)

    def advice(self, game: MFG) -> str:
        return self.advice_on("", game)

    def advice_on(self, name: str, game: MFG) -> str:
        """The advice on the part of that name, on all parts if it is none."""
        named = zip(self.names, self.parts, strict=True)
        own = {known: part.advice(game) for known, (_, part) in named}
        asked = [own[name]] if name in own else list(own.values())
        return "; ".join(dict.fromkeys(text for text in asked if text))

    def during(self, part: Scalar) -> "Combination":
        return Combination(tuple((weight, term.during(part)) for weight, term in self.parts))

    def evaluate(self, game: MFG, model: AbstractModel, batch: Batch, *, key: Key) -> Weighted:
        """The weighted sum with its terms, in the order of `names`."""
        totals: list[Scalar] = []
        terms: dict[int, Scalar] = {}
        for members, bundle in self._bundles():
            together = [self.parts[index] for index in members]
            found = bundle.evaluate(together, game, model, batch, key=key)
            totals.append(found.total)
            terms |= dict(zip(members, found.terms, strict=True))
        for index, (weight, part) in enumerate(self.parts):
            if index not in terms:
                totals.append(jnp.asarray(weight * part(game, model, batch, key=key)))
                terms[index] = jax.lax.stop_gradient(totals[-1])
        ordered = tuple(terms[index] for index in range(len(self.parts)))
        return Weighted(jnp.sum(jnp.stack(totals)), ordered)

    def _bundles(self) -> list[tuple[list[int], AbstractBundle]]:
        """Terms that are computed in one pass, and the pass."""
        bundles: list[tuple[list[int], AbstractBundle]] = []
        for index, (_, part) in enumerate(self.parts):
            own = part.bundle()
            if own is None:
                continue
            for members, bundle in bundles:
                if eqx.tree_equal(own, bundle) is True:
                    members.append(index)
                    break
            else:
                bundles.append(([index], own))
        return bundles

    @property
    def fitting(self) -> "Combination":
        """The terms that measure fit to the data; all terms if every one is a regulariser."""
        terms = tuple((weight, part) for weight, part in self.parts if not part.regularises)
        return Combination(terms or self.parts)

    @property
    def names(self) -> tuple[str, ...]:
        """One name for each part, numbered where it occurs again."""
        names: list[str] = []
        for _, part in self.parts:
            name = part.name
            earlier = sum(known.split("-")[0] == name for known in names)
            names.append(f"{name}-{earlier + 1}" if earlier else name)
        return tuple(names)


def _parts(objective: AbstractObjective) -> tuple[tuple[float | int, AbstractObjective], ...]:
    if isinstance(objective, Combination):
        return objective.parts
    return ((1.0, objective),)
