"""Bad samples are refused at the door, each with the place and the fix."""

import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.data._validate import check_samples

GOOD = np.arange(6.0).reshape(3, 2)


def test_good_samples_pass_unchanged():
    checked = check_samples(GOOD)
    np.testing.assert_array_equal(checked, GOOD)
    assert checked.dtype == np.float64


@pytest.mark.parametrize("samples", [GOOD.astype(int), GOOD.tolist(), GOOD.astype(np.uint8)])
def test_integers_and_lists_become_floats(samples):
    assert check_samples(samples).dtype.kind == "f"


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_jax_arrays_become_numpy_arrays(dtype):
    checked = check_samples(jnp.asarray(GOOD, dtype))
    assert isinstance(checked, np.ndarray)
    np.testing.assert_array_equal(checked, GOOD)


def changed(index, value):
    samples = GOOD.copy()
    samples[index] = value
    return samples


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (
            changed((1, 0), np.nan),
            r"1 values that are NaN or infinite, the first at \[1, 0\]: drop",
        ),
        (changed((slice(1, 3), 1), np.inf), r"2 values .* the first at \[1, 1\]"),
        (GOOD[:, 0], r"shape \(3,\), expected \[n, dim\]: pass `x\[:, None\]`"),
        (GOOD.reshape(1, 3, 2), r"shape \(1, 3, 2\), expected \[n, dim\]: pass one slice"),
        (GOOD[:1], "has 1 samples of 2 features, expected at least 2"),
        (changed((slice(None), 1), 7.0), "constant in feature 1, expected it to vary: drop"),
        (np.ones((3, 12)), r"constant in feature 0, 1, .*7, \.\.\., expected"),
        (np.zeros((0, 2)), r"is empty \(shape \(0, 2\)\)"),
        (GOOD.astype(object), "dtype object, expected real numbers: convert"),
        (GOOD.astype(str), "dtype <U32, expected real numbers"),
        (GOOD + 1j, "dtype complex128, expected real numbers"),
    ],
)
def test_bad_samples_are_refused_in_one_line(samples, message):
    with pytest.raises(ValueError, match=rf"^`batch` .*{message}") as caught:
        check_samples(samples, name="batch")
    assert "\n" not in str(caught.value)
