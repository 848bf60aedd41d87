"""Standardisation, and the change of variables that takes likelihoods back to original units.

With y = (x - mean) / scale a model of y with density rho_Y is the model of x with

    log rho_X(x) = log rho_Y(y) + log |dy/dx| = log rho_Y(y) - sum_i log scale_i.

Images take one scale for all pixels, so that distances between images keep their meaning; tables,
whose columns have their own units, take one scale for each feature.

The mean is subtracted in two parts, the second what is left of it when it is cast, so that samples
far from zero lose nothing on the way to standardised units. On the way back they come in float64
where float32 would not tell them apart at their place, such as times in seconds since 1970.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from mfgen._types import Given
from mfgen.math import _entry

Samples = Float[np.ndarray, "n dim"] | Float[jax.Array, "n dim"]


class Outside(NamedTuple):
    """How far samples lie from those that a scaling was fitted to.

    Attributes:
        rows: how many have a coordinate that is far.
        row, column, deviations: the farthest coordinate of all, and how far it is.
    """

    rows: int
    row: int
    column: int
    deviations: float


@dataclass(frozen=True, eq=False)
class Standardise:
    """The map x -> (x - mean) / scale on a batch of samples.

    Arguments:
        mean: `[dim]`, in original units.
        scale: `[dim]`, positive, in original units.
    """

    mean: Float[np.ndarray, "dim"]
    scale: Float[np.ndarray, "dim"]

    @staticmethod
    def fit(samples: Float[np.ndarray, "n dim"], *, shared: bool = False) -> "Standardise":
        """Return the map that gives these samples mean zero and unit variance.

        Arguments:
            samples: the training samples, and no others.
            shared: one scale for all features, the root of their mean variance.

        Raises:
            ValueError: if a feature, or with `shared` every feature, is constant.
        """
        mean = samples.mean(axis=0, dtype=np.float64)
        variance = samples.var(axis=0, dtype=np.float64)
        if shared:
            variance = np.full_like(variance, variance.mean())
        if not np.all(variance > 0.0):
            raise ValueError(
                f"`Standardise` got training samples constant in feature {int(variance.argmin())}, "
                "expected it to vary: drop the feature or train on more samples."
            )
        return Standardise(mean, np.sqrt(variance))

    @property
    def log_jacobian(self) -> float:
        """Return log |dy/dx|, to be added to a log density of y to get the one of x."""
        return -float(np.log(self.scale).sum())

    def apply(self, samples: Given) -> Samples:
        """Map samples `[n, dim]` from original to standardised units."""
        points = _entry.given(samples, "`Standardise` got samples with")
        mean = self.mean.astype(points.dtype)
        rest = self.mean - mean
        centred = (points - mean[None, :]) - self._as(rest, points)
        return centred / self._as(self.scale, points)

    def invert(self, samples: Given) -> Samples:
        """Map samples `[n, dim]` from standardised to original units.

        Those that their own precision does not resolve there come as float64, in NumPy.
        """
        points = _entry.given(samples, "`Standardise` got samples with")
        eps, tiny = (float(getattr(jnp.finfo(points.dtype), name)) for name in ("eps", "tiny"))
        coarse = np.abs(self.mean) * eps * _entry.STEPS > self.scale
        if coarse.any() or (self.scale < tiny / eps).any():
            points = np.asarray(points, np.float64)
        return points * self._as(self.scale, points) + self._as(self.mean, points)

    def outside(self, samples: Samples, *, deviations: float = 20.0) -> "Outside":
        """Count the samples that are far from those of the fit, coordinate by coordinate.

        Arguments:
            samples: `[n, dim]`, in original units.
            deviations: what is far, in units of `scale`; among n samples of the fit itself the
                farthest possible is the root of n.
        """
        if not len(samples):
            return Outside(0, 0, 0, 0.0)
        away = np.abs((np.asarray(samples, np.float64) - self.mean[None]) / self.scale[None])
        row, column = np.unravel_index(int(np.argmax(away)), away.shape)
        rows = int(np.sum((away > deviations).any(axis=1)))
        return Outside(rows, int(row), int(column), float(away[row, column]))

    @staticmethod
    def _as(values: np.ndarray, samples: Samples) -> np.ndarray:
        # In the precision of the samples: a float32 data set is not doubled on the way.
        return values.astype(samples.dtype)[None, :]


@dataclass(frozen=True, eq=False)
class Whiten:
    """The map x -> F^-1 (x - mean) on a batch of samples, to coordinates without correlations.

    Arguments:
        mean: `[dim]`, in original units.
        factor: F, `[dim, dim]`, lower triangular with a positive diagonal, such as the Cholesky
            factor of a covariance.
    """

    mean: Float[np.ndarray, "dim"]
    factor: Float[np.ndarray, "dim dim"]

    @property
    def log_jacobian(self) -> float:
        """Return log |dy/dx|, to be added to a log density of y to get the one of x."""
        return -float(np.log(np.diagonal(self.factor)).sum())

    def apply(self, samples: Given) -> Float[np.ndarray, "n dim"]:
        """Map samples `[n, dim]` from original to whitened units."""
        centred = _entry.real(samples, "`Whiten` got samples with") - self.mean[None]
        return np.linalg.solve(self.factor, centred.T).T.astype(centred.dtype)

    def invert(self, samples: Samples) -> Float[np.ndarray, "n dim"]:
        """Map samples `[n, dim]` from whitened to original units."""
        return np.asarray(samples) @ self.factor.T + self.mean[None]
