"""Data of an experiment: units, splits, and the exact truth carried along."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities import _toy
from mfgen.zoo._catalogue import DATA
from mfgen.zoo._named_data import Data
from mfgen.zoo._samples import prepare

HERE = [name for name, info in DATA.items() if info.kind != "file" and info.dim is not None]


@pytest.mark.parametrize("name", HERE)
def test_every_named_data_set_is_standardised_and_goes_back(name, key):
    few = 2000 if DATA[name].kind == "toy" else None
    samples = prepare(Data(name=name, samples=few), key=key)
    assert samples.train.shape[1] == DATA[name].dim
    assert samples.target.dim == DATA[name].dim
    # The mean variance is one: exactly on real data, within four standard errors on a sample.
    variance = samples.train.var()
    assert abs(variance - 1) < (0.01 if few is None else 4 * np.sqrt(6 / few))
    original = samples.original(samples.train)
    again = samples.scaling.apply(original)
    assert np.allclose(again, samples.train, atol=1e-4)
    assert len(samples.columns) == DATA[name].dim


@pytest.mark.parametrize("name", [n for n in HERE if DATA[n].kind == "toy"])
def test_the_truth_of_a_toy_is_that_of_its_samples(name, key):
    samples = prepare(Data(name=name, samples=50), key=key)
    log_densities = jax.vmap(samples.truth.log_density)(jnp.asarray(samples.train))
    assert jnp.all(jnp.isfinite(log_densities))
    if samples.noisable is None:
        assert samples.target is not samples.truth
    else:
        assert samples.noisable is samples.truth is samples.target


def test_log_densities_go_back_to_original_units(key, x64):
    samples = prepare(Data(name="gaussians8", samples=10), key=key)
    x = jnp.array([2.5, 0.3])
    z = jnp.asarray(samples.scaling.apply(x[None]))[0]
    original = samples.truth.log_density(z) + samples.scaling.log_jacobian
    assert jnp.allclose(original, _toy.eight_gaussians().log_density(x), rtol=1e-5)


def test_toys_are_drawn_by_the_key_and_real_data_are_not(key):
    other = jax.random.key(1)
    toys = [prepare(Data(name="moons", samples=20), key=k) for k in (key, key, other)]
    assert np.array_equal(toys[0].train, toys[1].train)
    assert not np.array_equal(toys[0].train, toys[2].train)
    assert toys[0].digest != toys[2].digest
    real = [prepare(Data(name="iris"), key=k) for k in (key, other)]
    assert real[0].digest == real[1].digest


def test_the_training_part_can_be_cut_and_the_test_part_stays(key):
    whole = prepare(Data(name="iris"), key=key)
    few = prepare(Data(name="iris", samples=20), key=key)
    assert len(few.train) == 20
    assert np.array_equal(few.train, whole.train[:20])
    assert np.array_equal(few.test, whole.test)


def test_of_a_toy_the_last_samples_can_be_held_out(key):
    whole = prepare(Data(name="moons", samples=50), key=key)
    cut = prepare(Data(name="moons", samples=50, validation=0.1), key=key)
    assert len(whole.validation) == 0
    assert np.array_equal(cut.train, whole.train[:45])
    assert np.array_equal(cut.validation, whole.train[45:])
    assert cut.test.shape == (0, 2)


def test_mixtures_come_in_any_dimension(key):
    assert prepare(Data(name="mixture20", dim=5, samples=10), key=key).train.shape == (10, 5)


def test_mixtures_come_in_variants_and_the_first_is_the_one_without(key):
    means = [
        prepare(Data(name="mixture20", samples=10, variant=variant), key=key).scaling.mean
        for variant in (None, 0, 1)
    ]
    np.testing.assert_array_equal(means[0], means[1])
    assert not np.allclose(means[0], means[2])


def test_products_come_in_even_dimensions(key):
    assert prepare(Data(name="product", dim=4, samples=10), key=key).train.shape == (10, 4)


def test_a_table_is_read_from_its_file(tmp_path, key):
    values = np.random.default_rng(0).normal(size=(40, 3)) * [1.0, 10.0, 100.0]
    path = tmp_path / "table.csv"
    np.savetxt(path, values, delimiter=",", header="a,b,c", comments="")
    data = Data(name="table", path=str(path), columns=("c", "a"), test=0.25, validation=0.0)
    samples = prepare(data, key=key)
    assert samples.columns == ("c", "a")
    assert [len(part) for part in (samples.train, samples.validation, samples.test)] == [30, 0, 10]
    found = samples.original(samples.train)
    nearest = np.abs(found[:, None] - values[None][..., [2, 0]]).max(axis=-1).min(axis=1)
    assert nearest.max() < 1e-3


def test_real_data_are_divided_anew(key):
    first, again, other = (
        prepare(Data(name="iris", split=split), key=key) for split in (0, None, 3)
    )
    assert np.array_equal(first.train, again.train)
    assert other.train.shape == first.train.shape
    assert not np.array_equal(np.sort(other.test, axis=0), np.sort(first.test, axis=0))


def test_a_split_is_for_real_data_alone():
    with pytest.raises(ValueError, match="`split` with the data 'moons'"):
        Data(name="moons", split=1)
