"""The idx format, on files made here and on the real ones where they are."""

import gzip
import hashlib
import struct

import numpy as np
import pytest

from mfgen.data import _idx, mnist, read_idx

VALUES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
HEADER = bytes([0, 0, 8, 3]) + struct.pack(">3I", 2, 3, 4)


def test_values_and_shape_are_read(tmp_path):
    path = tmp_path / "values"
    path.write_bytes(HEADER + VALUES.tobytes())
    np.testing.assert_array_equal(read_idx(path), VALUES)


def test_big_endian_floats_are_read(tmp_path):
    path = tmp_path / "floats"
    path.write_bytes(bytes([0, 0, 13, 1]) + struct.pack(">I2f", 2, 1.5, -2.0))
    np.testing.assert_array_equal(read_idx(path), [1.5, -2.0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89PNG" + VALUES.tobytes(), "starts with bytes 89504e47, expected an idx header"),
        (b"\0\0", "starts with bytes 0000, expected"),
        (bytes([0, 0, 7, 3]) + HEADER[4:], "starts with bytes 00000703"),
        (HEADER[:8], "starts with bytes 00000803"),
        (HEADER + VALUES.tobytes()[:-1], r"has 23 bytes of values, expected 24 .*cut or changed"),
        (HEADER + VALUES.tobytes() + b"\0", "has 25 bytes of values, expected 24"),
        (bytes([0, 0, 8, 3]) + b"\xff" * 12, "has 0 bytes of values"),
    ],
)
def test_damaged_files_are_refused(tmp_path, content, message):
    path = tmp_path / "damaged"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_idx(path)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A data set laid out like MNIST, one file of it not compressed, with its own digests."""
    rng = np.random.default_rng(0)
    digests = []
    for stem, count in zip(_idx._FILES, (40, 40, 8, 8), strict=True):
        shape = (count, 28, 28) if "images" in stem else (count,)
        values = rng.integers(0, 256 if "images" in stem else 10, shape, np.uint8)
        content = bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)
        content += values.tobytes()
        if "t10k" in stem:
            (tmp_path / f"{stem}-ubyte").write_bytes(content)
        else:
            (tmp_path / f"{stem}-ubyte.gz").write_bytes(gzip.compress(content))
        digests.append(hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(_idx, "_MNIST", tuple(digests))
    return tmp_path


def test_a_small_set_is_split_dequantised_and_scaled(small):
    data = mnist(small)
    assert (data.train.shape, data.validation.shape, data.test.shape) == (
        (36, 784),
        (4, 784),
        (8, 784),
    )
    assert [len(part) for part in data.labels] == [36, 4, 8]
    pixels = data.scaling.invert(data.test.astype(np.float64))
    assert pixels.min() >= 0.0
    assert pixels.max() <= 256.0
    raw = read_idx(small / "t10k-images-idx3-ubyte").reshape(8, -1)
    # Each pixel lies in [raw, raw + 1], up to the rounding of float32.
    assert np.all(abs(pixels - raw - 0.5) <= 0.5 + 1e-3)


def test_changed_and_missing_files_are_refused(small):
    path = small / "t10k-labels-idx1-ubyte"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"t10k-labels.*sha256 .* expected"):
        mnist(small)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"has no `t10k-labels-idx1-ubyte` or"):
        mnist(small)


def test_mnist_itself(real_file):
    data = mnist(real_file("mnist"))
    assert data.train.shape == (54_000, 784)
    assert data.validation.shape == (6_000, 784)
    assert data.test.shape == (10_000, 784)
    np.testing.assert_allclose(data.train[:, ::50].mean(axis=0, dtype=np.float64), 0.0, atol=1e-4)
    # The mean of MNIST is .1307 of the largest pixel value; dequantisation adds one half.
    np.testing.assert_allclose(data.scaling.mean.mean(), 0.1307 * 255 + 0.5, atol=0.1)
    np.testing.assert_array_equal(np.bincount(data.labels.test)[:3], [980, 1135, 1032])
