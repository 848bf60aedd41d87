"""Every function that takes arrays reads every container: the same result, or a refusal by name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfgen as mg
from mfgen.data import _scaling, _snapshots, _validate
from mfgen.densities import _affine, _cholesky, _empirical, _energy, _gaussian, _ring, _whitened
from mfgen.math import _count
from mfgen.metrics import (
    _discrepancy,
    _estimate,
    _importance,
    _likelihood,
    _memorisation,
    _transport,
)
from mfgen.models import _smoothed
from mfgen.simulate import _weighted
from mfgen.solvers import _mmd_flow, _particle

# Whole numbers, which all containers hold exactly.
RNG = np.random.default_rng(0)
POINTS = np.unique(RNG.integers(-8, 9, (40, 2)), axis=0)[:24].astype(np.float32)
RNG.shuffle(POINTS)
KEY = jax.random.key(0)
GAME = mg.score_based(mg.dynamics.VE(0.05, 10.0), mg.Gaussian([0.0, 0.0], 20.0))
NORMAL = mg.Gaussian([0.0, 0.0], 20.0)
POTENTIAL = mg.models.Potential(lambda t, x: -NORMAL.log_density(x))
DRAWN = _weighted.Weighted(jnp.asarray(POINTS), jnp.zeros(24))
LAW = mg.metrics.PotentialDensity(
    GAME, POTENTIAL, _estimate.Estimate(0.0, 0.1), _estimate.Estimate(1.0, 0.0), DRAWN
)


class Frame:
    """What a frame of pandas or polars shows of itself."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)


CONTAINERS = {
    "float64": lambda x: x.astype(np.float64),
    "big-endian": lambda x: x.astype(">f4"),
    "big-endian integers": lambda x: x.astype(">i2"),
    "float16": lambda x: x.astype(np.float16),
    "bfloat16": lambda x: jnp.asarray(x, jnp.bfloat16),
    "bfloat16 in NumPy": lambda x: x.astype(jnp.bfloat16),
    "integers": lambda x: x.astype(np.int64),
    "lists": lambda x: x.tolist(),
    "a list of arrays": list,
    "columns of an array": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "Fortran": np.asfortranarray,
    "read-only": lambda x: np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
    "a frame": Frame,
    "an unmasked array": np.ma.masked_array,
    "JAX": jnp.asarray,
}
REFUSED = {
    "masked": lambda x: np.ma.masked_equal(x, x.flat[0]),
    "masked rows": lambda x: [np.ma.masked_equal(row, row.flat[0]) for row in x],
    "a frame with a mask": lambda x: MaskedFrame(x),
    "objects": lambda x: x.astype(object),
    "text": lambda x: x.astype(str),
    "complex": lambda x: x + 1j,
    "dates": lambda x: x.astype("M8[s]"),
    "records": lambda x: x.astype([("a", float)]),
    "ragged": lambda x: [*x.tolist(), [[1.0]]],
}


class MaskedFrame(Frame):
    def __array__(self, dtype=None, copy=None):
        return np.ma.masked_equal(self.values, self.values.flat[0])


def square(x):
    return x @ x


def descended(x):
    flow = _mmd_flow.MMDFlow(x)
    return _particle.descend(flow, x, steps=1, step=0.1, key=KEY).points


# Name of the function, what it makes of the points.
POINTED = {
    "check_samples": _validate.check_samples,
    "Empirical": lambda x: _empirical.Empirical(x).points,
    "LabelledPoints": lambda x: mg.densities.LabelledPoints(x, x).rows,
    "labelled": lambda x: mg.densities.labelled(x, x),
    "Labelled": lambda x: mg.densities.Labelled(NORMAL, x).labels,
    "GaussianMixture": lambda x: mg.GaussianMixture(np.full(24, 1 / 24), x, np.ones(24)).means,
    "SmoothedPotential": lambda x: (
        _smoothed.SmoothedPotential(GAME.dynamics.noising, x, np.eye(2)).centres
    ),
    "kernel_estimate": lambda x: mg.models.kernel_estimate(GAME, x).centres,
    "proximal_kernel": lambda x: mg.models.proximal_kernel(GAME, x, reach=1.0, width=0.5).centres,
    "kernel_potential": lambda x: (
        mg.models.kernel_potential(GAME, x, components=3, key=KEY).centres
    ),
    "mixture_estimate": lambda x: (
        mg.models.mixture_estimate(GAME, x, components=2, starts=1, key=KEY).centres
    ),
    "log_prob": lambda x: mg.log_prob(GAME, POTENTIAL, x, method="one_shot"),
    "descend": descended,
    "check_energy": lambda x: _energy.check_energy("f", square, x),
    "Standardise": lambda x: _scaling.Standardise(np.ones(2), np.full(2, 2.0)).apply(x),
    "Whiten": lambda x: _scaling.Whiten(np.ones(2), np.eye(2)).apply(x),
    "logistic_posterior": lambda x: (
        mg.densities.logistic_posterior(x, np.arange(24) % 2).energy.design
    ),
    "mmd2": lambda x: _discrepancy.mmd2(x, POINTS[::-1] + 1),
    "energy_distance": lambda x: _discrepancy.energy_distance(x, POINTS + 1),
    "median_distance": _discrepancy.median_distance,
    "wasserstein2": lambda x: _transport.wasserstein2(x, POINTS + 1),
    "sliced_wasserstein2": lambda x: _transport.sliced_wasserstein2(
        x, POINTS + 1, key=KEY, projections=8
    ),
    "memorisation_ratio": lambda x: _memorisation.memorisation_ratio(x, POINTS + 1, POINTS + 3),
    "log_weights": lambda x: _importance.log_weights(NORMAL, np.zeros(24), x),
    "kl": lambda x: _likelihood.kl(NORMAL, np.zeros(24), x),
    "correct": lambda x: mg.simulate.correct(GAME, POTENTIAL, x, key=KEY, steps=1, warmup=1).points,
    "one_evaluation_kl": lambda x: mg.metrics.one_evaluation_kl(NORMAL, LAW, x),
}
# The same for other arrays than points, with the array.
COVARIANCE = np.array([[4.0, 1.0], [1.0, 2.0]], np.float32)
VECTOR = np.array([3.0, 1.0], np.float32)
OTHERS = {
    "Gaussian": (lambda c: _gaussian.Gaussian([0.0, 0.0], c).moments(), COVARIANCE),
    "Gaussian's mean": (lambda m: _gaussian.Gaussian(m).log_density(jnp.ones(2)), VECTOR),
    "CholeskyGaussian": (lambda c: _cholesky.CholeskyGaussian([0, 0], c).moments(), COVARIANCE),
    "Affine": (lambda s: _affine.Affine(NORMAL, s).moments(), VECTOR),
    "Whitened": (lambda m: _whitened.Whitened(NORMAL, m, np.eye(2)).moments(), VECTOR),
    "Rings": (lambda r: _ring.Rings(r, 0.5).moments(), VECTOR),
    "effective_sample_size": (mg.metrics.effective_sample_size, VECTOR),
    "log_normaliser": (mg.metrics.log_normaliser, VECTOR),
    "check_snapshots": (
        lambda x: _snapshots.check_snapshots("f", x, [0.0, 1.0]),
        np.stack([POINTS, POINTS + 1]),
    ),
}
# By these few alone where the function takes long: all read their points by `check_samples`.
FEW = ("big-endian integers", "bfloat16", "a frame")
LONG = ("mixture_estimate", "kernel_potential", "kernel_estimate", "descend")
ALL = {name: (f, POINTS) for name, f in POINTED.items()} | OTHERS


@pytest.mark.parametrize("name", ALL)
def test_every_container_gives_the_result_of_plain_floats(name):
    function, values = ALL[name]
    plain = jax.tree.leaves(function(values))
    for kind in FEW if name in LONG else CONTAINERS:
        found = jax.tree.leaves(function(CONTAINERS[kind](values)))
        for a, b in zip(plain, found, strict=True):
            np.testing.assert_allclose(
                np.asarray(b, float), np.asarray(a, float), rtol=1e-5, atol=1e-5, err_msg=kind
            )


@pytest.mark.parametrize("name", ALL)
def test_what_is_no_array_of_numbers_is_refused_by_name(name):
    function, values = ALL[name]
    for kind, container in REFUSED.items():
        with pytest.raises(ValueError, match=r"`.*(masked|expected real numbers|no array)") as why:
            function(container(values))
        assert "\n" not in str(why.value), kind


def test_classes_are_whole_numbers_in_any_container():
    plain = mg.densities.one_hot([0, 2, 1], 3)
    for container in (np.array([0, 2, 1], ">i4"), np.array([0.0, 2.0, 1.0]), np.uint8([0, 2, 1])):
        np.testing.assert_array_equal(mg.densities.one_hot(container, np.int64(3)), plain)
    with pytest.raises(ValueError, match="masked"):
        mg.densities.one_hot(np.ma.masked_equal([0, 2, 1], 2), 3)


def test_traced_arrays_pass_as_they_are():
    traced = jax.jit(lambda x: (mg.Empirical(x).points, mg.Gaussian([x[0, 0], 1.0]).mean))
    points, mean = traced(jnp.asarray(POINTS))
    np.testing.assert_array_equal(points, POINTS)
    np.testing.assert_array_equal(mean, [POINTS[0, 0], 1.0])


# What each count is of, and the least number that is one.
COUNTS = {
    "RungeKutta4": lambda n: mg.simulate.RungeKutta4(n).steps,
    "EulerMaruyama": lambda n: mg.simulate.EulerMaruyama(n).steps,
    "Adaptive": lambda n: mg.simulate.Adaptive(max_steps=n).max_steps,
    "sample": lambda n: mg.sample(
        GAME, POTENTIAL, n, key=KEY, method=mg.simulate.EulerMaruyama(2), chunk=n
    ),
    "lipschitz_critic": lambda n: mg.models.lipschitz_critic(2, depth=n, key=KEY).layers,
    "one_hot": lambda n: mg.densities.one_hot(1, n),
    "Unnormalised": lambda n: mg.Unnormalised(lambda x: x @ x, n).dim,
    "kernel_potential": lambda n: mg.models.kernel_potential(GAME, POINTS, components=n, key=KEY),
    "mixture_estimate": lambda n: mg.models.mixture_estimate(
        GAME, POINTS, components=n, starts=n, key=KEY
    ),
    "descend": lambda n: (
        _particle.descend(
            _mmd_flow.MMDFlow(POINTS), POINTS, steps=n, every=n, step=0.1, key=KEY
        ).points
    ),
}


@pytest.mark.parametrize("name", COUNTS)
def test_counts_of_numpy_are_counts_and_truth_values_are_none(name):
    plain = jax.tree.leaves(COUNTS[name](2))
    found = jax.tree.leaves(COUNTS[name](np.int64(2)))
    for a, b in zip(plain, found, strict=True):
        assert np.shape(a) == np.shape(b)
    for wrong in (True, 0):
        with pytest.raises(ValueError, match=rf"= {wrong}.* expected"):
            COUNTS[name](wrong)


def test_whole_numbers_are_told_by_their_type():
    for two in (2, np.int64(2), np.uint8(2), np.array(2), jnp.array(2)):
        assert _count.count("f", "n", two) == 2
        assert type(_count.count("f", "n", two)) is int
    for wrong in (True, np.True_, jnp.array(True), 2.0, np.float32(2), "2", [2], None, 0):
        with pytest.raises(ValueError, match=r"`f` got n = .*, expected a positive integer"):
            _count.count("f", "n", wrong)
