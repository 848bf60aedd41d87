"""Small real data sets that come with scikit-learn: no file, no network.

Every one was recorded with finite resolution, so it is dequantised, and the densities reported are
those of the dequantised data:

- `digits`: integers 0, ..., 16 for each of 8 x 8 pixels, plus U(0, 1). Some pixels are always 0;
  after dequantisation they are uniform noise of width 1, not constants.
- `iris`, `wine`, `diabetes`, `breast_cancer`: each feature in which a value repeats gets
  U(-w/2, w/2), w the smallest gap between two of its values (`Dataset.width`).

scikit-learn is imported when a data set is asked for.
"""

from typing import Any

import numpy as np

from mfgen.data._dataset import Dataset, partition, standardised
from mfgen.data._dequantise import dequantise, resolution
from mfgen.data._repeats import together
from mfgen.data._validate import check_samples


def digits(*, seed: int = 0) -> Dataset:
    """Return 1,797 images of 8 x 8 pixels, dim 64, with the digits as labels.

    All pixels share one scale, so that distances between images keep their geometry.

    Arguments:
        seed: of the dequantisation and of the split.

    References:
        E. Alpaydin, C. Kaynak, Optical recognition of handwritten digits, UCI (1998).
    """
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    width = np.ones(64)
    return _dataset("digits", bunch, bunch.data + 0.5, width, bunch.target, seed, shared=True)


def iris(*, seed: int = 0) -> Dataset:
    """Return 150 flowers, dim 4 (centimetres), with the species as labels.

    References:
        R. A. Fisher, The use of multiple measurements in taxonomic problems (1936).
    """
    from sklearn.datasets import load_iris

    return _table("iris", load_iris(), seed)


def wine(*, seed: int = 0) -> Dataset:
    """Return 178 wines, dim 13 (chemical analysis), with the cultivar as labels.

    References:
        S. Aeberhard, M. Forina, Wine, UCI (1992).
    """
    from sklearn.datasets import load_wine

    return _table("wine", load_wine(), seed)


def diabetes(*, seed: int = 0) -> Dataset:
    """Return 442 patients, dim 10 (raw measurements, not the scaled ones), without labels.

    References:
        B. Efron, T. Hastie, I. Johnstone, R. Tibshirani, Least angle regression (2004).
    """
    from sklearn.datasets import load_diabetes

    return _table("diabetes", load_diabetes(scaled=False), seed, labelled=False)


def breast_cancer(*, seed: int = 0) -> Dataset:
    """Return 569 tumours, dim 30 (shape of cell nuclei), with the diagnosis as labels.

    References:
        W. Wolberg et al., Breast cancer Wisconsin (diagnostic), UCI (1995).
    """
    from sklearn.datasets import load_breast_cancer

    return _table("breast_cancer", load_breast_cancer(), seed)


def _table(name: str, bunch: Any, seed: int, *, labelled: bool = True) -> Dataset:
    samples = check_samples(bunch.data, name=name, standardised_later=True)
    labels = bunch.target if labelled else None
    return _dataset(name, bunch, samples, resolution(samples), labels, seed)


def _dataset(
    name: str,
    bunch: Any,
    samples: np.ndarray,
    width: np.ndarray,
    labels: np.ndarray | None,
    seed: int,
    *,
    shared: bool = False,
) -> Dataset:
    noisy = dequantise(samples, width, rng=np.random.default_rng(seed))
    parts = partition(len(noisy), seed=seed, groups=together(samples))
    return standardised(
        name,
        [noisy[part] for part in parts],
        width=width,
        labels=None if labels is None else [labels[part] for part in parts],
        columns=[str(column) for column in bunch.feature_names],
        shared=shared,
    )
