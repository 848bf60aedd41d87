"""Splits of data into a part to estimate from and a part to judge the estimate by.

K-fold cross-validation judges every point once, by an estimate from the other folds. Of many points
a random few are enough: the mean log-likelihood of N points has the error std / sqrt(N), and what
is compared is judged at the same ones, so that most of the error cancels.

Rows that repeat, as those of classes that were drawn more often to balance them, stay together: a
point that is judged by its own copy is known, and the narrowest estimate would win.
"""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from mfgen._types import Given, Key
from mfgen.data._repeats import distinct
from mfgen.data._validate import check_samples
from mfgen.dynamics._noising import AbstractNoising
from mfgen.games._game import MFG
from mfgen.models._precondition import precondition

Points = Float[np.ndarray, "_ dim"]


class Split(NamedTuple):
    """Points to estimate from and points to judge by, `[n, dim]` and `[k, dim]`."""

    train: Points
    held_out: Points


def data_of(owner: str, game: MFG, data: Given, folds: int) -> tuple[AbstractNoising, Points]:
    """The noising of a score-based game and its data, refused where they do not fit it."""
    scaling = precondition(game)
    points = check_samples(data, name="data").astype(np.float64)
    if points.shape[1] != len(scaling.mean):
        raise ValueError(
            f"`{owner}` got data of {points.shape[1]} features for a game in {len(scaling.mean)} "
            "dimensions, expected as many: declare the game with these data."
        )
    _check_folds(owner, points, folds)
    return scaling.noising, points


def _check_folds(owner: str, points: Points, count: int) -> None:
    """Raises in the name of `owner` unless each part leaves two points to estimate from."""
    number = int(distinct(points).max()) + 1
    if not 2 <= count <= number - 1:
        repeated = "" if number == len(points) else f", {number} of them distinct"
        raise ValueError(
            f"`{owner}` got folds = {count} for {len(points)} samples{repeated}, expected from 2 "
            "to one less than there are distinct samples: pass folds=5, or more data."
        )


def folds(points: Points, count: int, rng: np.random.Generator, *, judged: int) -> list[Split]:
    """K-fold splits; about `judged` random points are judged in all if there are more."""
    group = distinct(points)
    order = rng.permutation(group.max() + 1)
    most = -(-judged // count)
    return [_split(points, group, part, most) for part in np.array_split(order, count)]


def holdout(points: Points, rng: np.random.Generator, *, fraction: float, most: int) -> list[Split]:
    """One split that holds out a fraction, of at most `most` random points."""
    few = points[rng.permutation(len(points))[:most]]
    group = distinct(few)
    count = max(1, round(fraction * (group.max() + 1)))
    return [_split(few, group, np.arange(count), len(few))]


def _split(points: Points, group: np.ndarray, part: np.ndarray, most: int) -> Split:
    """The groups of a part held out, in their order, but no more points than `most`."""
    place = np.full(group.max() + 1, -1)
    place[part] = np.arange(len(part))
    rows = np.argsort(place[group], kind="stable")
    held_out = rows[np.count_nonzero(place[group] < 0) :]
    return Split(points[place[group] < 0], points[held_out[:most]])


def generator(key: Key | None) -> np.random.Generator:
    """Random numbers of NumPy that follow from a key; the same ones each time without a key."""
    seed = 0 if key is None else int(jax.random.randint(key, (), 0, 2**31 - 1))
    return np.random.default_rng(seed)
