"""The interface of trainers, and the problem that they are given.

    state_0 = init(problem; key),      state_{k+1}, terms_k = step(problem, state_k; key_k)

A trainer is a Markov chain: its state, a pytree of arrays, and the key of a step are all that the
next state depends on. So one loop serves gradient descent, descents against a critic, particles and
chains of such trainings (`mfgen.trainers._run`).
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, PyTree

from mfgen import _check
from mfgen._types import Batch, Key, Scalar
from mfgen.games._game import MFG
from mfgen.math import _entry
from mfgen.simulate._ends import initial_density
from mfgen.trainers._failure import NonFiniteError

Terms = dict[str, Scalar]


class Problem(eqx.Module):
    """A training problem: a game, samples where they are needed, and others to validate by.

    Arguments:
        game: the game; absent for what brings its own goal, as particles that go down a functional.
        data: samples, shape `[n, dim]`.
        held_out: samples that are not trained on, shape `[m, dim]`.

    Example:

        run(Gradient(model, DenoisingScoreMatching()), Problem(game, data), steps=1000, key=key)
    """

    game: MFG | None = None
    data: Batch | None = None
    held_out: Float[Array, "m dim"] | None = None

    def __check_init__(self):
        for name in ("data", "held_out"):
            samples = getattr(self, name)
            if samples is None:
                continue
            if not isinstance(samples, jax.Array | np.ndarray):
                raise TypeError(
                    f"`Problem` got {name} of type `{type(samples).__name__}`, expected an array: "
                    f"pass {name}=jnp.asarray(rows)."
                )
            said = f"`Problem` got {name} with"
            if np.ndim(_entry.finite(_entry.given(samples, said), said)) != 2:
                raise ValueError(
                    f"`Problem` got {name} of shape {np.shape(samples)}, expected [n, dim]: pass "
                    "one row for each sample."
                )

    def declared(self, owner: str) -> MFG:
        """The game.

        Raises:
            TypeError: in the name of `owner`, if there is none.
        """
        _check.of_kind(owner, "game", self.game, MFG, "pass `Problem(game, data)`")
        assert self.game is not None
        return self.game

    def started(self, owner: str) -> MFG:
        """The game, with an initial density.

        Raises:
            TypeError, ValueError: in the name of `owner`, if there is none, or no game.
        """
        game = self.declared(owner)
        initial_density(owner, game)
        return game


def check_dimension(owner: str, game: MFG, name: str, samples: Batch | None) -> None:
    """Refuses, in the name of `owner`, samples of another dimension than the game's."""
    if samples is None or game.initial is None or samples.shape[1] == game.initial.dim:
        return
    raise ValueError(
        f"`{owner}` got {name} of {samples.shape[1]} features for a game in {game.initial.dim} "
        "dimensions, expected as many: declare the game with these data."
    )


class Measures(NamedTuple):
    """Measurements of a record, beside the means of the steps' terms.

    Attributes:
        terms, errors: values by name, and the standard errors of those that are estimates.
        validation: the fit to held-out samples, or `None`.
        best: whether the state is the best so far.
    """

    terms: Mapping[str, float] = {}
    errors: Mapping[str, float] = {}
    validation: float | None = None
    best: bool = False


class AbstractTrainer(eqx.Module):
    """A way to train: a first state, a step, and what a state stands for.

    To add one, give `init`, `step` and `solution`; the rest has defaults.

    Attributes:
        watched: names among the terms of a step that must be finite but are not recorded.
        measures_start: whether there is a record before the first step.
        owner: the public name that errors speak of.
    """

    watched: ClassVar[tuple[str, ...]] = ()
    measures_start: ClassVar[bool] = False
    owner: ClassVar[str] = "run"

    def __check_init__(self):
        _check.declared(self)

    @abstractmethod
    def init(self, problem: Problem, *, key: Key) -> PyTree:
        """The state before the first step: arrays alone."""

    @abstractmethod
    def step(self, problem: Problem, state: PyTree, *, key: Key) -> tuple[PyTree, Terms]:
        """The next state and the terms of the step, traced; the key is that of the step."""

    @abstractmethod
    def solution(self, problem: Problem, state: PyTree) -> Any:
        """The result of a state: a model, particles, a chain of models."""

    def game(self, problem: Problem, state: PyTree) -> MFG | None:
        """The game that was played: that of the problem, with what was trained in its costs."""
        return problem.game

    def summary(self, problem: Problem, state: PyTree) -> str:
        """A sentence on the end of a run, beside its last loss, where there is one to say."""
        return ""

    def prepared(self, problem: Problem, steps: int, *, key: Key) -> "AbstractTrainer":
        """The trainer for a run of so many steps with that key: as a rule the same."""
        return self

    def settings(self) -> dict[str, Any]:
        """Settings by name that a resumed run must share with the one that was begun."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def restarted(self, state: PyTree) -> PyTree:
        """The first state of a run that goes on from the state of another one."""
        return state

    def measured(self, problem: Problem, state: PyTree) -> tuple[PyTree, Measures]:
        """Measurements of a record, and the state, which may keep some of them."""
        return state, Measures()

    @property
    def period(self) -> int | None:
        """Steps from stage to stage, or `None` if all are alike."""
        return None

    def turned(self, problem: Problem, state: PyTree, *, key: Key) -> PyTree:
        """The state at the end of a stage, made ready for the next one; not traced."""
        return state

    def not_finite(
        self, problem: Problem, step: int, term: str, checkpoint: str | None
    ) -> FloatingPointError:
        """The error of a term that is not finite after so many steps."""
        return NonFiniteError(step, term, checkpoint, owner=self.owner)
