"""A data set ready for training: split with a fixed seed, standardised by its training part.

Nothing of the validation and test parts enters the scaling. Likelihoods in original units are
likelihoods in standardised units plus `scaling.log_jacobian`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from mfgen.data._repeats import distinct
from mfgen.data._scaling import Standardise

Labels = Int[np.ndarray, "n"]


class Partition(NamedTuple):
    """Labels of the three parts of a data set."""

    train: Labels
    validation: Labels
    test: Labels


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples in standardised units, float32.

    Arguments:
        name: for reports.
        train, validation, test: `[n, dim]` each.
        scaling: the map from original to standardised units.
        labels: classes of the three parts, or None.
        columns: names of the features.
        width: `[dim]`, widths of the uniform noise added to undo rounding; 0 where none was added.
    """

    name: str
    train: Float[np.ndarray, "n_train dim"]
    validation: Float[np.ndarray, "n_validation dim"]
    test: Float[np.ndarray, "n_test dim"]
    scaling: Standardise
    labels: Partition | None
    columns: tuple[str, ...]
    width: Float[np.ndarray, "dim"]

    @property
    def dim(self) -> int:
        """Return the number of features."""
        return self.train.shape[1]


def partition(
    count: int,
    fractions: tuple[float, float] = (0.1, 0.1),
    *,
    seed: int = 0,
    groups: Int[np.ndarray, "n"] | None = None,
) -> list[np.ndarray]:
    """Return indices of the train, validation and test parts of a shuffled data set.

    Arguments:
        count: number of samples.
        fractions: of the validation and of the test part; a positive one gets a sample at least.
        seed: of the shuffle.
        groups: `[count]`, a number for each sample; those of one number stay in one part, whose
            size is the nearest to its fraction.

    Raises:
        ValueError: if fewer than two samples, or groups, are left to train on.
    """
    sizes = [max(1, round(fraction * count)) if fraction > 0 else 0 for fraction in fractions]
    if min(fractions) < 0 or count - sum(sizes) < 2:
        raise ValueError(
            f"`partition` got {count} samples and fractions {fractions}, expected 2 samples left "
            "to train on: pass more samples or smaller fractions."
        )
    order = np.random.default_rng(seed).permutation(count)
    cuts = [count - sum(sizes), count - sizes[1]]
    if groups is None:
        return np.split(order, cuts)
    blocks = distinct(groups[order][:, None])
    order, blocks = order[np.argsort(blocks, kind="stable")], np.sort(blocks)
    edges = np.searchsorted(blocks, np.arange(blocks[-1] + 2))
    first, second = (int(np.argmin(np.abs(edges - cut))) for cut in cuts)
    second = min(second, len(edges) - 1 - (sizes[1] > 0))
    first = min(first, second - (sizes[0] > 0))
    if first < 2:
        raise ValueError(
            f"`partition` got {len(edges) - 1} distinct samples among {count} and fractions "
            f"{fractions}, expected 2 of them left to train on: pass more samples or smaller "
            "fractions."
        )
    return np.split(order, edges[[first, second]])


def standardised(
    name: str,
    parts: Sequence[Float[np.ndarray, "_ dim"]],
    *,
    width: Float[np.ndarray, "dim"],
    labels: Sequence[np.ndarray] | None = None,
    columns: Sequence[str] | None = None,
    shared: bool = False,
) -> Dataset:
    """Return the data set of three parts given in original units.

    Arguments:
        name: for reports.
        parts: train, validation and test samples, `[n, dim]` each.
        width: `[dim]`, the widths of dequantisation already applied.
        labels: classes of the three parts.
        columns: names of the features; `x0`, `x1`, ... if None.
        shared: one scale for all features, for images.
    """
    scaling = Standardise.fit(parts[0], shared=shared)
    train, validation, test = (
        np.asarray(scaling.apply(part), np.float32) if part.size else part.astype(np.float32)
        for part in parts
    )
    names = tuple(columns) if columns else tuple(f"x{i}" for i in range(train.shape[1]))
    classes = None if labels is None else Partition(*(part.astype(np.int32) for part in labels))
    return Dataset(name, train, validation, test, scaling, classes, names, width)
