"""Energies that are not finite are refused before a training: nothing is trained or overwritten."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfgen as mg
from mfgen.losses import ReverseKL
from mfgen.zoo import _flows, train

KEY = jax.random.key(0)
BATCH = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)

BROKEN = {
    "wall": (lambda x: jnp.where(x[0] > 2.0, jnp.inf, 0.5 * x @ x), "an energy that is inf"),
    "root": (lambda x: jnp.sqrt(x[0] + 2.0) + 0.5 * x @ x, "an energy that is nan"),
    "kink": (
        lambda x: jnp.sqrt(jnp.maximum(x[0] - 2.0, 0.0)) + 0.5 * x @ x,
        "an energy with a gradient that is not finite",
    ),
}


def recipe(energy):
    return _flows.boltzmann(mg.Unnormalised(energy, 2), key=KEY, width=4)


@pytest.mark.parametrize("name", BROKEN)
def test_an_energy_that_is_not_finite_is_refused_before_a_step(name, tmp_path):
    energy, words = BROKEN[name]
    records = []
    checkpoints = mg.trainers.Checkpoints(tmp_path / "kept", every=1)
    options = {"steps": 2, "key": KEY, "callback": records.append, "checkpoints": checkpoints}
    with pytest.raises(ValueError, match=rf"^`ReverseKL` got {words} at the point \[.*of 1024 "):
        train(recipe(energy), BATCH, **options)
    assert records == []
    assert list((tmp_path / "kept").iterdir()) == []


def test_the_point_that_is_named_is_one_where_the_energy_is_broken():
    energy, _ = BROKEN["wall"]
    with pytest.raises(ValueError, match=r"replace walls by a steep smooth potential") as refused:
        ReverseKL().check(recipe(energy).game)
    place = str(refused.value).split("[")[1].split("]")[0].split()
    assert float(place[0]) > 2.0


def test_a_term_of_a_sum_is_asked_too_and_finite_energies_pass():
    game = recipe(BROKEN["root"][0]).game
    with pytest.raises(ValueError, match="`ReverseKL` got an energy"):
        (mg.losses.TransportCost() + 2.0 * ReverseKL()).check(game)
    mg.losses.TransportCost().check(game)
    ReverseKL().check(_flows.boltzmann(mg.densities.double_well(), key=KEY, width=4).game)


def test_what_is_no_training_by_energy_is_refused_as_it_was():
    data = mg.Empirical(jnp.asarray(BATCH))
    with pytest.raises(TypeError, match="initial density `Empirical` without"):
        ReverseKL().check(_flows.flow_game(data, mg.Kinetic()))
