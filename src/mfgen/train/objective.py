"""Training objectives form a vector space: `DenoisingScoreMatching() + 0.3 * HJB()`.

An objective maps (game, model, batch) to a scalar. Sums and multiples of objectives are
objectives, so a regularised loss is written as in a paper,

    loss = sum_k weight_k objective_k.

All terms of one step receive the same random key: terms that draw noised points do so by the same
rule and therefore share them, and the compiler computes them once.
"""

from abc import abstractmethod

import equinox as eqx
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

    def __add__(self, other: "AbstractObjective") -> "Combination":
        return Combination(_parts(self) + _parts(other))

    def __mul__(self, factor: float) -> "Combination":
        return Combination(tuple((factor * weight, part) for weight, part in _parts(self)))

    def __rmul__(self, factor: float) -> "Combination":
        return self * factor


class Combination(AbstractObjective):
    """A linear combination of objectives.

    Arguments:
        parts: pairs (weight, objective).
    """

    parts: tuple[tuple[float, AbstractObjective], ...]

    def __call__(self, game: MFG, model: AbstractModel, batch: Batch, *, key: Key) -> Scalar:
        return total(self.terms(game, model, batch, key=key))

    def terms(
        self, game: MFG, model: AbstractModel, batch: Batch, *, key: Key
    ) -> dict[str, Scalar]:
        """The weighted terms by name, in the order in which they were added."""
        values = [weight * part(game, model, batch, key=key) for weight, part in self.parts]
        return dict(zip(self.names, values, strict=True))

    @property
    def names(self) -> tuple[str, ...]:
        """One name for each part: its class, numbered where a class occurs again."""
        names: list[str] = []
        for _, part in self.parts:
            name = type(part).__name__
            earlier = sum(known.split("-")[0] == name for known in names)
            names.append(f"{name}-{earlier + 1}" if earlier else name)
        return tuple(names)


def total(terms: dict[str, Scalar]) -> Scalar:
    """The sum of the terms."""
    return jnp.sum(jnp.stack(list(terms.values())))


def _parts(objective: AbstractObjective) -> tuple[tuple[float, AbstractObjective], ...]:
    if isinstance(objective, Combination):
        return objective.parts
    return ((1.0, objective),)
