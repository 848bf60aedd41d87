"""The loop of all trainers: pieces, kills and stages change no number; what is not finite stops."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.dynamics import VP
from mfgen.losses import DenoisingScoreMatching, SlicedScoreMatching
from mfgen.models import score_potential
from mfgen.trainers import (
    AbstractTrainer,
    CheckpointError,
    Checkpoints,
    Gradient,
    NonFiniteError,
    Problem,
    StoppedError,
    run,
)
from mfgen.trainers._trainer import Measures
from mfgen.zoo import score_based

KEY = jax.random.key(3)
PROBLEM = Problem(data=jnp.ones((4, 2)))


class Walk(AbstractTrainer):
    """A noisy descent to the mean of the data, that doubles at the end of each stage."""

    rate: jax.Array = eqx.field(converter=jnp.asarray, default=0.1)
    stage: int | None = eqx.field(static=True, default=None)

    def init(self, problem, *, key):
        return jax.random.normal(key, (2,))

    def step(self, problem, state, *, key):
        away = state - jnp.mean(problem.data, axis=0)
        moved = state - self.rate * away + 0.1 * jax.random.normal(key, (2,))
        return moved, {"square": jnp.sum(away**2)}

    def solution(self, problem, state):
        return state

    @property
    def period(self):
        return self.stage

    def turned(self, problem, state, *, key):
        return 2 * state

    def measured(self, problem, state):
        return state, Measures({"size": float(jnp.abs(state[0]))}, {"size": 0.5})


class Interrupt(Exception):
    pass


def stop(progress):
    if progress.step >= 20:
        raise Interrupt


def go(trainer, *, steps=30, every=10, **settings):
    return run(trainer, PROBLEM, steps=steps, key=KEY, every=every, **settings)


def test_records_are_means_of_terms_and_what_is_measured():
    by_hand, state, squares = Walk(), Walk().init(PROBLEM, key=KEY), []
    for index in range(12):
        key = jax.random.fold_in(KEY, index)
        state, terms = by_hand.step(PROBLEM, state, key=key)
        squares.append(float(terms["square"]))
    seen = []
    found = go(Walk(), steps=12, callback=seen.append)
    np.testing.assert_allclose(found.solution, state, rtol=1e-5)
    assert seen == found.history.records
    assert [record.step for record in seen] == [10, 12]
    assert seen[0].terms["square"] == pytest.approx(np.mean(squares[:10]), rel=1e-5)
    assert seen[1].terms["square"] == pytest.approx(np.mean(squares[10:]), rel=1e-5)
    assert seen[1].terms["size"] == pytest.approx(abs(float(state[0])), rel=1e-5)
    assert seen[1].errors == {"size": 0.5}


def test_a_run_that_is_killed_and_resumed_is_the_same_to_the_bit(tmp_path):
    trainer = Walk(stage=8)
    whole = go(trainer, checkpoints=Checkpoints(tmp_path / "whole", every=7))
    with pytest.raises(Interrupt):
        go(trainer, checkpoints=Checkpoints(tmp_path / "cut", every=7), callback=stop)
    cut = Checkpoints(tmp_path / "cut", every=7)
    assert cut.latest == 14
    resumed = go(trainer, checkpoints=cut, resume=True)
    np.testing.assert_array_equal(whole.solution, resumed.solution)
    records = [[(r.step, r.terms, r.errors) for r in a.history.records] for a in (whole, resumed)]
    assert records[0] == records[1]
    np.testing.assert_array_equal(whole.solution, go(trainer, every=4).solution)
    with pytest.raises(CheckpointError, match=r"`run` got rate = .* 0.2 for a run that was begun"):
        go(Walk(0.2, stage=8), checkpoints=cut, resume=True)


def test_stages_end_at_their_period():
    """Two stages of 5 steps are two runs of 5, each doubled at its end."""
    still = Walk(0.0)
    whole = run(Walk(0.0, stage=5), PROBLEM, steps=10, key=KEY)
    ways = run(still, PROBLEM, steps=5, key=KEY).state - still.init(PROBLEM, key=KEY)
    both = run(still, PROBLEM, steps=10, key=KEY).state - still.init(PROBLEM, key=KEY)
    start = still.init(PROBLEM, key=KEY)
    np.testing.assert_allclose(whole.state, 2 * (2 * (start + ways) + both - ways), rtol=1e-4)


def test_a_run_goes_on_from_another():
    first = go(Walk(), steps=10)
    more = run(Walk(0.5), PROBLEM, steps=10, key=jax.random.key(4), state=first.state)
    again = run(Walk(0.5), PROBLEM, steps=0, key=KEY, state=first.state)
    np.testing.assert_array_equal(again.state, first.state)
    assert more.history.records[-1].step == 10
    with pytest.raises(ValueError, match=r"`run` got a state of another trainer.*`Walk`"):
        go(Walk(), state=jnp.zeros(3))


def test_what_is_not_finite_stops_the_run_at_its_step(tmp_path):
    checkpoints = Checkpoints(tmp_path, every=10)
    with pytest.raises(NonFiniteError, match=r"`run` got a value .* in term 'square'") as caught:
        go(Walk(-1e5), checkpoints=checkpoints)
    good = run(Walk(-1e5), PROBLEM, steps=caught.value.step, key=KEY)
    assert bool(jnp.all(jnp.isfinite(good.state)))
    assert caught.value.checkpoint is None


def test_equal_shapes_are_one_program(caplog):
    go(Walk(0.3), steps=3)
    with jax.log_compiles():
        other = Problem(data=jnp.zeros((4, 2)))
        run(Walk(0.7), other, steps=40, key=jax.random.key(9), every=7)
        assert "jit(advance)" not in caplog.text
        run(Walk(0.7), Problem(data=jnp.zeros((5, 2))), steps=1, key=KEY)
    assert "jit(advance)" in caplog.text


def fitted(game, data, *, seed, objective=None, state=None, steps=4, **settings):
    model = score_potential(game, width=8, depth=1, key=jax.random.key(seed))
    loss = DenoisingScoreMatching() if objective is None else objective
    trainer = Gradient(model, loss, batch_size=16, **settings)
    return run(trainer, Problem(game, data), steps=steps, key=jax.random.key(seed), state=state)


def test_a_second_training_of_equal_shapes_is_not_compiled_again(game, target, data, caplog):
    fitted(game, data, seed=0)
    with jax.log_compiles():
        other = {"learning_rate": 0.1, "average": 0.5, "clip": 1.0, "steps": 7}
        fitted(score_based(VP(), target), data + 1, seed=1, **other)
    assert "jit(advance)" not in caplog.text


def test_a_training_goes_on_with_another_loss(game, data):
    """Parameters, average and moments go on, and the rate decays anew from its peak."""
    first = fitted(game, data, seed=0, steps=6)
    again = fitted(game, data, seed=0, steps=0, state=first.state)
    same = eqx.tree_equal(again.solution, first.solution)
    assert bool(same)
    loss = SlicedScoreMatching()
    more = fitted(game, data, seed=2, objective=loss, state=first.state, learning_rate=1e-3)
    assert set(more.history.records[-1].terms) == {"SlicedScoreMatching"}
    old, new = (jax.tree.leaves(part.parameters) for part in (first.state, more.state))
    moved = max(float(jnp.max(jnp.abs(a - b))) for a, b in zip(old, new, strict=True))
    # Adam's first steps are of about the rate; with a rate that had decayed there were none.
    assert 5e-4 < moved < 5e-3
    counts = [part.optimiser[1][0].count for part in (first.state, more.state)]
    assert [int(count) for count in counts] == [6, 10]


class Refusing(AbstractTrainer):
    """A walk into a wall, which compiled code finds out."""

    def init(self, problem, *, key):
        return jnp.zeros(2)

    def step(self, problem, state, *, key):
        state = eqx.error_if(state + 1, state[0] >= 13, "`Wall` got 13, expected less: turn.")
        return state, {"sum": state.sum()}

    def solution(self, problem, state):
        return state


def test_a_part_that_refuses_a_step_is_told_with_the_step_and_the_checkpoint(tmp_path, capfd):
    saves = Checkpoints(tmp_path, every=5)
    said = rf"`run` stopped after step 13 \(.* is {saves.path(10)}\): `Wall` got 13, .*: turn\.$"
    with pytest.raises(StoppedError, match=said) as caught:
        run(Refusing(), Problem(), steps=40, key=KEY, every=10, checkpoints=saves)
    assert (caught.value.step, caught.value.reason) == (13, "`Wall` got 13, expected less: turn.")
    assert capfd.readouterr() == ("", "")
