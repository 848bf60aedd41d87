"""Validation: how well a model fits held-out data, whatever it was regularised by.

    V(theta) = sum of weight_k objective_k over the terms k that are no regularisers,
               a mean over the held-out rows, each repeated to meet many noise levels and noises

Models trained with different weights of a regulariser are compared by the same number. For a
score-based game it is the denoising loss, uniform in the logarithm of the noise ratio. Since
g^2 ds = 2 sigma^2 d log kappa, this is, but for a constant and the factor of the logarithmic range,
the bound on the Kullback-Leibler divergence from the data to the model: its minimiser is the model
of the best likelihood bound.

All validations of a run use one key, and runs with the same key the same draws (common random
numbers): their differences are then much more certain than their values.

Reference: Y. Song, C. Durkan, I. Murray, S. Ermon (2021), "Maximum likelihood training of
score-based diffusion models", arXiv 2101.09258.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from mfgen._types import Batch, Key, Scalar
from mfgen.games._game import MFG
from mfgen.losses._objective import Combination
from mfgen.models._base import AbstractModel

Parts = tuple[Float[Array, "_ dim"], ...]

VALIDATION = 2**32 - 1  # its key is that of a step which is never reached
LEAST_ROWS = 4096
_MOST_ROWS, _MOST_NUMBERS = 2 * LEAST_ROWS, 2**19  # of what is evaluated at once


class Validation(eqx.Module):
    """The fit of a model to held-out data, a function of its parameters.

    Arguments:
        game, objective: what is trained; regularisers among the terms are left out.
        static: the model without its parameters.
        samples: held-out data, shape `[n, dim]`.
        key: the key of the run.
    """

    game: MFG
    objective: Combination
    static: PyTree
    parts: Parts
    key: Key

    def __init__(
        self, game: MFG, objective: Combination, static: PyTree, samples: Batch, *, key: Key
    ):
        self.game, self.objective, self.static = game, objective.fitting, static
        self.key = jax.random.fold_in(key, VALIDATION)
        # Levels follow the order of the rows: rows that are sorted would meet some levels alone.
        self.parts = parts(jax.random.permutation(self.key, samples))

    def __call__(self, parameters: PyTree) -> float:
        """The mean over all rows."""
        model = eqx.combine(parameters, self.static)
        total, count = jnp.zeros(()), sum(map(len, self.parts))
        for index, part in enumerate(self.parts):
            key = jax.random.fold_in(self.key, index)
            mean = _evaluate(self.objective, self.game, model, part, key)
            total += len(part) / count * mean
        return float(total)


def parts(samples: Batch) -> Parts:
    """The rows, repeated as a whole to `LEAST_ROWS` at least, in parts of bounded size.

    Noise levels are stratified along the rows of a part (`mfgen.losses._noised`). Whole
    repetitions give each row levels spread evenly from the lowest to the highest, and so do parts
    that take every k-th row.
    """
    rows = jnp.tile(samples, (-(-LEAST_ROWS // len(samples)), 1))
    most = max(1, min(_MOST_ROWS, _MOST_NUMBERS // samples.shape[1]))
    count = -(-len(rows) // most)
    return tuple(rows[first::count] for first in range(count))


@eqx.filter_jit
def _evaluate(
    objective: Combination, game: MFG, model: AbstractModel, rows: Batch, key: Any
) -> Scalar:
    return objective(game, model, rows, key=key)
