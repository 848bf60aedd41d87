"""What the door for arrays lets in, refuses, and says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfgen as mg
from mfgen.data._validate import check_samples
from mfgen.math import _entry

RNG = np.random.default_rng(0)


def test_integers_become_floats_that_hold_them():
    assert _entry.real(np.array([2**24]), "f").dtype == np.float32
    large = _entry.real(np.array([2**24 + 1, 2**40 + 1]), "f")
    np.testing.assert_array_equal(large, [2**24 + 1, 2**40 + 1])
    assert _entry.real(np.array([True, False]), "f").tolist() == [1.0, 0.0]


def test_only_a_mask_that_hides_something_is_refused():
    plain = np.ma.masked_array([1.0, 2.0], [False, False])
    assert _entry.real(plain, "f").tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match=r"`f` got x with 1 masked values, expected none"):
        _entry.real(np.ma.masked_array([1.0, -999.0], [False, True]), "`f` got x with")


def test_what_has_only_to_numpy_is_read():
    class Series:
        def to_numpy(self):
            return np.array([1, 2], ">i8")

    assert _entry.real(Series(), "f").tolist() == [1.0, 2.0]


def test_what_cannot_be_read_is_named_with_its_reason():
    class Tensor:
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("call detach() first\nand more")

    with pytest.raises(ValueError, match=r"^f a `Tensor` that is no array \(call detach"):
        _entry.real(Tensor(), "f")


@pytest.mark.parametrize(
    ("offset", "scale", "fine"),
    [
        (0.0, 1.0, True),
        (1e5, 1.0, True),
        (1e6, 1.0, False),
        (1.7e9, 3600.0, False),
        (1e9, 1e-3, False),
        (1e9, 1e7, True),
        (0.0, 1e-25, False),  # its square is zero
        (0.0, 1e-17, True),
    ],
)
def test_single_precision_has_to_resolve_a_deviation(offset, scale, fine):
    points = offset + scale * RNG.normal(size=(50, 1))
    for kind in (points, points.astype(np.longdouble)):
        if fine:
            check_samples(kind)
            mg.Empirical(kind)
            continue
        advice = "subtract the mean" if offset else "smaller units"
        for take in (check_samples, mg.Empirical):
            with pytest.raises(ValueError, match=advice):
                take(kind)


def test_constants_and_single_points_are_resolved_wherever_they_are():
    mg.Empirical(np.full((3, 1), 1.7e9 + 0.1))
    mg.Empirical([[1.7e9 + 0.1]])
    # Particles that have gathered lose nothing when they are single already.
    mg.Empirical(np.float32([[1e6], [1e6 + 0.0625]]))


def test_a_normal_law_has_to_be_resolved():
    mg.Gaussian([1e5, 0.0], [1.0, 1e-12])
    for made in (
        lambda: mg.Gaussian([1e8], 1.0),
        lambda: mg.GaussianMixture([0.5, 0.5], [[0.0], [1e8]], [1.0, 1.0]),
    ):
        with pytest.raises(ValueError, match=r"coordinate 1e\+08, .* shift the coordinates"):
            made()


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_read_and_then_left(dtype):
    # 0.3 in half precision is another number, but that number's log-density is exact.
    mean = jnp.asarray([0.3, 100.0], dtype)
    x = jnp.asarray([0.7, 101.0], dtype)
    exact = np.asarray(x, float) - np.asarray(mean, float)
    expected = -0.5 * exact @ exact - np.log(2 * np.pi)
    for law in (mg.Gaussian(mean), mg.Gaussian(np.asarray(mean))):
        assert law.log_density(x) == pytest.approx(expected, rel=1e-6)
        assert jax.jit(lambda x, law=law: law.log_density(x))(x) == pytest.approx(
            expected, rel=1e-6
        )
    board = mg.densities.checkerboard().noised(1.0, 0.5)
    near = board.log_density(x[:2] / 100)
    assert near == pytest.approx(float(board.log_density((x[:2] / 100).astype(jnp.float32))))


@pytest.mark.parametrize(
    "law",
    [
        mg.Gaussian([0.0, 0.0]),
        mg.densities.checkerboard(),
        mg.densities.rings(),
        mg.densities.pinwheel(),
        mg.Unnormalised(lambda x: x @ x, 2),
        mg.densities.Product((mg.Gaussian([0.0]), mg.Gaussian([1.0]))),
    ],
)
@pytest.mark.parametrize("shape", [(1,), (4,)])
def test_a_point_of_another_space_has_no_density(law, shape):
    with pytest.raises(ValueError, match=r"got a point of shape .*, expected \(2,\)"):
        law.log_density(jnp.zeros(shape))


def test_a_container_that_fails_without_a_word_is_refused_by_name():
    class Mute:
        def __array__(self, dtype=None, copy=None):
            raise NotImplementedError

    with pytest.raises(ValueError, match=r"`Mute` that is no array .it raises NotImplementedError"):
        _entry.given(Mute(), "`data` is")
