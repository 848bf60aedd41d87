"""Laws of losses and trainers: what they state, what a batch gives, kills that change no bit."""

import importlib
import inspect
import pkgutil

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tables_of_training import KEY, LOSSES, POINTS, TRAINERS

import mfgen
from mfgen.losses import AbstractObjective
from mfgen.trainers import AbstractTrainer, Checkpoints, Problem, run


def members(base: type) -> set[type]:
    """The concrete classes of the library that are built on `base`, but for parts of others."""
    for module in pkgutil.walk_packages(mfgen.__path__, "mfgen."):
        if module.name.split(".")[1] in ("losses", "trainers", "solvers", "zoo"):
            importlib.import_module(module.name)

    def below(kind):
        for one in kind.__subclasses__():
            yield one
            yield from below(one)

    own = (one for one in below(base) if one.__module__.startswith("mfgen."))
    whole = (one for one in own if not one.__name__.startswith("_"))
    return {
        one for one in whole if not (inspect.isabstract(one) or one.__name__.startswith("Abstract"))
    }


def test_every_member_has_a_row():
    losses = {type(row.loss()) for row in LOSSES.values()}
    trainers = {type(row.trainer(row.game())) for row in TRAINERS.values()}
    for base, rows in ((AbstractObjective, losses), (AbstractTrainer, trainers)):
        missing = members(base) - rows
        assert not missing, f"add a row to tests/tables_of_training.py for {missing}"


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_keeps_its_word(name):
    """It says what it pays for, and is a finite number that its key and model decide."""
    row = LOSSES[name]
    loss, game = row.loss(), row.game()
    model = row.model(game)
    loss.check(game)
    paid = loss.pays(game)
    if row.pays:
        assert paid is None or paid.whole or any(paid.shares.values())
    else:
        assert loss.regularises
        assert paid is not None
        assert not paid.whole
        assert not any(paid.shares.values())

    @eqx.filter_jit
    def slope(model, key):
        return eqx.filter_value_and_grad(lambda model: loss(game, model, POINTS[:8], key=key))(
            model
        )

    (first, pull), (again, _) = slope(model, KEY), slope(model, KEY)
    assert first.shape == ()
    assert jnp.issubdtype(first.dtype, jnp.floating)
    assert first == again
    sizes = [float(jnp.max(jnp.abs(leaf))) for leaf in jax.tree.leaves(pull)]
    assert np.isfinite(float(first))
    assert np.isfinite(sizes).all()
    assert max(sizes) > 0


class Killed(Exception):
    pass


def kill(progress):
    if progress.step >= 4:
        raise Killed


def bits(state):
    """The arrays of a state, keys as the numbers that they are."""
    leaves = jax.tree.leaves(eqx.filter(state, eqx.is_array))
    is_key = lambda leaf: jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return [np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf) for leaf in leaves]


@pytest.mark.parametrize("name", TRAINERS)
def test_a_run_that_is_killed_and_resumed_is_the_same_to_the_bit(name, tmp_path):
    row = TRAINERS[name]
    game = row.game()
    problem, trainer = Problem(game, row.data()), row.trainer(game)
    settings = {"steps": 6, "key": KEY, "every": 2}
    whole = run(trainer, problem, **settings)
    kept = Checkpoints(tmp_path, every=2)
    with pytest.raises(Killed):
        run(trainer, problem, callback=kill, checkpoints=kept, **settings)
    resumed = run(trainer, problem, checkpoints=kept, resume=True, **settings)
    for one, other in zip(bits(whole.state), bits(resumed.state), strict=True):
        np.testing.assert_array_equal(one, other)
    assert resumed.history.records[-1].step == 6
    assert isinstance(trainer.summary(problem, whole.state), str)
