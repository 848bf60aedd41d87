"""Training objectives form a vector space: `DenoisingScoreMatching() + 0.3 * HJB()`.

An objective maps (game, model, batch) to a scalar. Sums and multiples of objectives are
objectives, so a regularised loss is written as in a paper,

    loss = sum_k weight_k objective_k.

All terms of one step receive the same random key: terms that draw noised points do so by the same
rule and therefore share them. Where two terms need the same derivatives of the model at them, one
of the objectives may offer both in one pass (`joined`); sums take the offer, and mean the same.
"""

from abc import abstractmethod
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from mfgen._types import Batch, Key, Scalar
from mfgen.models.base import AbstractModel
from mfgen.problem.game import MFG


class AbstractObjective(eqx.Module):
    """A scalar to be minimised over models.

    To add one, give `__call__(game, model, batch, *, key)`; addition and multiplication by a
    number come with it.
    """

    @abstractmethod
    def __call__(self, game: MFG, model: AbstractModel, batch: Batch, *, key: Key) -> Scalar:
        """The objective on a batch of data of shape `[n, dim]`."""

    def joined(self, other: "AbstractObjective", model: AbstractModel) -> "AbstractPair | None":
        """`other` and this objective in one pass over the model, if that saves work."""
        return None

    def __add__(self, other: "AbstractObjective") -> "Combination":
        return Combination(_parts(self) + _parts(other))

    def __mul__(self, factor: float) -> "Combination":
        return Combination(tuple((factor * weight, part) for weight, part in _parts(self)))

    def __rmul__(self, factor: float) -> "Combination":
        return self * factor


class Weighted(NamedTuple):
    """A weighted sum of objectives.

    Attributes:
        total: the sum, to be differentiated.
        terms: its summands, for reports: no derivative passes through them.
    """

    total: Scalar
    terms: tuple[Scalar, ...]


class AbstractPair(eqx.Module):
    """Two objectives that are computed in one pass."""

    @abstractmethod
    def __call__(
        self,
        weights: tuple[float, float],
        game: MFG,
        model: AbstractModel,
        batch: Batch,
        *,
        key: Key,
    ) -> Weighted:
        """Their weighted sum on a batch, and its two terms."""


class Combination(AbstractObjective):
    """A linear combination of objectives.

    Arguments:
        parts: pairs (weight, objective).
    """

    parts: tuple[tuple[float, AbstractObjective], ...]

    def __call__(self, game: MFG, model: AbstractModel, batch: Batch, *, key: Key) -> Scalar:
        return self.evaluate(game, model, batch, key=key).total

    def evaluate(self, game: MFG, model: AbstractModel, batch: Batch, *, key: Key) -> Weighted:
        """The weighted sum with its terms, in the order of `names`."""
        totals: list[Scalar] = []
        terms: dict[int, Scalar] = {}
        for index, (weight, part) in enumerate(self.parts):
            if index in terms:
                continue
            partner = self._partner(index, terms, model)
            if partner is None:
                totals.append(jnp.asarray(weight * part(game, model, batch, key=key)))
                terms[index] = jax.lax.stop_gradient(totals[-1])
                continue
            other, pair = partner
            weights = weight, self.parts[other][0]
            both = pair(weights, game, model, batch, key=key)
            totals.append(both.total)
            terms[index], terms[other] = both.terms
        ordered = tuple(terms[index] for index in range(len(self.parts)))
        return Weighted(jnp.sum(jnp.stack(totals)), ordered)

    def _partner(
        self, index: int, done: dict[int, Scalar], model: AbstractModel
    ) -> tuple[int, AbstractPair] | None:
        """The first later term that joins with the given one, and the pair they make."""
        for other in range(index + 1, len(self.parts)):
            if other not in done:
                pair = _pair(self.parts[index][1], self.parts[other][1], model)
                if pair is not None:
                    return other, pair
        return None

    @property
    def names(self) -> tuple[str, ...]:
        """One name for each part: its class, numbered where a class occurs again."""
        names: list[str] = []
        for _, part in self.parts:
            name = type(part).__name__
            earlier = sum(known.split("-")[0] == name for known in names)
            names.append(f"{name}-{earlier + 1}" if earlier else name)
        return tuple(names)


class _Swapped(AbstractPair):
    """A pair in the other order."""

    pair: AbstractPair

    def __call__(
        self,
        weights: tuple[float, float],
        game: MFG,
        model: AbstractModel,
        batch: Batch,
        *,
        key: Key,
    ) -> Weighted:
        first, second = weights
        both = self.pair((second, first), game, model, batch, key=key)
        return Weighted(both.total, both.terms[::-1])


def _pair(
    first: AbstractObjective, second: AbstractObjective, model: AbstractModel
) -> AbstractPair | None:
    pair = second.joined(first, model)
    if pair is not None:
        return pair
    pair = first.joined(second, model)
    return None if pair is None else _Swapped(pair)


def _parts(objective: AbstractObjective) -> tuple[tuple[float, AbstractObjective], ...]:
    if isinstance(objective, Combination):
        return objective.parts
    return ((1.0, objective),)
