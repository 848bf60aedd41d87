"""JKO steps by networks against exact steps between normal laws."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities import Gaussian
from mfgen.trainers import Checkpoints
from mfgen.zoo import jko_chain

TARGET = Gaussian(jnp.zeros(1), jnp.ones(1))
START = Gaussian(jnp.array([2.0]), jnp.array([0.25]))


@pytest.fixture(scope="module")
def chain():
    return jko_chain(
        TARGET,
        START,
        step=1.0,
        steps=2,
        particles=1024,
        iterations=250,
        key=jax.random.key(0),
        width=16,
    )


def exact(mean, deviation, k=1.0):
    return k * mean / (1 + k), (k * deviation + (k**2 * deviation**2 + 4 * (1 + k)) ** 0.5) / (
        2 * (1 + k)
    )


def test_steps_are_those_of_normal_laws(chain):
    """From what the particles are, not from what they were drawn of (MATH, oracle 5)."""
    moments = [(float(points.mean()), float(points.std())) for points in chain.points]
    for before, after in itertools.pairwise(moments):
        np.testing.assert_allclose(after, exact(*before), rtol=0.02)


def test_densities_are_carried_along(chain):
    mean, deviation = exact(*exact(2.0, 0.5))
    known = Gaussian(jnp.array([mean]), jnp.array([deviation**2]))
    found = jnp.mean(chain.log_densities[-1] - jax.vmap(known.log_density)(chain.points[-1]))
    assert abs(float(found)) < 0.02
    assert jnp.all(jnp.diff(chain.divergences) < 0)


def test_a_chain_that_is_stopped_goes_on_in_its_step(tmp_path):
    settings = {"step": 1.0, "steps": 2, "particles": 64, "iterations": 6, "batch_size": 16}
    settings |= {"width": 8, "key": jax.random.key(0), "every": 2}
    whole = jko_chain(TARGET, START, **settings)

    class Interrupt(Exception):
        pass

    def stop(block, progress):
        if (block, progress.step) == (1, 4):
            raise Interrupt

    told, saved = [], lambda: Checkpoints(tmp_path, every=3)
    with pytest.raises(Interrupt):
        jko_chain(TARGET, START, **settings, checkpoints=saved(), record=stop)
    note = lambda block, progress: told.append((block, progress.step))
    found = jko_chain(TARGET, START, **settings, checkpoints=saved(), resume=True, record=note)
    assert told == [(1, 4), (1, 6)]
    np.testing.assert_array_equal(found.points, whole.points)
    np.testing.assert_array_equal(found.log_densities, whole.log_densities)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="`jko_chain` got step"):
        jko_chain(TARGET, START, step=0.0, steps=1, key=jax.random.key(0))
    with pytest.raises(ValueError, match="`jko_chain` got iterations"):
        jko_chain(TARGET, START, step=1.0, steps=1, iterations=0, key=jax.random.key(0))
