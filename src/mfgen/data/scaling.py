"""Standardisation, and the change of variables that takes likelihoods back to original units.

With y = (x - mean) / scale a model of y with density rho_Y is the model of x with

    log rho_X(x) = log rho_Y(y) + log |dy/dx| = log rho_Y(y) - sum_i log scale_i.

Images take one scale for all pixels, so that distances between images keep their meaning; tables,
whose columns have their own units, take one scale for each feature.
"""

from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float

Samples = Float[np.ndarray, "n dim"] | Float[jax.Array, "n dim"]


@dataclass(frozen=True, eq=False)
class Standardise:
    """The map x -> (x - mean) / scale on a batch of samples.

    **Arguments:**

    - `mean`: `[dim]`, in original units.
    - `scale`: `[dim]`, positive, in original units.
    """

    mean: Float[np.ndarray, "dim"]
    scale: Float[np.ndarray, "dim"]

    @staticmethod
    def fit(samples: Float[np.ndarray, "n dim"], *, shared: bool = False) -> "Standardise":
        """Return the map that gives these samples mean zero and unit variance.

        **Arguments:**

        - `samples`: the training samples, and no others.
        - `shared`: one scale for all features, the root of their mean variance.

        **Raises:** `ValueError` if a feature, or with `shared` every feature, is constant.
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

    def apply(self, samples: Samples) -> Samples:
        """Map samples `[n, dim]` from original to standardised units."""
        return (samples - self._as(self.mean, samples)) / self._as(self.scale, samples)

    def invert(self, samples: Samples) -> Samples:
        """Map samples `[n, dim]` from standardised to original units."""
        return samples * self._as(self.scale, samples) + self._as(self.mean, samples)

    @staticmethod
    def _as(values: np.ndarray, samples: Samples) -> np.ndarray:
        # In the precision of the samples: a float32 data set is not doubled on the way.
        return values.astype(samples.dtype)[None, :]
