"""Score matching along simulated paths, for a forward process with any drift.

    dY = f(s, Y) ds + g(s) dW,      y_+ = m + K eps,   y_- = m - K eps,   K = g sqrt(h)

m being where the last step of a simulated path from the data begins its noise. Given m the law of
y_+ is Gaussian with the score -K^-T eps, and its mean over m is the score of the noised data. With
both signs of eps the denoising loss E |s_theta(y) + K^-T eps|^2 is, up to a constant,

    E [ ( |s_theta(y_+)|^2 + |s_theta(y_-)|^2 ) / 2 + (K^-T eps).( s_theta(y_+) - s_theta(y_-) ) ]

whose second term stays bounded for small steps, where it is 2 div s_theta by a difference along
the noise: two evaluations of the network, no derivative of it. Weighted by sigma^2, as the scores
of a closed kernel are (`mfgen.losses._matching`).

References: P. Vincent (2011); Y. Song et al., "Sliced score matching" (2019), arXiv 1905.07088.
"""

import jax
import jax.numpy as jnp

from mfgen._types import Batch, Key, Scalar, State
from mfgen.dynamics._forward import Diffusion
from mfgen.games._game import MFG
from mfgen.losses._noised import AbstractNoiseLaw, LogUniform, forward_of, levels, moving
from mfgen.losses._objective import AbstractObjective
from mfgen.losses._payment import WHOLE, Pays
from mfgen.math._linear_map import image, square
from mfgen.models._base import AbstractModel


class SimulatedScoreMatching(AbstractObjective):
    """E sigma^2 |s_theta(y) - score of the last step|^2 at the ends of simulated forward paths.

    Arguments:
        law: the law of the noise level.

    Raises:
        TypeError: for a game whose forward process is no `Diffusion`.

    Example:

        game = score_based(Diffusion(lambda s, y: y - y**3, horizon=4.0), Empirical(points))
        model = score_field(game, key=key)
        model, history = fit(game, model, SimulatedScoreMatching(), points, steps=3000, key=key)
    """

    law: AbstractNoiseLaw = LogUniform()

    def check(self, game: MFG) -> None:
        _process(game)

    def pays(self, game: MFG) -> Pays:
        return WHOLE

    def __call__(self, game: MFG, model: AbstractModel, batch: Batch, *, key: Key) -> Scalar:
        process, fixed = _process(game), game.dynamics.fixed
        s, t, eps = levels(process, self.law, batch, key=key, fixed=fixed)

        def loss(s: Scalar, t: Scalar, row: State, eps: jax.Array) -> Scalar:
            point, label = jnp.split(row, [row.size - fixed])
            score = lambda y: -moving(game, model.costate(t, jnp.concatenate([y, label])))
            mean, kick = process.last_step(s, point, eps)
            added = image(kick, eps[-1]).astype(row.dtype)
            ahead, behind = score(mean + added), score(mean - added)
            spread = square(kick)
            slope = added / spread if spread.ndim == 0 else jnp.linalg.solve(spread, added)
            size = 0.5 * (ahead @ ahead + behind @ behind)
            return jnp.square(process.noise(s)) * (size + slope @ (ahead - behind))

        return jnp.mean(jax.vmap(loss)(s, t, batch, eps))


def _process(game: MFG) -> Diffusion:
    process = forward_of(game, "SimulatedScoreMatching")
    if isinstance(process, Diffusion):
        return process
    raise TypeError(
        f"`SimulatedScoreMatching` got a game of `{type(process).__name__}`, whose kernel is "
        "known, expected a `Diffusion(drift)`: train by `DenoisingScoreMatching()`."
    )
