"""One loop for everything that learns or moves.

    state_{k+1}, terms_k = step(problem, state_k; key_k),      key_k = fold_in(key, k)

Many steps are taken in one compiled dispatch, and the host looks in only to report, save and `turn`
from stage to stage. However a run is cut into pieces, or killed and resumed, its numbers are the
same to the bit. The loop stops before a step with a term that is not finite; the state is then
still that of the last good step.

Programs are compiled once for a process: two runs with trainers, problems and states of equal
shapes and equal static parts share theirs. Numbers that may differ belong in arrays.

Reference: R. Frostig, M. Johnson, C. Leary, "Compiling machine learning programs via high-level
tracing" (2018), for loops of whole trainings.
"""

import math
import time
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PyTree

from mfgen import _check
from mfgen._types import Count, Key
from mfgen.math._count import count
from mfgen.trainers._failure import StoppedError, sentence
from mfgen.trainers._history import Callback, History
from mfgen.trainers._settings import described
from mfgen.trainers._state import Checkpoints, begin
from mfgen.trainers._trainer import AbstractTrainer, Problem, Terms

Finite = dict[str, Bool[Array, ""]]


class Run(NamedTuple):
    """A run that is done.

    Attributes:
        solution: what was trained.
        state: the trainer's last state, from which another run may go on.
        history: its records.
        trainer: as it was run.
    """

    solution: Any
    state: PyTree
    history: History
    trainer: AbstractTrainer


class Carry(eqx.Module):
    """The trainer's state and the number of steps done."""

    state: PyTree
    step: Int[Array, ""]


def run(
    trainer: AbstractTrainer,
    problem: Problem,
    *,
    steps: Count,
    key: Key,
    every: Count = 100,
    callback: Callback | None = None,
    checkpoints: Checkpoints | None = None,
    resume: bool = False,
    state: PyTree = None,
) -> Run:
    """Runs a trainer on a problem.

    Arguments:
        trainer: such as `Gradient(model, loss)`, or one of your own.
        problem: `Problem(game, data)`.
        steps: the number of steps.
        key: random key of the run.
        every: steps from record to record.
        callback: called with a `Progress` at each record.
        checkpoints: where to save the run as it goes.
        resume: continue from the latest of `checkpoints`, with the settings that the run was begun
            with; `steps` may be more.
        state: begin at the state of an earlier run, `previous.state`, of a trainer of the same
            kind and shapes: with another loss, other data or more steps.

    Returns:
        The `Run`: what was trained, the last state, and the records.

    Raises:
        ValueError: for settings out of range, or a state of another shape.
        NonFiniteError: if a term is not finite; it names the step and the term.
        StoppedError: if a part of the game refuses a step; it names the step and gives the reason.
        CheckpointError: if `checkpoints` cannot be resumed from, hold a run already, or that of
            other settings or of more steps.

    Example:

        first = run(Gradient(model, loss), Problem(game, data), steps=1000, key=key)
        more = run(Gradient(model, other), Problem(game, data), steps=500, key=key,
                   state=first.state)
    """
    _check.of_kind("run", "trainer", trainer, AbstractTrainer, "pass `Gradient(model, loss)`")
    owner = trainer.owner
    _check.of_kind(owner, "problem", problem, Problem, "pass `Problem(game, data)`")
    _check.a_key(owner, key)
    if callback is not None:
        _check.a_function(owner, "callback", callback, "a `Progress`")
    if checkpoints is not None:
        _check.of_kind(owner, "checkpoints", checkpoints, Checkpoints, "pass Checkpoints(folder)")
    elif resume:
        raise ValueError(
            f"`{owner}` got resume = True without checkpoints, expected where to go on from: pass "
            "checkpoints=Checkpoints(folder)."
        )
    steps = count(owner, "steps", steps, least=0, advice="pass steps=100")
    every = count(owner, "every", every, advice="pass every=100")
    settings = trainer.settings()
    trainer = trainer.prepared(problem, steps, key=key)
    first = _first(trainer, problem, state, key)
    carry, history = Carry(first, jnp.asarray(0, jnp.int32)), History()
    if checkpoints is not None:
        began = described(
            **settings,
            game=problem.game,
            data=problem.data,
            validation=problem.held_out,
            key=key,
            every=every,
            **({} if state is None else {"state": state}),
        )
        carry, history = begin(checkpoints, carry, history, resume, steps, began, owner=owner)
    loop = _Loop(trainer, problem, key, steps, every, callback, checkpoints)
    carry = loop.go(carry, history)
    return Run(trainer.solution(problem, carry.state), carry.state, history, trainer)


class _Loop(NamedTuple):
    """The loop of the host between dispatches."""

    trainer: AbstractTrainer
    problem: Problem
    key: Key
    steps: int
    every: int
    callback: Callback | None
    checkpoints: Checkpoints | None

    def go(self, carry: Carry, history: History) -> Carry:
        began = time.perf_counter() - (history.records[-1].seconds if history.records else 0.0)
        step, saves = int(carry.step), self.checkpoints
        if step == 0 and self.trainer.measures_start:
            carry = self._record(carry, history, began)
        # No step is taken: the program is compiled here, and the records tell of steps alone.
        if step < self.steps:
            self._advanced(carry, 0)
        while step < self.steps:
            periods = [self.every, self.trainer.period, saves and saves.every]
            stops = [self.steps, *(each * (step // each + 1) for each in periods if each)]
            clock = time.perf_counter()
            carry, terms, finite = self._advanced(carry, min(stops) - step)
            milliseconds = 1e3 * (time.perf_counter() - clock)
            step, watched = int(carry.step), self.trainer.watched
            for name in sorted(finite, key=watched.__contains__):
                if not bool(finite[name]):
                    raise self._failure(step, name)
            terms = {name: float(value) for name, value in terms.items() if name not in watched}
            history.pending.add(terms, milliseconds)
            if self.trainer.period and step % self.trainer.period == 0:
                key = jax.random.fold_in(self.key, 2**31 + step)
                turned = self.trainer.turned(self.problem, carry.state, key=key)
                carry = Carry(turned, carry.step)
            # A stop for a checkpoint alone is no record: what is validated, and so what is best,
            # must not depend on how often the run is saved.
            if step % self.every == 0 or step == self.steps:
                carry = self._record(carry, history, began)
                if self.callback is not None:
                    self.callback(history.records[-1])
            if saves is not None and (step % saves.every == 0 or step == self.steps):
                saves.save(carry, history)
        return carry

    def _advanced(self, carry: Carry, count: int) -> tuple[Carry, Terms, Finite]:
        try:
            done = advance(self.trainer, self.problem, carry, self.key, jnp.asarray(count))
            return jax.block_until_ready(done)
        except RuntimeError as error:
            reason = sentence(error)
            if reason is None:
                raise
        # Which of the steps it was is found by taking them again, one at a time.
        for _ in range(count - 1 if count > 1 else 0):
            carry = self._advanced(carry, 1)[0]
        raise StoppedError(int(carry.step), reason, self._checkpoint, owner=self.trainer.owner)

    def _record(self, carry: Carry, history: History, began: float) -> Carry:
        """Measures, and ends the steps since the last record with a new one."""
        step = int(carry.step)
        state, found = self.trainer.measured(self.problem, carry.state)
        values = dict(found.terms)
        if found.validation is not None:
            values["validation"] = found.validation
        for name, value in values.items():
            if not math.isfinite(value):
                raise self._failure(step, name)
        if found.best:
            history.best_step = step
        seconds = time.perf_counter() - began
        history.record(step, self.steps, found.validation, seconds, found.terms, found.errors)
        return Carry(state, carry.step)

    def _failure(self, step: int, term: str) -> FloatingPointError:
        return self.trainer.not_finite(self.problem, step, term, self._checkpoint)

    @property
    def _checkpoint(self) -> str | None:
        """The latest checkpoint of the run, if it has one."""
        latest = self.checkpoints and self.checkpoints.latest
        return str(self.checkpoints.path(latest)) if self.checkpoints and latest else None


@eqx.filter_jit
def advance(trainer: AbstractTrainer, problem: Problem, carry: Carry, key: Key, count: Array):
    """Takes `count` steps, fewer if one is not finite; sums of terms and what was finite."""
    # Traced once, here: the loop must know the names of the terms before its first step.
    step: Any = eqx.filter_closure_convert(
        lambda state, key: trainer.step(problem, state, key=key), carry.state, key
    )
    shapes = step.out_struct[1]
    zeros = jax.tree.map(lambda term: jnp.zeros(term.shape, term.dtype), shapes)
    finite = jax.tree.map(lambda _: jnp.asarray(True), shapes)
    last = carry.step + count
    good = lambda finite: jnp.all(jnp.stack(jax.tree.leaves(finite)))

    def going(loop: tuple[Carry, Terms, Finite]):
        carry, _, finite = loop
        return (carry.step < last) & good(finite)

    def body(loop: tuple[Carry, Terms, Finite]):
        carry, sums, _ = loop
        state, terms = step(carry.state, jax.random.fold_in(key, carry.step))
        finite = jax.tree.map(jnp.isfinite, terms)
        new = Carry(state, carry.step + 1)
        kept = jax.tree.map(lambda new, old: jnp.where(good(finite), new, old), new, carry)
        return kept, jax.tree.map(jnp.add, sums, terms), finite

    return jax.lax.while_loop(going, body, (carry, zeros, finite))


def _first(trainer: AbstractTrainer, problem: Problem, state: PyTree, key: Key) -> PyTree:
    if state is None:
        return trainer.init(problem, key=key)
    wanted = eqx.filter_eval_shape(trainer.init, problem, key=key)
    shapes = lambda tree: [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(tree)]
    alike = jax.tree.structure(wanted) == jax.tree.structure(state)
    if not alike or shapes(wanted) != shapes(state):
        raise ValueError(
            f"`{trainer.owner}` got a state of another trainer or other shapes, expected that of "
            f"`{type(trainer).__name__}` with an equal model: pass `previous.state` of such a run."
        )
    return trainer.restarted(state)
