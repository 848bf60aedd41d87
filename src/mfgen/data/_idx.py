"""Images in the idx format: MNIST and Fashion-MNIST.

An idx file is two zero bytes, a byte for the type, a byte for the number of axes, the axes as
big-endian 32-bit integers, then the values. Pixels are integers 0, ..., 255; they are dequantised
by U(0, 1) and share one scale. Files are verified by the sha256 of their raw content.

References: Y. LeCun, C. Cortes, C. Burges, MNIST (1998); H. Xiao, K. Rasul, R. Vollgraf,
Fashion-MNIST (2017), arXiv 1708.07747.
"""

import math
import struct
from pathlib import Path

import numpy as np
from jaxtyping import Float

from mfgen.data._checksum import read_content
from mfgen.data._dataset import Dataset, partition, standardised

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_FILES = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
_MNIST = (
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
)
_FASHION = (
    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
)


def mnist(directory: str | Path, *, seed: int = 0) -> Dataset:
    """Return 60,000 + 10,000 handwritten digits of 28 x 28 pixels, dim 784, with labels.

    A tenth of the training images, chosen by `seed`, is the validation part; the test images are
    the published ones.

    Arguments:
        directory: where the four idx files lie, compressed (`.gz`) or not.
        seed: of the dequantisation and of the split.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if one is not the known one.
    """
    return _images("mnist", directory, _MNIST, seed)


def fashion_mnist(directory: str | Path, *, seed: int = 0) -> Dataset:
    """Return 60,000 + 10,000 pictures of clothes of 28 x 28 pixels; the rest is as for `mnist`."""
    return _images("fashion_mnist", directory, _FASHION, seed)


def read_idx(path: str | Path, *, sha256: str | None = None) -> np.ndarray:
    """Return the array of an idx file, compressed (`.gz`) or not.

    Arguments:
        path: the file.
        sha256: the digest that the raw content must have; None to skip the check.

    Raises:
        ValueError: if the file is no idx file, is truncated, or has another digest.
    """
    return as_array(path, read_content(path, sha256=sha256))


def as_array(path: str | Path, content: bytes) -> np.ndarray:
    """Return the array in the content of an idx file; the rest is as for `read_idx`."""
    axes = content[3] if len(content) >= 4 else 0
    start = 4 + 4 * axes
    if content[:2] != b"\0\0" or axes == 0 or content[2] not in _TYPES or len(content) < start:
        raise ValueError(
            f"`{path}` starts with bytes {content[:4].hex()}, expected an idx header 0000 TT NN: "
            "pass an idx file."
        )
    shape = struct.unpack(f">{axes}I", content[4:start])
    dtype = np.dtype(_TYPES[content[2]])
    expected = math.prod(shape) * dtype.itemsize
    if len(content) - start != expected:
        raise ValueError(
            f"`{path}` has {len(content) - start} bytes of values, expected {expected} for shape "
            f"{shape}: the file is cut or changed, fetch it again."
        )
    return np.frombuffer(content, dtype, offset=start).reshape(shape)


def _images(name: str, directory: str | Path, digests: tuple[str, ...], seed: int) -> Dataset:
    paths = [_find(Path(directory), stem) for stem in _FILES]
    arrays = [read_idx(path, sha256=digest) for path, digest in zip(paths, digests, strict=True)]
    images, labels, test_images, test_labels = arrays
    rng = np.random.default_rng(seed)
    train, validation, _ = partition(len(images), (0.1, 0.0), seed=seed)
    return standardised(
        name,
        [_dequantised(part, rng) for part in (images[train], images[validation], test_images)],
        width=np.ones(images[0].size),
        labels=[labels[train], labels[validation], test_labels],
        shared=True,
    )


def _find(directory: Path, stem: str) -> Path:
    for name in (f"{stem}-ubyte.gz", f"{stem}-ubyte"):
        if (directory / name).is_file():
            return directory / name
    raise FileNotFoundError(
        f"`{directory}` has no `{stem}-ubyte` or `{stem}-ubyte.gz`: pass the directory of the four "
        "idx files."
    )


def _dequantised(images: np.ndarray, rng: np.random.Generator) -> Float[np.ndarray, "n dim"]:
    # In float32 and in place: the training images in float64 would take 340 MB.
    noisy = rng.random((len(images), images[0].size), dtype=np.float32)
    noisy += images.reshape(len(images), -1)
    return noisy
