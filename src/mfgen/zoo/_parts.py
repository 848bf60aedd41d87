"""Small parts of games and trainings that documents name: laws and rows of the size of the data."""

import jax.numpy as jnp

from mfgen._types import Batch, Count
from mfgen.densities._gaussian import Gaussian, isotropic
from mfgen.dynamics._dynamics import positive
from mfgen.math._count import count as checked


def normal(dim: Count, *, mean: float = 0.0, deviation: float = 1.0) -> Gaussian:
    """The normal law N(mean, deviation^2 I) in so many dimensions.

    Arguments:
        dim: the dimension; in a document that of the data.
        mean: of every coordinate.
        deviation: of every coordinate.

    Raises:
        ValueError: for a deviation that is not positive.
    """
    positive("normal", "deviation", deviation)
    return isotropic(jnp.full(int(dim), float(mean)), deviation)


def first_rows(data: Batch, *, count: Count = 2000) -> Batch:
    """The first so many rows of the data, `[min(n, count), dim]`.

    Raises:
        ValueError: for a count below one.
    """
    return data[: checked("first_rows", "count", count)]
