"""Maximum likelihood for models that are densities by construction.

For a model with exp(-U(t, .)) normalised at every time and every parameter, the cross-entropy
-E_data log rho(T) = E_data U(T, x) is a proper loss. For a free network it is not: its U could be
lowered everywhere without cost.
"""

import jax
import jax.numpy as jnp

from mfgen._types import Batch, Key, Scalar
from mfgen.games._game import MFG
from mfgen.losses._noised import noising_of
from mfgen.losses._objective import AbstractObjective
from mfgen.losses._payment import WHOLE, Pays
from mfgen.models._base import AbstractModel, AbstractNormalised


class MaximumLikelihood(AbstractObjective):
    """E_data U(T, x), the cross-entropy of the data under a normalised model, in nats.

    Raises:
        TypeError: if the model is not normalised by construction.
    """

    def check(self, game: MFG) -> None:
        noising_of(game, "MaximumLikelihood")

    def pays(self, game: MFG) -> Pays:
        return WHOLE

    def __call__(self, game: MFG, model: AbstractModel, batch: Batch, *, key: Key) -> Scalar:
        del key
        if not isinstance(model, AbstractNormalised):
            raise TypeError(
                f"`MaximumLikelihood` got a model `{type(model).__name__}`, expected one that is "
                "a density by construction (`KernelPotential`): train others by score matching."
            )
        return jnp.mean(jax.vmap(lambda x: model(game.dynamics.horizon, x))(batch))
