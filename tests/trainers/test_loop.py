"""The training loop: it learns, resumes bit for bit, stops on what is not finite."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mfgen.densities import Empirical
from mfgen.dynamics import SubVP
from mfgen.losses import HJB, AbstractObjective, DenoisingScoreMatching
from mfgen.models import score_potential
from mfgen.trainers import CheckpointError, Checkpoints, NonFiniteError, Progress, fit
from mfgen.zoo import score_based

LOSS = DenoisingScoreMatching() + 0.1 * HJB(points=16)


class Poison(AbstractObjective):
    """Zero, and not a number in the steps whose key has an even first word."""

    def __call__(self, game, model, batch, *, key):
        word = jax.random.key_data(jax.random.fold_in(key, 9))[0]
        value = jnp.sum(jnp.square(model.costate(0.5, batch[0])))
        return jnp.where(word % 8 == 0, jnp.nan, 0.0) * value


def run(game, network, data, objective=LOSS, *, steps=30, **settings):
    settings = {"batch_size": 32, "every": 10, "key": jax.random.key(7)} | settings
    return fit(game, network, objective, data, steps=steps, **settings)


def leaves(model):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(model, eqx.is_array))]


def identical(one, other):
    return all(np.array_equal(a, b) for a, b in zip(leaves(one), leaves(other), strict=True))


def test_training_lowers_the_loss(game, network, data):
    seen: list[Progress] = []
    model, history = run(game, network, data, steps=200, every=50, callback=seen.append)
    assert seen == history.records
    assert [record.step for record in seen] == [50, 100, 150, 200]
    assert set(seen[0].terms) == {"DenoisingScoreMatching", "HJB"}
    assert seen[-1].loss < seen[0].loss
    assert not identical(model, network)


def test_resume_is_bit_identical(game, network, data, tmp_path):
    whole, whole_history = run(
        game, network, data, checkpoints=Checkpoints(tmp_path / "whole", every=7)
    )

    class Interrupt(Exception):
        pass

    def stop(progress):
        if progress.step >= 20:
            raise Interrupt

    with pytest.raises(Interrupt):
        run(
            game,
            network,
            data,
            checkpoints=Checkpoints(tmp_path / "cut", every=7),
            callback=stop,
        )
    cut = Checkpoints(tmp_path / "cut", every=7)
    assert cut.latest == 14
    resumed, history = run(game, network, data, checkpoints=cut, resume=True)
    assert identical(whole, resumed)
    assert [r.terms for r in history.records] == [r.terms for r in whole_history.records]
    assert [r.step for r in history.records] == [10, 20, 30]


def test_pieces_of_any_length_give_the_same_parameters(game, network, data):
    assert identical(run(game, network, data, every=30)[0], run(game, network, data, every=7)[0])


@pytest.mark.slow
def test_the_best_does_not_depend_on_how_often_the_run_is_saved(game, network, data, tmp_path):
    """Checkpoints between records are neither records nor validated."""
    settings = {"validation": data[:32] + 0.01, "learning_rate": 0.3, "average": 0.0}
    plain, history = run(game, network, data, **settings)
    checkpoints = Checkpoints(tmp_path, every=3)
    saved, other = run(game, network, data, checkpoints=checkpoints, **settings)
    assert identical(plain, saved)
    kept = [(record.step, record.validation) for record in history.records]
    assert kept == [(record.step, record.validation) for record in other.records]
    assert [step for step, _ in kept] == [10, 20, 30]
    for one, two in zip(history.records, other.records, strict=True):
        assert one.terms == pytest.approx(two.terms, rel=1e-5)


def test_a_value_that_is_not_finite_stops_the_run(game, network, data, tmp_path):
    checkpoints = Checkpoints(tmp_path, every=1)
    with pytest.raises(NonFiniteError, match="term 'Poison'") as caught:
        run(
            game,
            network,
            data,
            DenoisingScoreMatching() + Poison(),
            steps=300,
            every=1,
            checkpoints=checkpoints,
        )
    error = caught.value
    assert error.checkpoint == str(tmp_path / str(error.step))
    restored = Checkpoints(tmp_path, every=1)
    assert restored.latest == error.step
    with pytest.raises(NonFiniteError) as again:
        run(
            game,
            network,
            data,
            DenoisingScoreMatching() + Poison(),
            steps=300,
            every=1,
            checkpoints=restored,
            resume=True,
        )
    assert again.value.step == error.step


def test_rows_that_are_validation_and_data_are_warned_of(game, network, data, target):
    held_out = jnp.concatenate([target.sample(5, key=jax.random.key(9)), data[40:43]])
    with pytest.warns(UserWarning, match="`fit` got 3 of 8 rows of validation that are rows of da"):
        run(game, network, data, steps=0, validation=held_out)


def test_validation_returns_the_best_average(game, network, data, target):
    # A learning rate far too large after a good start: the last parameters are worse.
    rate = optax.piecewise_constant_schedule(5e-3, {60: 40.0})
    settings = {"optimiser": optax.adam(rate), "steps": 90, "average": 0.0}
    held_out = target.sample(128, key=jax.random.key(9))
    model, history = run(game, network, data, validation=held_out, **settings)
    losses = [record.validation for record in history.records]
    assert history.best_step == history.records[int(np.argmin(losses))].step
    last, _ = run(game, network, data, **settings)
    assert history.best_step < 90
    assert not identical(model, last)


@pytest.mark.slow
def test_no_averaging_returns_the_last_parameters(game, network, data):
    averaged, _ = run(game, network, data)
    last, _ = run(game, network, data, average=0.0)
    assert not identical(averaged, last)


def test_the_step_is_compiled_once(game, network, data):
    traces = []

    class Counted(AbstractObjective):
        def __call__(self, game, model, batch, *, key):
            traces.append(1)
            return DenoisingScoreMatching()(game, model, batch, key=key)

    run(game, network, data, Counted(), steps=25, every=10)
    assert len(traces) <= 2


def test_a_folder_with_a_run_is_not_overwritten(game, network, data, tmp_path):
    run(game, network, data, steps=5, checkpoints=Checkpoints(tmp_path, every=5))
    with pytest.raises(CheckpointError, match="pass resume=True"):
        run(game, network, data, steps=5, checkpoints=Checkpoints(tmp_path, every=5))
    assert Checkpoints(tmp_path).latest == 5


@pytest.fixture(scope="module")
def begun(game, network, data, tmp_path_factory):
    """The folder of a run of six steps."""
    folder = tmp_path_factory.mktemp("begun")
    run(
        game,
        network,
        data,
        steps=6,
        every=3,
        validation=data[:8] + 0.01,
        checkpoints=Checkpoints(folder),
    )
    return folder


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"steps": 4}, "steps = 4 for a run that has done 6 already .* pass steps=6"),
        ({"batch_size": 16}, "batch_size = 16 for a run that was begun with 32"),
        ({"learning_rate": 1e-3}, r"learning_rate = 0\.001 for a run that was begun with 0\.005"),
        ({"optimiser": optax.sgd(0.1)}, "learning_rate = None for a run"),
        ({"every": 2}, "every = 2 for a run that was begun with 3"),
        ({"average": 0.9}, r"average = 0\.9 for a run that was begun with 0\.999"),
        ({"key": jax.random.key(8)}, "key = an array"),
        ({"objective": DenoisingScoreMatching()}, "objective.parts = tuple of 1 for"),
        ({"objective": DenoisingScoreMatching() + 0.2 * HJB(points=16)}, r"0\.2 for .* 0\.1 "),
        ({"objective": DenoisingScoreMatching() + 0.1 * HJB(points=8)}, "points = 8 for .* 16 "),
        ({"data": lambda data: data.at[5, 1].add(1e-2)}, "data = an array"),
        ({"data": lambda data: data[::-1]}, "data = an array .* other values"),
        ({"validation": lambda data: data[8:16] + 0.01}, "validation = an array"),
        ({"validation": lambda data: None}, "validation = None for"),
    ],
)
def test_a_run_is_resumed_with_what_it_was_begun(game, network, data, begun, changed, told):
    made = {
        name: value(data) if name in ("data", "validation") else value
        for name, value in changed.items()
    }
    settings = {"steps": 6, "every": 3, "validation": data[:8] + 0.01} | made
    settings = {"data": data, "objective": LOSS} | settings
    with pytest.raises(CheckpointError, match=f"`fit` got .*{told}"):
        run(game, network, checkpoints=Checkpoints(begun), resume=True, **settings)
    assert Checkpoints(begun).latest == 6


def test_a_run_is_resumed_with_the_game_and_model_it_was_begun(game, network, data, begun):
    settings = {"steps": 6, "every": 3, "validation": data[:8] + 0.01, "resume": True}
    wide = score_potential(game, key=jax.random.key(0), width=8)
    with pytest.raises(CheckpointError, match=r"`fit` got model\..* = "):
        run(game, wide, data, checkpoints=Checkpoints(begun), **settings)
    other = score_based(SubVP(), Empirical(data))
    with pytest.raises(CheckpointError, match=r"`fit` got game\..* = .*SubVP.* begun with "):
        run(other, network, data, checkpoints=Checkpoints(begun), **settings)
    # The same with numbers that another machine has rounded otherwise.
    close = data * (1 + 1e-7)
    _, history = run(game, network, close, checkpoints=Checkpoints(begun), **settings)
    assert [record.step for record in history.records] == [3, 6]


@pytest.mark.parametrize(
    ("settings", "fix"),
    [
        ({"steps": -1}, "expected a whole number of at least 0: pass steps=100"),
        ({"batch_size": 0}, "pass batch_size=100"),
        ({"every": 0}, "pass every=100"),
        ({"learning_rate": -1.0}, "got learning_rate = -1.0, expected a"),
        ({"clip": 0.0}, "got clip = 0.0, expected a"),
        ({"average": 1.0}, r"pass average=0\.999"),
    ],
)
def test_settings_out_of_range_are_refused(game, network, data, settings, fix):
    with pytest.raises(ValueError, match=fix):
        run(game, network, data, **settings)


def test_zero_steps_return_the_model_unchanged(game, network, data):
    model, history = run(game, network, data, steps=0)
    assert identical(model, network)
    assert history.records == []


def test_bad_data_are_refused(game, network, data):
    with pytest.raises(ValueError, match="`data`"):
        run(game, network, data.at[3, 1].set(jnp.nan))
    with pytest.raises(ValueError, match="`validation`"):
        run(game, network, data, validation=data[:1])
    wide = jnp.concatenate([data, data], axis=1)
    with pytest.raises(ValueError, match="data of 4 features for a game in 2 dimensions"):
        run(game, network, wide)
    with pytest.raises(ValueError, match="validation of 4 features"):
        run(game, network, data, validation=wide)


def test_a_second_run_of_the_same_shape_is_not_compiled_again(game, network, data):
    # The compiled loop is known by its settings, not by the data, the weights or the key.
    traced = []

    class Traced(AbstractObjective):
        def __call__(self, game, model, batch, *, key):
            traced.append(key)
            return jnp.sum(jnp.square(model.costate(0.5, batch[0])))

    other = jax.tree.map(lambda leaf: 2 * leaf if eqx.is_inexact_array(leaf) else leaf, network)
    run(game, network, data, Traced(), steps=3)
    count = len(traced)
    run(game, other, data + 1, Traced(), steps=3, key=jax.random.key(8))
    assert len(traced) == count > 0
