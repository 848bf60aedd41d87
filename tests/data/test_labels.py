"""Labels stay with their samples."""

import gzip
import hashlib
import struct

import numpy as np
from sklearn import datasets

from mfgen.data import _embedded, _idx, mnist


def test_labels_stay_with_their_samples():
    data, bunch = _embedded.iris(), datasets.load_iris()
    known = {tuple(row): label for row, label in zip(bunch.data, bunch.target, strict=True)}
    for part, labels in zip((data.train, data.validation, data.test), data.labels, strict=True):
        rows = np.round(data.scaling.invert(part.astype(np.float64)), 1)
        assert [known[tuple(row)] for row in rows] == list(labels)


def test_labels_stay_with_their_images(tmp_path, monkeypatch):
    """Every pixel of an image holds ten times its label."""
    digests = []
    for stem, count in zip(_idx._FILES, (40, 40, 8, 8), strict=True):
        labels = np.random.default_rng(count).integers(0, 10, count, np.uint8)
        shape = (count, 28, 28) if "images" in stem else (count,)
        values = np.broadcast_to(10 * labels[:, None, None], shape) if "images" in stem else labels
        content = bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)
        content += values.tobytes()
        (tmp_path / f"{stem}-ubyte.gz").write_bytes(gzip.compress(content))
        digests.append(hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(_idx, "_MNIST", tuple(digests))
    data = mnist(tmp_path)
    for part, labels in zip((data.train, data.validation, data.test), data.labels, strict=True):
        pixels = data.scaling.invert(part.astype(np.float64)).mean(axis=1)
        np.testing.assert_array_equal(np.round((pixels - 0.5) / 10), labels)
